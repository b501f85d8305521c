/* One process's view of one segment, with the checked copy of its geometry: what is read
 * from the segment later is bounds-checked against this, never against the header. */
#ifndef CF_SHM_MAPPING_H
#define CF_SHM_MAPPING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "ground/atomics.h"
#include "ground/os.h"
#include "shm/layout.h"
#include "shm/word.h"

struct cf_mapping {
    uint8_t *base;
    uint64_t size;
    uint32_t max_locks;
    uint32_t records;
    uint32_t groups;
    uint32_t processes;
    uint32_t waiters;
    uint32_t key_max;
    uint32_t value_max;
    uint32_t record_size;
    struct cf_process *process_at;
    struct cf_waiter *waiter_at;
    struct cf_group *group_at;
    uint8_t *record_at;
    uint64_t hash_seed;
    int64_t clock_offset; /* this process's clock less the segment's */
    uint64_t created_ns;

    /* The file. */
    char *path;             /* NULL for a descriptor that was given */
    int fd;                 /* for asking the kernel; -1 when there is none */
    bool other_boot;        /* a view of what another boot left */
    _Atomic bool gone;      /* unlinked, replaced or cut short */
    _Atomic bool cut_short; /* its memory must not be touched any more: SIGBUS */
    dev_t device;
    ino_t inode;
    _Atomic uint64_t checked; /* when the file was last looked at */

    /* This process's registration (process.c). */
    _Atomic uint64_t self;  /* cf_owner; 0 before */
    uint64_t registered_in; /* the process serial it was made in */
    uint32_t pid;           /* this process's */
    void *live_page;        /* keeps the locked description open */

    /* What this process has learnt of spinning: wait.c. */
    uint32_t processors;
    _Atomic uint32_t spins;
    _Atomic uint32_t spin_waits;

    /* This process's threads: watch.c, attend.c.  Under the process lock. */
    struct cf_watch *watches;
    uint32_t watch_count;
    uint64_t watches_of; /* the process serial they are threads of */
    _Atomic uint32_t idle_watches;
    _Atomic uint64_t watch_needed; /* coarse: when a wait that had one was last over */
    _Atomic bool keeps_watch;      /* an idle one: long waits follow each other closely */
    struct cf_attendant *attendant;
};

static inline uint64_t cf_now(const struct cf_mapping *m)
{
    return cf_monotonic_ns() - (uint64_t)m->clock_offset;
}

static inline uint64_t cf_now_coarse(const struct cf_mapping *m)
{
    return cf_monotonic_coarse_ns() - (uint64_t)m->clock_offset;
}

static inline struct cf_record *cf_record_at(const struct cf_mapping *m, uint32_t r)
{
    return (struct cf_record *)(void *)(m->record_at + (uint64_t)r * m->record_size);
}

/* A slot's number is the index of its word in the index seen as an array of words, so
 * that group and place come out by shifting. */
#define CF_FIRST_SLOT 3u
CF_ASSERT("the first slot is the fourth word",
          offsetof(struct cf_group, slot) == (size_t)8 * CF_FIRST_SLOT);

static inline uint32_t cf_slot_number(uint32_t group, uint32_t place)
{
    return group * 8 + CF_FIRST_SLOT + place;
}

static inline bool cf_slot_valid(const struct cf_mapping *m, uint32_t slot)
{
    return slot / 8 < m->groups && slot % 8 >= CF_FIRST_SLOT;
}

static inline _Atomic uint64_t *cf_slot_at(const struct cf_mapping *m, uint32_t slot)
{
    return (_Atomic uint64_t *)(void *)m->group_at + slot;
}

/* From the first waiter to what lies behind the last. */
static inline uint64_t cf_line_offset(uint32_t waiters)
{
    return (uint64_t)waiters * sizeof(struct cf_waiter);
}

static inline struct cf_line *cf_line_at(const struct cf_mapping *m)
{
    return (struct cf_line *)(void *)(m->waiter_at + m->waiters);
}

static inline uint32_t cf_home(const struct cf_mapping *m, uint64_t hash)
{
    return (uint32_t)((hash >> 32) * m->groups >> 32);
}

/* The key's words in a record, and its note's. */
static inline uint32_t cf_key_words(uint32_t key_len)
{
    return (key_len + 7) / 8;
}

static inline _Atomic uint64_t *cf_value_at(const struct cf_mapping *m, struct cf_record *r)
{
    return &r->text[cf_key_words(m->key_max)];
}

static inline cf_owner cf_self(const struct cf_mapping *m)
{
    return cf_load_relaxed(&m->self);
}

#endif
