/* The operations: what goes before, what the victim does, and what the key is worth then. */
#ifndef CF_TESTS_STEPS_OPERATIONS_H
#define CF_TESTS_STEPS_OPERATIONS_H

#include "room.h"

/* What the key must be for the judge, once the victim is dead or stands still. */
enum worth {
    FREE,            /* to be had; from a stopped victim that has it, when its lease ends */
    WITNESS,         /* the witness's, as before */
    WITNESS_OR_FREE, /* one or the other */
};

struct operation {
    const char *name;
    enum worth worth;
    bool no_segment;       /* the victim makes it */
    bool memfd;            /* nor has it a name */
    bool unstopped;        /* stops are a stated limit (README.md) */
    bool other_boot;       /* the victim finds one of another boot */
    bool child;            /* the victim is a forked child of the witness */
    void (*stage)(void);   /* the witness, before the victim and the dead one */
    void (*dead)(void);    /* the dead one, before it is killed */
    void (*waiter)(void);  /* instead of a dead one somebody who waits for the key */
    void (*prepare)(void); /* the victim */
    void (*late)(void);    /* the witness, after all these */
    void (*settle)(void);  /* the witness, once the victim is at its point */
    cachify_status_t (*act)(void);
    cachify_status_t right[4]; /* answers that may be right; the rest OK */
};

extern const struct operation operations[];
extern const unsigned operations_count;

/* The victim's lease. */
#define OWN 0
/* The witness's lease on the key. */
#define HERS 9

#endif
