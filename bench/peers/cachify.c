/* The library itself. */
#include "cachify_bench.h"
#include "peers/loops.h"

#include <cachify/shm.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATIENT_MS 10000
#define SHORT_MS 1
#define EXPIRE_BATCH 500

cachify_t *instance;
static cachify_t *patient; /* whose waiters do not wake by themselves while it is measured */
static char segment[128];
static const cachify_lock_t hot = {.key = HOT};
static const cachify_lock_t hot_wait = {.key = HOT, .wait = true};
static const cachify_lock_t hot_for_ever = {.key = HOT, .wait = true, .exp_ms = CACHIFY_NEVER};
static _Thread_local cachify_lease_t taken;

void must(cachify_status_t got, cachify_status_t expected)
{
    if (got == expected)
        return;
    fail("%s; expected %s: %s", cachify_strerror(got), cachify_strerror(expected),
         cachify_last_error());
}

static const char *open_segment(void)
{
    snprintf(segment, sizeof segment, "%s/segment", room_path());
    cachify_config_t config = {.path = segment};
    must(cachify_open(&config, &instance), CACHIFY_OK);
    config.poll_interval_ms = PATIENT_MS;
    must(cachify_open(&config, &patient), CACHIFY_OK);
    return NULL;
}

static void version(char *text, size_t room)
{
    snprintf(text, room, "libcachify %s", cachify_version());
}

/* ---- The lock of one key ---- */

static void take(void)
{
    must(cachify_acquire(instance, &hot_wait, &taken), CACHIFY_OK);
}

static void give(void)
{
    must(cachify_release(&taken), CACHIFY_OK);
}

static void hold(void)
{
    must(cachify_acquire(instance, &hot_for_ever, &taken), CACHIFY_OK);
}

static void take_patiently(void)
{
    must(cachify_acquire(patient, &hot_wait, &taken), CACHIFY_OK);
}

static void take_name(const char *name)
{
    cachify_lock_t lock = {.key = name};
    must(cachify_acquire(instance, &lock, &taken), CACHIFY_OK);
}

static void take_key(unsigned key)
{
    take_name(key_name(key));
}

static void give_key(unsigned key)
{
    (void)key;
    give();
}

static const struct lock cachify_lock = {
    .take = take, .give = give, .hold = hold, .take_key = take_key, .give_key = give_key};
static const struct lock patient_lock = {.take = take_patiently, .give = give};

/* ---- Loops ---- */

static double pair_on(cachify_t *on, long n)
{
    cachify_lease_t lease;
    uint64_t begin = now_ns();
    for (long i = 0; i < n; i++) {
        must(cachify_acquire(on, &hot, &lease), CACHIFY_OK);
        must(cachify_release(&lease), CACHIFY_OK);
    }
    return (double)(now_ns() - begin) / (double)n;
}

static double pair_loop(long n)
{
    return pair_on(instance, n);
}

/* The global instance's pointer is guarded by RCU. */
static double pair_global_loop(long n)
{
    cachify_config_t config = {.path = segment};
    must(cachify_init(&config), CACHIFY_OK);
    double ns = pair_on(NULL, n);
    must(cachify_shutdown(), CACHIFY_OK);
    return ns;
}

/* The clock is read around each, and what that takes is taken off. */
static double acquire_loop(long n)
{
    cachify_lease_t lease;
    uint64_t acquiring = 0, reading = 0;
    for (long i = 0; i < n; i++) {
        uint64_t begin = now_ns();
        must(cachify_acquire(instance, &hot, &lease), CACHIFY_OK);
        uint64_t end = now_ns();
        must(cachify_release(&lease), CACHIFY_OK);
        acquiring += end - begin;
        begin = now_ns();
        reading += now_ns() - begin;
    }
    return ((double)acquiring - (double)reading) / (double)n;
}

static double keys_loop(long n)
{
    return ns_each_key(n, take_key, give_key);
}

static void busy(void)
{
    cachify_lease_t other;
    must(cachify_acquire(instance, &hot, &other), CACHIFY_LOCKED);
}

