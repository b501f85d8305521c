/* The table of the process-memory client: leases by key, in liburcu's lock-free hash table, whose
 * cds_lfht_add_unique is its set-if-not-exists and whose cds_lfht_replace its compare-and-swap.
 * Functions that take or give an entry are called within a read section, which keeps it from
 * being freed. */
#ifndef CF_CLIENTS_MEMORY_TABLE_H
#define CF_CLIENTS_MEMORY_TABLE_H

/* UBSan finds liburcu's own arena misaligned where its functions are inlined. */
#ifdef CF_UBSAN
#undef _LGPL_SOURCE
#endif
#define URCU_API_MAP
#include <urcu/urcu-bp.h>
/* After the flavour that it is mapped to. */
#include <urcu/rculfhash.h>

#include <cachify/client.h>

#include "ground/atomics.h"

/* One lease.  Written before it is published, and never changed then, but for its token: that is
 * drawn after the publication, so that tokens grow in the order of acquisition, by whoever needs
 * it first, and before the entry is taken out in any case. */
struct cf_entry {
    struct cds_lfht_node node;
    struct cf_entry *retired_next;
    uint64_t hash;
    uint64_t deadline; /* ns, monotonic clock; UINT64_MAX never */
    uint64_t acquired;
    _Atomic uint64_t token; /* 0: not drawn yet */
    uint32_t thread_id;
    uint32_t serial; /* of the thread; 0: another has extended it since */
    uint32_t key_len;
    uint32_t value_len;
    char text[]; /* key, value */
};

struct cf_memory_table {
    struct cds_lfht *entries;
    uint32_t max;
    uint64_t seed;          /* of the hash */
    _Atomic uint32_t count; /* of what is in the table, or about to be */
    _Atomic uint64_t tokens;
    struct cf_entry *_Atomic retired; /* taken out, perhaps still being read */
    _Atomic uint32_t retired_count;
};

/* A key to look for. */
struct cf_wanted {
    uint64_t hash;
    const char *key;
    uint32_t len;
};

/* OK; NO_MEMORY.  free: when nobody uses it any more. */
cachify_status_t cf_memory_table_init(struct cf_memory_table *t, uint32_t max);
void cf_memory_table_free(struct cf_memory_table *t);

/* A read section.  Short, and without a wait in it.  After its end what was taken out in it may
 * be freed; end frees what others have, too, but for end_quick, which signal handlers may call. */
void cf_memory_begin(void);
void cf_memory_end(struct cf_memory_table *t);
void cf_memory_end_quick(struct cf_memory_table *t);

struct cf_wanted cf_wanted(const struct cf_memory_table *t, const char *key, uint32_t len);

/* By key, live or not; by hash and token.  NULL: none.  at is what cf_memory_replace needs. */
struct cf_entry *cf_memory_find(const struct cf_memory_table *t, const struct cf_wanted *wanted,
                                struct cds_lfht_iter *at);
struct cf_entry *cf_memory_find_token(const struct cf_memory_table *t, uint64_t hash,
                                      uint64_t token, struct cds_lfht_iter *at);

bool cf_entry_is_live(const struct cf_entry *e);
uint64_t cf_entry_token(struct cf_memory_table *t, struct cf_entry *e);

/* A new entry, with room for key and value; NULL with a report.  Freed by free() if it was not
 * published.  Room for it in the table comes first: reserve sweeps out what has expired, and
 * reports FULL. */
struct cf_entry *cf_entry_make(uint32_t key_len, uint32_t value_len);
cachify_status_t cf_memory_reserve(struct cf_memory_table *t);
void cf_memory_unreserve(struct cf_memory_table *t);

/* The three steps that decide who holds a lock, each one atomic.  False: somebody was faster.
 * add: if there is none of its key.  replace: instead of old, found by key, or by the token, if e
 * has that already.  take_out: it gives back its room. */
bool cf_memory_add(struct cf_memory_table *t, const struct cf_wanted *wanted, struct cf_entry *e);
bool cf_memory_replace(struct cf_memory_table *t, const struct cf_wanted *wanted,
                       struct cds_lfht_iter *old, struct cf_entry *e);
bool cf_memory_take_out(struct cf_memory_table *t, struct cf_entry *e);

#endif
