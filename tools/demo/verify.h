/* What the ledger proves. */
#ifndef CACHIFY_DEMO_VERIFY_H
#define CACHIFY_DEMO_VERIFY_H

#include <stdbool.h>

#include "ledger.h"
#include "tree.h"

/* A worker that was killed or stopped while it held a lock. */
struct victim {
    uint32_t file;
    uint64_t token;
    int64_t pid;
    int64_t when;  /* it was killed, or its lease ended */
    int64_t until; /* its lease ended */
};

/* Prints a line for each thing that is to hold; true if all do.  Sorts the ledger.
 * sees_death: a holder's death ends its lease. */
bool verify(struct ledger *ledger, const struct tree *tree, const struct victim *killed,
            const struct victim *stopped, bool sees_death);

#endif
