/* What the processes of one run share: a page of memory, and the parts they play.
 *
 *  - The runner starts the others, is the tracer, and is the witness: its leases on other keys
 *    must be no other's business.
 *  - The victim does one operation and is killed or left standing at one point of it.
 *  - The dead one left something before that; only some operations have one.
 *  - The judge opens the segment afterwards, as any process might.
 */
#ifndef CF_TESTS_STEPS_ROOM_H
#define CF_TESTS_STEPS_ROOM_H

#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <cachify/cachify.h>

#include "shm/mapping.h"

#define MAX_LOCKS 8u
#define GROUPS 4u
#define KEY_ROOM 16
#define BESIDE 2u /* keys that the witness always holds */
#define LEASES 10u
#define NOTED 256u /* keys whose tokens are noted */

/* What becomes of the victim at its point. */
enum fate {
    KILLED,        /* and the judge registers in an entry of its own */
    KILLED_HEIR,   /* and the judge registers in the victim's entry */
    STOPPED,       /* the judge holds the key when it goes on */
    STOPPED_LATER, /* the judge has had the key and released it when it goes on */
    FATES,
};

struct board {
    /* Set by the runner. */
    char path[64];
    int memfd; /* instead of the path; 0 none */
    enum fate fate;
    int64_t exp_ms; /* of the victim's leases */
    char key[KEY_ROOM], second[KEY_ROOM], near_key[KEY_ROOM];
    char beside[BESIDE][KEY_ROOM];
    uint32_t home; /* group of key and near_key */
    uint64_t beside_token[BESIDE];
    _Atomic uint64_t token[NOTED]; /* of each key the largest that anybody was told */
    int64_t poll_ms;
    unsigned witness_leases;
    unsigned witness_spares; /* its threads that keep a released record */
    bool witness_has_key;
    pid_t victim;
    uint32_t heir_of; /* the pid in whose place the judge registers; 0 none */

    /* Said by the victim. */
    volatile bool begun, done;
    cachify_status_t status;
    uint64_t victim_token; /* of its lease afterwards; 0 none */
    bool victim_held;
    cachify_status_t victim_release;

    /* Said by the judge. */
    bool judge_has_key;
    uint64_t seen_token; /* that the key's lease had, if it was the stopped victim's */
    cachify_how_t judge_how;

    sem_t dead_go, dead_said, judge_go, judge_said;
    char blame[600]; /* the first violation; "" none */
};

extern struct board *board;

/* A process's part in the segment. */
struct part {
    cachify_t *cachify;
    cachify_lease_t lease[LEASES];
};
extern struct part part;

/* Note a violation; the first one counts. */
__attribute__((format(printf, 1, 2))) void blame(const char *format, ...);

int64_t now_us(void);
void sleep_us(int64_t us);

cachify_status_t open_part(void);
struct cf_mapping *own_mapping(void);
cachify_status_t take(const char *key, int64_t exp_ms, cachify_lease_t *lease);
/* Take it, or note that the stage could not be set. */
void must_take(const char *key, int64_t exp_ms, cachify_lease_t *lease);
/* Take and release it, so that its token is ahead of its group's counter (K2). */
void pass(const char *key);
_Atomic uint64_t *token_of(const char *key);
void note_token(const char *key, uint64_t token);

__attribute__((noinline)) uint64_t hash_of(const char *key);
/* The nth of the keys whose home is this group. */
void key_at(char key[KEY_ROOM], uint32_t group, unsigned nth);

#endif