static double busy_loop(long n)
{
    return ns_each_held(n, &cachify_lock, busy);
}

static void ask(void)
{
    bool locked;
    must(cachify_is_locked(instance, HOT, &locked), CACHIFY_OK);
}

static double is_locked_loop(long n)
{
    return ns_each(n, ask);
}

static void extend(void)
{
    must(cachify_extend(&taken, LEASE_MS), CACHIFY_OK);
}

static double extend_loop(long n)
{
    return ns_each_held(n, &cachify_lock, extend);
}

static void ask_lease(void)
{
    if (!cachify_lease_held(&taken))
        fail("a lease is lost");
}

static double lease_held_loop(long n)
{
    return ns_each_held(n, &cachify_lock, ask_lease);
}

static double expired_loop(long n)
{
    static cachify_lease_t before[EXPIRE_BATCH], after[EXPIRE_BATCH];
    uint64_t ns = 0;
    for (long done = 0; done < n;) {
        unsigned batch = n - done < EXPIRE_BATCH ? (unsigned)(n - done) : EXPIRE_BATCH;
        for (unsigned i = 0; i < batch; i++) {
            cachify_lock_t lock = {.key = key_name(i), .exp_ms = SHORT_MS};
            must(cachify_acquire(instance, &lock, &before[i]), CACHIFY_OK);
        }
        usleep(EXPIRED_AFTER_US);
        uint64_t begin = now_ns();
        for (unsigned i = 0; i < batch; i++) {
            cachify_lock_t lock = {.key = key_name(i)};
            must(cachify_acquire(instance, &lock, &after[i]), CACHIFY_OK);
        }
        ns += now_ns() - begin;
        for (unsigned i = 0; i < batch; i++) {
            must(cachify_release(&before[i]), CACHIFY_LOST);
            must(cachify_release(&after[i]), CACHIFY_OK);
        }
        done += batch;
    }
    return (double)ns / (double)n;
}

static void fresh_pair(const char *name)
{
    take_name(name);
    give();
}

static double fresh_loop(long n)
{
    return ns_each_fresh(n, fresh_pair, NULL);
}

static void open_close(void)
{
    cachify_t *opened;
    cachify_config_t config = {.path = segment};
    must(cachify_open(&config, &opened), CACHIFY_OK);
    must(cachify_close(opened), CACHIFY_OK);
}

static double open_close_loop(long n)
{
    return ns_each(n, open_close);
}

static double lock_bytes(long n)
{
    cachify_shm_view_t *view;
    cachify_shm_header_t header = {0};
    (void)n;
    must(cachify_shm_open(NULL, segment, &view), CACHIFY_OK);
    must(cachify_shm_header(view, &header), CACHIFY_OK);
    cachify_shm_close(view);
    return (double)header.bytes / header.max_locks;
}

const struct peer cachify_peer = {.name = "cachify",
                                  .open = open_segment,
                                  .version = version,
                                  .lock = &cachify_lock,
                                  .async = &async_lock,
                                  .pool = &patient_lock,
                                  .fill = held_fill,
                                  .empty = held_empty,
                                  .fill_most = 5000000,
                                  .loop = {[PAIR] = pair_loop,
                                           [PAIR_GLOBAL] = pair_global_loop,
                                           [ACQUIRE] = acquire_loop,
                                           [RANDOM_KEYS] = keys_loop,
                                           [BUSY] = busy_loop,
                                           [IS_LOCKED] = is_locked_loop,
                                           [EXTEND] = extend_loop,
                                           [LEASE_HELD] = lease_held_loop,
                                           [EXPIRED] = expired_loop,
                                           [FRESH_KEYS] = fresh_loop,
                                           [OPEN_CLOSE] = open_close_loop,
                                           [REGISTER] = register_loop,
                                           [HELD] = held_loop,
                                           [FILL] = held_fill_loop,
                                           [LIST] = held_walk_loop,
                                           [LOCK_BYTES] = lock_bytes,
                                           [TEXT_BYTES] = library_text_bytes}};
