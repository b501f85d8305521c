/* So many keys held: what a pair on another key costs then, beside an empty table of the same size;
 * what filling takes; and what listing them does. */
#include "cachify_bench.h"
#include "peers/loops.h"

#include <cachify/shm.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SPARE 1000       /* that the full table can still take, for the pairs */
#define FREE_KEYS 65536u /* of the pairs: more than any cache keeps of a big table */
#define NOTES 100

struct table {
    cachify_t *instance;
    char path[128];
};

static struct table full, empty;
static char (*free_keys)[24];
static double fill_ns;
static long held;

const char *held_path(void)
{
    return full.path;
}

static bool open_table(struct table *t, const char *name, long count)
{
    snprintf(t->path, sizeof t->path, "%s/held-%s", room_path(), name);
    cachify_config_t config = {.path = t->path, .max_locks = (uint32_t)count + SPARE};
    return cachify_open(&config, &t->instance) == CACHIFY_OK;
}

static void close_table(struct table *t)
{
    if (t->instance == NULL)
        return;
    must(cachify_close(t->instance), CACHIFY_OK);
    unlink(t->path);
    t->instance = NULL;
}

static double pairs_in(const struct table *t, long n)
{
    static unsigned random = 1;
    cachify_lease_t lease;
    uint64_t begin = now_ns();
    for (long i = 0; i < n; i++) {
        random = random * 1664525u + 1013904223u;
        cachify_lock_t lock = {.key = free_keys[(random >> 8) % FREE_KEYS]};
        must(cachify_acquire(t->instance, &lock, &lease), CACHIFY_OK);
        must(cachify_release(&lease), CACHIFY_OK);
    }
    return (double)(now_ns() - begin) / (double)n;
}

/* All of them that a table can take, but for the spare ones. */
void held_fill(long count)
{
    cachify_lease_t lease;
    char key[32], note[16];
    uint64_t making = now_ns();
    for (long i = 0; i < count; i++) {
        snprintf(key, sizeof key, "held-%07ld", i);
        snprintf(note, sizeof note, "note %ld", i % NOTES);
    }
    making = now_ns() - making;
    uint64_t begin = now_ns();
    for (long i = 0; i < count; i++) {
        snprintf(key, sizeof key, "held-%07ld", i);
        snprintf(note, sizeof note, "note %ld", i % NOTES);
        cachify_lock_t lock = {.key = key,
                               .exp_ms = CACHIFY_NEVER,
                               .value = note,
                               .value_len = (uint32_t)strlen(note)};
        must(cachify_acquire(full.instance, &lock, &lease), CACHIFY_OK);
    }
    fill_ns = ((double)(now_ns() - begin) - (double)making) / (double)count;
    held = count;
    /* Once, unmeasured, so that both have touched what pairs touch. */
    pairs_in(&full, FREE_KEYS);
    pairs_in(&empty, FREE_KEYS);
}

void held_empty(long count)
{
    (void)count;
    close_table(&full);
    close_table(&empty);
    free(free_keys);
    free_keys = NULL;
}

const char *held_open(long count)
{
    static char why[160];
    bool there = open_table(&full, "full", count) && open_table(&empty, "empty", count);
    free_keys = calloc(FREE_KEYS, sizeof *free_keys);
    if (!there || free_keys == NULL) {
        snprintf(why, sizeof why, "%s", cachify_last_error());
        return why;
    }
    for (unsigned i = 0; i < FREE_KEYS; i++)
        snprintf(free_keys[i], sizeof free_keys[i], "free-%u", i);
    for (unsigned i = 0; i < peer_count; i++)
        if (peers[i]->fill != NULL && peers[i]->fill_most >= count && is_measured(peers[i]))
            peers[i]->fill(count);
    return NULL;
}

void held_close(long count)
{
    for (unsigned i = 0; i < peer_count; i++)
        if (peers[i]->fill != NULL && peers[i]->fill_most >= count && is_measured(peers[i]))
            peers[i]->empty(count);
}

double held_loop(long n)
{
    return pairs_in(&full, n);
}

double held_empty_loop(long n)
{
    return pairs_in(&empty, n);
}

double held_fill_loop(long n)
{
    (void)n;
    return fill_ns;
}

static int count_lease(void *context, const cachify_shm_lease_t *lease)
{
    long *count = context;
    *count += lease->key_len > 0;
    return 0;
}

/* The library's part of a listing: seconds. */
double held_walk_loop(long n)
{
    cachify_shm_view_t *view;
    long found = 0;
    (void)n;
    uint64_t begin = now_ns();
    must(cachify_shm_open(NULL, full.path, &view), CACHIFY_OK);
    must(cachify_shm_leases(view, count_lease, &found, NULL), CACHIFY_OK);
    cachify_shm_close(view);
    double s = (double)(now_ns() - begin) / 1e9;
    if (found < held)
        fail("%ld of %ld leases were listed", found, held);
    return s;
}

const struct peer cachify_empty_peer = {.name = "cachify_empty",
                                        .loop = {[HELD] = held_empty_loop}};
