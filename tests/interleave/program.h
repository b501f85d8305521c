/* What actors do, as text: "take a, release a".
 *
 *   take K, brief K    acquire for 30 s; for 1 ms       o fresh, e expired, d owner died, l locked, f full
 *   release K          - not had                        o, x lost
 *   extend K           by 60 s; - not had               o, x lost, f full
 *   force K            release by key                   o
 *   held K             is it locked                     y, n
 *   wait K             sleep until it may be free       o
 *   sweep                                               s
 *
 *   pass               a second goes by                 p
 *
 * and, in what went before only: "half K", as far as T1; "die".  Each answer is a letter. */
#ifndef CF_INTERLEAVE_PROGRAM_H
#define CF_INTERLEAVE_PROGRAM_H

#include "world.h"

enum verb { TAKE, BRIEF, RELEASE, EXTEND, FORCE, SET, HELD, WAIT, SWEEP, PASS, HALF, DIE };

struct op {
    enum who who; /* in what went before */
    enum verb verb;
    unsigned key;
};

#define OPS 40u
struct program {
    unsigned count;
    struct op op[OPS];
};

/* "A take a, B take b": whom the first word names; without one it is `who`. */
void program_parse(const char *text, enum who who, struct program *program);
void program_run(const struct program *program);
/* Whether time passes in it. */
bool program_passes(const struct program *program);
/* The keys in it, a bit each. */
uint32_t program_keys(const struct program *program);

/* Both have ended: each key that is not held can be had, with a larger token, and
 * a sweep leaves nothing of the dead. */
void program_audit(uint32_t keys);

#endif
