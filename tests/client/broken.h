/* Clients that are wrong in one thing each, and the check that has to find it. */
#ifndef CONFORMANCE_BROKEN_H
#define CONFORMANCE_BROKEN_H

#include "conformance.h"

/* A check each: whether the client was flagged. */
struct cachify_verdict try_broken_clients(FILE *out);

#endif
