#include "hot.h"

#include <stdlib.h>
#include <string.h>

#include "leases.h"
#include "say.h"

/* Frames for which a lock is remembered that nobody was seen to hold. */
#define FRAMES 16u

/* A rate is of no less time, for frames may follow each other at the speed of a finger. */
#define SAMPLE_MS 200

/* A lock as it was seen last. */
struct known {
    char *key; /* NULL: unused */
    const char *segment;
    uint32_t key_len;
    uint32_t unseen;  /* for so many frames */
    uint32_t sampled; /* its token was seen */
    uint64_t hash;
    uint64_t token;
    int64_t at_ms;
    double rate;        /* < 0: not known */
    uint64_t waited_ms; /* by all that wait for it in this frame */
    uint32_t waiters;
};

struct row {
    struct row_head head;
    cachify_info_t info;
    uint64_t waited_ms;
    uint64_t taken; /* a second */
    bool taken_known;
    uint32_t key_len;
    char key[];
};

/* ---- Memory ---- */

static uint64_t hash_of(const char *key, uint32_t len)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (uint32_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)key[i]) * UINT64_C(0x100000001b3);
    return hash ^ hash >> 29;
}

static struct known *place_of(const struct memory *m, const char *segment, const char *key,
                              uint32_t len, uint64_t hash)
{
    size_t i = hash & (m->room - 1);
    for (; m->known[i].key != NULL; i = (i + 1) & (m->room - 1)) {
        const struct known *k = &m->known[i];
        if (k->hash == hash && k->key_len == len && memcmp(k->key, key, len) == 0 &&
            strcmp(k->segment, segment) == 0)
            break;
    }
    return &m->known[i];
}

/* Into another table, without what was not seen for long. */
static bool make_room(struct memory *m, size_t room)
{
    struct memory larger = {.known = calloc(room, sizeof *larger.known), .room = room};
    if (larger.known == NULL)
        return false;
    for (size_t i = 0; i < m->room; i++) {
        struct known *k = &m->known[i];
        if (k->key == NULL)
            continue;
        if (k->unseen > FRAMES) {
            free(k->key);
            continue;
        }
        *place_of(&larger, k->segment, k->key, k->key_len, k->hash) = *k;
        larger.count++;
    }
    free(m->known);
    *m = larger;
    return true;
}

/* NULL if memory is short. */
static struct known *know(struct memory *m, const char *segment, const char *key, uint32_t len)
{
    if (2 * (m->count + 1) > m->room && !make_room(m, m->room != 0 ? 2 * m->room : 64))
        return NULL;
    uint64_t hash = hash_of(key, len);
    struct known *k = place_of(m, segment, key, len, hash);
    if (k->key != NULL)
        return k;
    size_t segment_size = strlen(segment) + 1;
    char *copy = malloc(len + segment_size + 1);
    if (copy == NULL)
        return NULL;
    memcpy(copy, key, len);
    memcpy(copy + len, segment, segment_size);
    *k = (struct known){.key = copy, .segment = copy + len, .key_len = len, .hash = hash};
    m->count++;
    return k;
}

static bool next_frame(struct memory *m)
{
    size_t fresh = 0;
    for (size_t i = 0; i < m->room; i++) {
        m->known[i].waited_ms = 0;
        m->known[i].waiters = 0;
        fresh += m->known[i].key != NULL && ++m->known[i].unseen <= FRAMES;
    }
    return fresh == m->count || m->room == 0 || make_room(m, m->room);
}

void hot_forget(struct memory *m)
{
    for (size_t i = 0; i < m->room; i++)
        free(m->known[i].key);
    free(m->known);
    *m = (struct memory){0};
}

/* ---- One frame ---- */

struct frame {
    struct listing *listing;
    struct memory *memory;
    struct totals *totals;
    int64_t now_ms;
};

static int add_waiter(void *context, const cachify_waiter_t *waiter)
{
    struct frame *f = context;
    f->totals->waiters++;
    if (waiter->key_len == 0)
        return 0;
    struct known *k = know(f->memory, f->listing->segment, waiter->key, waiter->key_len);
    if (k == NULL)
        return 1;
    k->waiters++;
    k->waited_ms += (uint64_t)waiter->waited_ms;
    k->unseen = 0;
    return 0;
}

/* Tokens of a lock are drawn one after another, with gaps at times: as many as were drawn since. */
static void sample(struct known *k, uint64_t token, int64_t now_ms)
{
    int64_t ms = now_ms - k->at_ms;
    if (k->sampled && ms < SAMPLE_MS)
        return;
    bool counted = k->sampled && token >= k->token && token - k->token < UINT64_C(1) << 32;
    k->rate = counted ? (double)(token - k->token) * 1000 / (double)ms : -1;
    k->sampled = true;
    k->token = token;
    k->at_ms = now_ms;
}

