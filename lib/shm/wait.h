/* Sleeping until a key may have come free.
 *
 * The group's wait word, a futex:
 *
 *   31                    9 8        7              0
 *   +----------------------+--------+----------------+
 *   | sequence             | passed | armed classes  |
 *   +----------------------+--------+----------------+
 *
 * A waiter arms (sets its class, counts the sequence on), looks at the lock again, and
 * sleeps on the value it armed.  A releaser takes its word out, then reads the wait word
 * (E7): one of the two sees the other.  The class is three bits of the hash, so keys of
 * one group seldom wake each other.  A wake that found nobody clears the class by CAS;
 * who arms in between has changed the sequence, so the CAS fails.
 * Every sleep is bounded by its caller, for a waker may be killed before it wakes, and a
 * woken one before it takes the lock.
 */
#ifndef CF_SHM_WAIT_H
#define CF_SHM_WAIT_H

#include "shm/mapping.h"

enum cf_wake_mode { CF_WAKE_ONE, CF_WAKE_ALL };

void cf_wake_slow(struct cf_mapping *m, uint64_t hash, enum cf_wake_mode mode);

static inline uint32_t cf_wait_class(uint64_t hash)
{
    return 1u << (hash >> CF_TAG_BITS & 7);
}

/* After the key's word was taken out.  No system call when nobody waits. */
static inline void cf_wake(struct cf_mapping *m, uint64_t hash, enum cf_wake_mode mode)
{
    uint32_t word = cf_load_seq(&m->group_at[cf_home(m, hash)].wait);
    if (__builtin_expect((word & cf_wait_class(hash)) != 0, 0))
        cf_wake_slow(m, hash, mode);
}

/* Arm; the value to sleep on. */
uint32_t cf_wait_arm(struct cf_mapping *m, uint64_t hash);

/* Sleep on the armed value for at most ns.  True if a releaser woke it. */
bool cf_wait_sleep(struct cf_mapping *m, uint64_t hash, uint32_t armed, uint64_t ns);

/* Woken, but not for this key: another key of the class came free, so wake its waiters
 * too.  Those woken so do not pass it on again. */
void cf_wait_pass_on(struct cf_mapping *m, uint64_t hash);

/* How many sleep for keys of this hash. */
uint32_t cf_count_waiters(struct cf_mapping *m, uint64_t hash);

/* Strike the dead off the list. */
void cf_sweep_waiters(struct cf_mapping *m);

#endif
