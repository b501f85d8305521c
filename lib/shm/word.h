/* The slot word: 64 bits in which everything lies that decides who owns a lock.
 *
 *   63    62 61       57 56                              23 22            0
 *   +-------+-----------+----------------------------------+--------------+
 *   | state | tag       | generation of the record         | record       |
 *   | 2     | 5         | 34                               | 23           |
 *   +-------+-----------+----------------------------------+--------------+
 *
 * An empty slot is the word 0.  The tag repeats five bits of the key's hash, so
 * that a walk need not open the record of every word it passes.
 */
#ifndef CF_SHM_WORD_H
#define CF_SHM_WORD_H

#include <stdint.h>

typedef uint64_t cf_word;

enum cf_word_state {
    CF_EMPTY = 0,     /* W0: nothing here; the whole word is 0 */
    CF_INSERTING = 1, /* W1: a candidate; nobody holds by it */
    CF_HELD = 2,      /* W2: the record it names is the lock's lease */
    CF_IDLE = 3,      /* W3: released in place; free, to be taken over by anyone */
};

#define CF_RECORD_BITS 23
#define CF_GENERATION_BITS 34
#define CF_TAG_BITS 5

#define CF_RECORDS_LIMIT (UINT64_C(1) << CF_RECORD_BITS)
#define CF_GENERATION_MASK ((UINT64_C(1) << CF_GENERATION_BITS) - 1)
#define CF_TAG_MASK ((UINT64_C(1) << CF_TAG_BITS) - 1)
#define CF_TAG_SHIFT (CF_RECORD_BITS + CF_GENERATION_BITS)
#define CF_STATE_SHIFT (CF_TAG_SHIFT + CF_TAG_BITS)

static inline cf_word cf_word_make(enum cf_word_state state, uint64_t hash, uint64_t generation,
                                   uint32_t record)
{
    return (uint64_t)state << CF_STATE_SHIFT | (hash & CF_TAG_MASK) << CF_TAG_SHIFT |
           (generation & CF_GENERATION_MASK) << CF_RECORD_BITS | record;
}

static inline enum cf_word_state cf_word_state(cf_word w)
{
    return (enum cf_word_state)(w >> CF_STATE_SHIFT);
}

static inline uint32_t cf_word_record(cf_word w)
{
    return (uint32_t)(w & (CF_RECORDS_LIMIT - 1));
}

static inline uint64_t cf_word_generation(cf_word w)
{
    return w >> CF_RECORD_BITS & CF_GENERATION_MASK;
}

static inline int cf_word_tag_matches(cf_word w, uint64_t hash)
{
    return (w >> CF_TAG_SHIFT & CF_TAG_MASK) == (hash & CF_TAG_MASK);
}

/* The same record and generation in another state: the step from inserting to held,
 * or from idle to held. */
static inline cf_word cf_word_with_state(cf_word w, enum cf_word_state state)
{
    return (w & ~(UINT64_C(3) << CF_STATE_SHIFT)) | (uint64_t)state << CF_STATE_SHIFT;
}

/* What an idle word looks like after the holder of w released: the next generation. */
static inline cf_word cf_word_released(cf_word w)
{
    uint64_t generation = cf_word_generation(w) + 1;
    return (w & ~(UINT64_C(3) << CF_STATE_SHIFT) & ~(CF_GENERATION_MASK << CF_RECORD_BITS)) |
           (uint64_t)CF_IDLE << CF_STATE_SHIFT |
           (generation & CF_GENERATION_MASK) << CF_RECORD_BITS;
}

/* The record's own state word: who has it in hand.
 *
 *   63      62                              29 28          16 15            0
 *   +-------+----------------------------------+-------------+--------------+
 *   | taken | generation                       | entry       | entry gen.   |
 *   | 1     | 34                               | 13          | 16, low bits |
 *   +-------+----------------------------------+-------------+--------------+
 *
 * Free records keep their generation, for it must go on counting over all owners.
 */
#define CF_ENTRY_BITS 13
#define CF_ENTRIES_LIMIT (1u << CF_ENTRY_BITS)
#define CF_TAKEN (UINT64_C(1) << 63)

typedef uint64_t cf_state;

/* A process entry and its generation: who owns a lease, as 64 bits in the record. */
#define CF_OWNER_GENERATION_BITS (64 - CF_ENTRY_BITS)
typedef uint64_t cf_owner;

static inline cf_owner cf_owner_make(uint32_t entry, uint64_t generation)
{
    return (uint64_t)entry * (UINT64_C(1) << CF_OWNER_GENERATION_BITS) |
           (generation & ((UINT64_C(1) << CF_OWNER_GENERATION_BITS) - 1));
}

/* Who acquired, for people and for DEADLOCK: pid and thread id as their process saw them
 * (the kernel's largest pid has 22 bits), and the library's thread serial's low 20 bits, 0
 * once another thread extended the lease. */
static inline uint64_t cf_thread_make(uint64_t pid, uint64_t tid, uint64_t serial)
{
    return (pid & 0x3fffff) << 42 | (tid & 0x3fffff) << 20 | (serial & 0xfffff);
}

static inline uint32_t cf_thread_pid(uint64_t thread)
{
    return (uint32_t)(thread >> 42);
}

static inline uint32_t cf_thread_tid(uint64_t thread)
{
    return (uint32_t)(thread >> 20) & 0x3fffff;
}

static inline uint32_t cf_thread_serial(uint64_t thread)
{
    return (uint32_t)thread & 0xfffff;
}

static inline uint32_t cf_owner_entry(cf_owner o)
{
    return (uint32_t)(o >> CF_OWNER_GENERATION_BITS);
}

static inline uint64_t cf_owner_generation(cf_owner o)
{
    return o & ((UINT64_C(1) << CF_OWNER_GENERATION_BITS) - 1);
}

static inline cf_state cf_state_taken(uint64_t generation, cf_owner owner)
{
    return CF_TAKEN | (generation & CF_GENERATION_MASK) << 29 |
           (uint64_t)cf_owner_entry(owner) << 16 | (owner & 0xffff);
}

static inline cf_state cf_state_free(uint64_t generation)
{
    return (generation & CF_GENERATION_MASK) << 29;
}

static inline uint64_t cf_state_generation(cf_state s)
{
    return s >> 29 & CF_GENERATION_MASK;
}

static inline int cf_state_is_taken(cf_state s)
{
    return (s & CF_TAKEN) != 0;
}

static inline uint32_t cf_state_entry(cf_state s)
{
    return (uint32_t)(s >> 16) & (CF_ENTRIES_LIMIT - 1);
}

/* Whether s belongs to this generation of its entry, as far as 16 bits tell. */
static inline int cf_state_of_generation(cf_state s, uint64_t entry_generation)
{
    return (s & 0xffff) == (entry_generation & 0xffff);
}

#endif
