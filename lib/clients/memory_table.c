#include "clients/memory_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ground/hash.h"
#include "ground/os.h"
#include "ground/report.h"

#ifdef CF_TSAN /* which does not see what orders things inside liburcu */
#include <sanitizer/tsan_interface.h>
#define TSAN_RELEASE(what) __tsan_release(what)
#define TSAN_ACQUIRE(what) __tsan_acquire(what)
#else
#define TSAN_RELEASE(what) ((void)(what))
#define TSAN_ACQUIRE(what) ((void)(what))
#endif

#define BUCKETS_LEAST 64u
#define RETIRED_MOST 256u /* so many wait for a grace period together */

/* ---- Finding ---- */

static struct cf_entry *entry_of(struct cds_lfht_node *node)
{
    struct cf_entry *e = caa_container_of(node, struct cf_entry, node);
    TSAN_ACQUIRE(e);
    return e;
}

static int has_key(struct cds_lfht_node *node, const void *key)
{
    const struct cf_entry *e = entry_of(node);
    const struct cf_wanted *w = key;
    return e->key_len == w->len && memcmp(e->text, w->key, w->len) == 0;
}

static int has_token(struct cds_lfht_node *node, const void *token)
{
    return cf_load_acquire(&entry_of(node)->token) == *(const uint64_t *)token;
}

struct cf_wanted cf_wanted(const struct cf_memory_table *t, const char *key, uint32_t len)
{
    return (struct cf_wanted){cf_hash(key, len, t->seed), key, len};
}

static struct cf_entry *found(struct cds_lfht_iter *at)
{
    struct cds_lfht_node *node = cds_lfht_iter_get_node(at);
    return node != NULL ? entry_of(node) : NULL;
}

struct cf_entry *cf_memory_find(const struct cf_memory_table *t, const struct cf_wanted *wanted,
                                struct cds_lfht_iter *at)
{
    cds_lfht_lookup(t->entries, wanted->hash, has_key, wanted, at);
    return found(at);
}

struct cf_entry *cf_memory_find_token(const struct cf_memory_table *t, uint64_t hash,
                                      uint64_t token, struct cds_lfht_iter *at)
{
    cds_lfht_lookup(t->entries, hash, has_token, &token, at);
    return found(at);
}

bool cf_entry_is_live(const struct cf_entry *e)
{
    return e->deadline == UINT64_MAX || cf_monotonic_ns() < e->deadline;
}

uint64_t cf_entry_token(struct cf_memory_table *t, struct cf_entry *e)
{
    uint64_t token = cf_load_acquire(&e->token);
    if (token == 0) {
        cf_cas64(&e->token, 0, cf_add_seq(&t->tokens, 1) + 1);
        token = cf_load_acquire(&e->token);
    }
    return token;
}

/* ---- What was taken out is freed once nobody can read it any more ---- */

static void free_all(struct cf_entry *e)
{
    while (e != NULL) {
        struct cf_entry *next = e->retired_next;
        free(e);
        e = next;
    }
}

static void retire(struct cf_memory_table *t, struct cf_entry *e)
{
    struct cf_entry *first = atomic_load_explicit(&t->retired, memory_order_relaxed);
    do
        e->retired_next = first;
    while (!atomic_compare_exchange_weak(&t->retired, &first, e));
    cf_add_relaxed(&t->retired_count, 1);
}

/* Not within a read section of the caller's own: it waits for all of them. */
static void reclaim(struct cf_memory_table *t)
{
    if (cf_load_relaxed(&t->retired_count) < RETIRED_MOST || urcu_bp_read_ongoing())
        return;
    int saved = errno;
    cf_store_relaxed(&t->retired_count, 0);
    struct cf_entry *all = atomic_exchange(&t->retired, NULL);
    urcu_bp_synchronize_rcu();
    TSAN_ACQUIRE(t);
    free_all(all);
    errno = saved;
}

void cf_memory_begin(void)
{
    urcu_bp_read_lock();
}

void cf_memory_end_quick(struct cf_memory_table *t)
{
    TSAN_RELEASE(t);
    urcu_bp_read_unlock();
}

