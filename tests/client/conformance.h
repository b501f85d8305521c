/* What <cachify/client.h> asks of a client, as checks that any client can be put through.  Needs
 * the library's public headers only. */
#ifndef CACHIFY_CONFORMANCE_H
#define CACHIFY_CONFORMANCE_H

#include <stdio.h>

#include <cachify/client.h>

/* make fills *client with a fresh one, empty of locks, each time it is called.  The suite calls
 * its destroy before it makes the next. */
struct cachify_subject {
    const char *name;
    cachify_status_t (*make)(cachify_client_t *client);
    unsigned patience_ms; /* how long to look for what has to happen; 0: 20000 */
};

struct cachify_verdict {
    unsigned checks, failures, skipped; /* skipped are none of the checks */
};

/* All checks in turn, or, if only is not NULL, those whose name it matches, as a shell's pattern
 * ("async-*").  Each writes a line to out (NULL: none): `ok NAME: WHAT`, `not ok NAME: WHAT`, with what was given and what
 * was expected, or `skipped NAME: WHY`.  Threads are started, and children are forked: call it
 * where no other threads run. */
struct cachify_verdict cachify_conformance(const struct cachify_subject *subject, const char *only,
                                           FILE *out);

#endif
