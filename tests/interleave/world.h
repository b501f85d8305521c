/* One segment, and the processes that use it, all in this process: each has a mapping of
 * its own, registered as any process's.  The clock is the world's. */
#ifndef CF_INTERLEAVE_WORLD_H
#define CF_INTERLEAVE_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include <cachify/client.h>

#include "shm/table.h"

#include "scheduler.h"

/* Actors A and B; C, who did something before; and D, who looks at what they left. */
enum who { A, B, C, D, WHO };

#define KEYS 24u /* a to x; of group 0 are a d g j m p s v, of group 1 b e h k n q t w */
#define GROUPS 3u
#define SPARES 4u /* records beyond max_locks */
#define SAID 8u   /* answers an actor can give */

struct hold {
    bool held; /* as far as answers tell: from an acquire's answer to the call of release */
    bool open; /* a force, whose place among the others is not known, may have ended it */
    uint64_t deadline;
};

/* What is put back before each run. */
struct world {
    struct cf_mapping mapping[WHO];
    bool dead[WHO];
    cachify_caller_t caller[WHO];
    struct hold hold[WHO][KEYS]; /* by process, as grants are */
    char said[WHO][SAID + 1];
    bool forcing[WHO][KEYS];
    unsigned forced[KEYS];         /* how many forces have ended */
    unsigned forced_by[WHO][KEYS]; /* when this one's call began */
    uint64_t granted[WHO][KEYS];   /* the token that the words say it got last */
    bool awake[WHO];
    _Atomic uint32_t *asleep[WHO]; /* on which word; NULL: up */
    uint64_t last_token[KEYS];
    /* Whether the key was held, or free, at some moment since this one's call began. */
    bool seen_held[WHO][KEYS], seen_free[WHO][KEYS];
    uint64_t now;
    bool passes;  /* time passes during the race: reading the clock is a point */
    bool threads; /* B is a thread of A's process */
    /* By process; the words in them are shared by threads. */
    cachify_grant_t grant[WHO][KEYS];
};
extern struct world world;
extern cachify_client_t world_client;

void world_open(void);
/* Anew, with this max_locks. */
void world_begin(uint32_t locks, bool threads);
/* What there is now is where every run begins. */
void world_keep(void);
void world_restore(void);

static inline enum who process_of(enum who who)
{
    return who == B && world.threads ? A : who;
}

struct cf_key world_key(unsigned key);
/* The key of a hash; KEYS: none. */
unsigned world_key_of(uint64_t hash);

/* Its byte comes free, with all it holds. */
void world_kill(enum who who);
/* The process of an owner; WHO if none. */
enum who world_process_of(cf_owner owner);

void world_name(uint32_t word, uint64_t value, char *text, size_t room);

#endif
