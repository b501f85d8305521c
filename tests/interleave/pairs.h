/* The pairs of racing operations. */
#ifndef CF_INTERLEAVE_PAIRS_H
#define CF_INTERLEAVE_PAIRS_H

#include "files.h"
#include "scheduler.h"

#define OUTCOMES 64u
#define OUTCOME_ROOM 64u

struct pair {
    const char *name;
    const char *before; /* what happens first, alone */
    const char *a, *b;  /* what races (program.h) */
    /* What the two may answer, "A/B=keys held at the end", all of which must be seen. */
    const char *outcomes;
    unsigned bound;
    unsigned locks;        /* max_locks; 0: more than anybody needs */
    bool threads;          /* B is a thread of A's process, and has A's leases */
    enum files_kind files; /* both open a path instead */
};

extern const struct pair pairs[];
extern const unsigned pair_count;

/* Ready to be explored; one pair a process. */
const struct game *pair_begin(const struct pair *pair);

/* Of all runs so far: false if some outcome was not to be, or (complete) one was missed. */
bool pair_outcomes(const struct pair *pair, bool complete, char *text, size_t room);
/* Of the last run. */
const char *pair_outcome(void);

#endif