void cf_memory_end(struct cf_memory_table *t)
{
    cf_memory_end_quick(t);
    reclaim(t);
}

/* ---- Changing ---- */

struct cf_entry *cf_entry_make(uint32_t key_len, uint32_t value_len)
{
    struct cf_entry *e = calloc(1, sizeof *e + key_len + value_len);
    if (e == NULL) {
        (void)cf_report(CACHIFY_NO_MEMORY, "no memory for a lease");
        return NULL;
    }
    cds_lfht_node_init(&e->node);
    e->key_len = key_len;
    e->value_len = value_len;
    return e;
}

bool cf_memory_take_out(struct cf_memory_table *t, struct cf_entry *e)
{
    cf_entry_token(t, e);
    TSAN_RELEASE(t->entries);
    if (cds_lfht_del(t->entries, &e->node) != 0)
        return false;
    cf_memory_unreserve(t);
    retire(t, e);
    return true;
}

bool cf_memory_replace(struct cf_memory_table *t, const struct cf_wanted *wanted,
                       struct cds_lfht_iter *old, struct cf_entry *e)
{
    struct cf_entry *was = found(old);
    cf_entry_token(t, was);
    TSAN_RELEASE(e);
    if (cds_lfht_replace(t->entries, old, wanted->hash, has_key, wanted, &e->node) != 0)
        return false;
    TSAN_ACQUIRE(t->entries);
    retire(t, was);
    return true;
}

bool cf_memory_add(struct cf_memory_table *t, const struct cf_wanted *wanted, struct cf_entry *e)
{
    TSAN_RELEASE(e);
    if (cds_lfht_add_unique(t->entries, wanted->hash, has_key, wanted, &e->node) != &e->node)
        return false;
    TSAN_ACQUIRE(t->entries); /* what was done under the lock before */
    return true;
}

/* ---- Room ---- */

static void sweep_expired(struct cf_memory_table *t)
{
    struct cds_lfht_iter at;
    cf_memory_begin();
    for (cds_lfht_first(t->entries, &at); found(&at) != NULL; cds_lfht_next(t->entries, &at))
        if (!cf_entry_is_live(found(&at)))
            cf_memory_take_out(t, found(&at));
    cf_memory_end(t);
}

static bool try_reserve(struct cf_memory_table *t)
{
    if (cf_add_seq(&t->count, 1) < t->max)
        return true;
    cf_memory_unreserve(t);
    return false;
}

cachify_status_t cf_memory_reserve(struct cf_memory_table *t)
{
    if (try_reserve(t))
        return CACHIFY_OK;
    sweep_expired(t);
    if (try_reserve(t))
        return CACHIFY_OK;
    return cf_report(CACHIFY_FULL, "%u locks are held, as many as the client was made for", t->max);
}

void cf_memory_unreserve(struct cf_memory_table *t)
{
    cf_add_seq(&t->count, UINT32_MAX);
}

/* ---- Its life ---- */

/* Of a fixed size: to resize by itself it would have a thread. */
cachify_status_t cf_memory_table_init(struct cf_memory_table *t, uint32_t max)
{
    unsigned long buckets = BUCKETS_LEAST;
    while (buckets < max)
        buckets *= 2;
    struct cds_lfht *entries = cds_lfht_new(buckets, buckets, buckets, 0, NULL);
    if (entries == NULL)
        return cf_report(CACHIFY_NO_MEMORY, "no memory for a table of %u locks", max);
    *t = (struct cf_memory_table){
        .entries = entries, .max = max, .seed = cf_random(), .tokens = cf_realtime_ns()};
    return CACHIFY_OK;
}

void cf_memory_table_free(struct cf_memory_table *t)
{
    struct cds_lfht_iter at;
    urcu_bp_read_lock();
    for (cds_lfht_first(t->entries, &at); found(&at) != NULL; cds_lfht_next(t->entries, &at))
        cf_memory_take_out(t, found(&at));
    urcu_bp_read_unlock();
    urcu_bp_synchronize_rcu();
    TSAN_ACQUIRE(t);
    free_all(atomic_exchange(&t->retired, NULL));
    cds_lfht_destroy(t->entries, NULL);
}