static void count_lease(struct totals *t, uint32_t state)
{
    t->held += state == CACHIFY_STATE_HELD;
    t->expired += state == CACHIFY_STATE_EXPIRED;
    t->owner_dead += state == CACHIFY_STATE_OWNER_DEAD;
}

static int add_lease(void *context, const cachify_shm_lease_t *lease)
{
    struct frame *f = context;
    struct listing *l = f->listing;
    struct known *k = know(f->memory, l->segment, lease->key, lease->key_len);
    if (k == NULL)
        return 1;
    struct row *row = listing_new_row(l, sizeof *row + lease->key_len, UINT64_MAX - k->waited_ms,
                                      (uint64_t)(INT64_MAX - lease->info.held_ms));
    if (row == NULL)
        return 1;
    sample(k, lease->info.token, f->now_ms);
    *row = (struct row){
        .head = row->head,
        .info = lease->info,
        .waited_ms = k->waited_ms,
        .taken_known = k->rate >= 0,
        .taken = k->rate >= 0 ? (uint64_t)(k->rate + 0.5) : 0,
        .key_len = lease->key_len,
    };
    memcpy(row->key, lease->key, lease->key_len);
    if (k->rate >= 0)
        f->totals->taken += k->rate;
    k->unseen = 0;
    count_lease(f->totals, lease->info.state);
    listing_keep(l);
    return 0;
}

bool hot_list(struct listing *l, const struct sources *sources, struct memory *memory,
              int64_t now_ms, struct totals *totals)
{
    struct frame f = {l, memory, totals, now_ms};
    int short_of_memory = !next_frame(memory);
    *totals = (struct totals){0};
    for (size_t i = 0; i < sources->count && !short_of_memory; i++) {
        cachify_shm_header_t header = {.size = sizeof header};
        cachify_shm_counts_t counts = {.size = sizeof counts};
        l->segment = sources->path[i];
        check_status(cachify_shm_header(sources->view[i], &header));
        check_status(cachify_shm_count(sources->view[i], &counts));
        totals->max_locks += header.max_locks;
        totals->processes += counts.processes;
        check_status(cachify_shm_waiters(sources->view[i], add_waiter, &f, &short_of_memory));
        if (!short_of_memory)
            check_status(cachify_shm_leases(sources->view[i], add_lease, &f, &short_of_memory));
    }
    listing_sort(l);
    return !short_of_memory;
}

/* ---- Columns ---- */

static const struct row *row_of(const void *of)
{
    return of;
}

static struct value waiters_of(const void *of)
{
    return number_value(row_of(of)->info.waiters);
}

static struct value waited_of(const void *of)
{
    return number_value(row_of(of)->waited_ms);
}

static struct value taken_of(const void *of)
{
    const struct row *row = row_of(of);
    return (struct value){.number = row->taken, .none = !row->taken_known};
}

static struct value state_of(const void *of)
{
    return word_value(lease_state_word(row_of(of)->info.state));
}

static struct value held_of(const void *of)
{
    return number_value((uint64_t)row_of(of)->info.held_ms);
}

static struct value left_of(const void *of)
{
    return number_value((uint64_t)row_of(of)->info.remaining_ms);
}

static struct value pid_of(const void *of)
{
    return pid_value(row_of(of)->info.pid);
}

static struct value command_of(const void *of)
{
    return command_value(row_of(of)->info.command);
}

static struct value key_of(const void *of)
{
    return bytes_value(row_of(of)->key, row_of(of)->key_len);
}

static struct value note_of(const void *of)
{
    return bytes_value(row_of(of)->info.value, row_of(of)->info.value_len);
}

static const struct column columns[] = {
    {"WAITERS", "waiters", NUMBER, USUAL, waiters_of, "how many wait until it comes free"},
    {"WAITED", "waited_ms", TIME, USUAL, waited_of, "for how long they have, all together"},
    {"TAKEN/S", "taken", NUMBER, USUAL, taken_of, "how often it was acquired in a second"},
    {"STATE", "state", WORD, USUAL, state_of, "held, expired or owner-dead"},
    {"HELD", "held_ms", TIME, USUAL, held_of, "time since it was acquired"},
    {"LEFT", "left_ms", TIME, USUAL, left_of, "time until it expires, or never"},
    {"PID", "pid", NUMBER, USUAL, pid_of, "process that holds it"},
    {"COMMAND", "command", BYTES, USUAL, command_of, "name of that process"},
    {"KEY", "key", BYTES, USUAL, key_of, "the lock's name, with its prefix"},
    {"NOTE", "note", BYTES, USUAL, note_of, "what the holder left with the lease"},
    SEGMENT_COLUMN,
};

static const char *const states[] = {"held", "expired", "owner-dead", NULL};

const struct kind hot = {"locks",          columns,   sizeof columns / sizeof columns[0],
                         order_by_numbers, "held_ms", states};
