#include "tree.h"

#include <langinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "leases.h"
#include "say.h"
#include "waiters.h"

struct row {
    struct row_head head;
    const char *state;
    int64_t pid;
    int64_t thread;
    int64_t since_ms;
    int64_t left_ms;
    bool is_lock;
    bool event_loop;
    bool last;    /* of those in line */
    size_t place; /* in line, from 1 */
    char command[16];
    char label[32]; /* of who waits */
    uint32_t key_len;
    char key[];
};

static struct row *new_row(struct listing *l, const char *key, uint32_t key_len, const char *state)
{
    struct row *row = listing_new_row(l, sizeof *row + key_len, l->count, 0);
    if (row == NULL)
        return NULL;
    *row = (struct row){.head = row->head, .state = state, .key_len = key_len};
    memcpy(row->key, key, key_len);
    return row;
}

/* ---- Locks ---- */

/* What a search for the holders knows: the locks that somebody waits for, by their keys. */
struct search {
    struct row **lock;
    size_t count;
};

static int compare_keys(const struct row *row, const char *key, uint32_t len)
{
    int result = memcmp(row->key, key, row->key_len < len ? row->key_len : len);
    return result != 0 ? result : (row->key_len > len) - (row->key_len < len);
}

static struct row *find(const struct search *s, const char *key, uint32_t len)
{
    size_t low = 0, high = s->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int result = compare_keys(s->lock[middle], key, len);
        if (result == 0)
            return s->lock[middle];
        if (result < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static int found_lease(void *context, const cachify_shm_lease_t *lease)
{
    struct row *row = find(context, lease->key, lease->key_len);
    if (row == NULL)
        return 0;
    row->state = lease_state_word(lease->info.state);
    row->pid = lease->info.pid;
    row->thread = lease->info.thread;
    row->since_ms = lease->info.held_ms;
    row->left_ms = lease->info.remaining_ms;
    memcpy(row->command, lease->info.command, sizeof row->command);
    return 0;
}

/* ---- Those in line ---- */

static const char *branch(bool last)
{
    bool utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    if (utf8)
        return last ? "\xe2\x94\x94\xe2\x94\x80" : "\xe2\x94\x9c\xe2\x94\x80";
    return last ? "`-" : "|-";
}

static bool add_waiter(struct listing *l, const struct waiter_row *w, size_t place, bool last)
{
    struct row *row = new_row(l, w->key, w->key_len, "waits");
    if (row == NULL)
        return false;
    row->pid = w->pid;
    row->thread = w->thread;
    row->since_ms = w->waited_ms;
    row->event_loop = w->event_loop;
    row->place = place;
    memcpy(row->command, w->command, sizeof row->command);
    if (l->choice->aligned)
        snprintf(row->label, sizeof row->label, "%s%zu", branch(last), place);
    listing_keep(l);
    return true;
}

static bool same_key(const struct waiter_row *a, const struct waiter_row *b)
{
    return a->key_len == b->key_len && memcmp(a->key, b->key, a->key_len) == 0;
}

/* A lock and its line; they begin at *r and it ends behind them. */
static bool add_line(struct listing *l, const struct listing *line, size_t *r, struct search *s)
{
    const struct waiter_row *first = listing_row(line, *r), *w = first;
    struct row *lock = new_row(l, first->key, first->key_len, "free");
    if (lock == NULL)
        return false;
    lock->is_lock = true;
    if (lock->key_len > 0)
        s->lock[s->count++] = lock;
    for (size_t place = 1; w != NULL; place++) {
        const struct waiter_row *next = *r + 1 < line->count ? listing_row(line, *r + 1) : NULL;
        if (next != NULL && !same_key(first, next))
            next = NULL;
        if (!add_waiter(l, w, place, next == NULL))
            return false;
        ++*r;
        w = next;
    }
    return true;
}

bool tree_add(struct listing *l, const cachify_shm_view_t *view, const struct filter *filter)
{
    int short_of_memory = 0;
    struct choice choice = {.kind = &waiters, .filter = filter};
    struct listing line = {.choice = &choice};
    l->segment = cachify_shm_path(view);
    check_status(cachify_shm_waiters(view, waiters_add, &line, &short_of_memory));
    listing_sort(&line);
    /* An array of pointers, as it is meant.  NOLINTNEXTLINE(bugprone-sizeof-expression) */
    struct search search = {.lock = calloc(line.count + 1, sizeof *search.lock)};
    bool done = !short_of_memory && search.lock != NULL;
    for (size_t r = 0; done && r < line.count;)
        done = add_line(l, &line, &r, &search);
    if (done && search.count > 0)
        check_status(cachify_shm_leases(view, found_lease, &search, NULL));
    for (size_t i = 0; done && i < search.count; i++)
        listing_measure(l, search.lock[i]);
    free(search.lock);
    listing_free(&line);
    return done;
}

/* ---- Columns ---- */

static struct value lock_of(const void *of)
{
    const struct row *row = of;
    return row->label[0] != '\0' ? word_value(row->label) : bytes_value(row->key, row->key_len);
}

static struct value state_of(const void *of)
{
    return word_value(((const struct row *)of)->state);
}

static struct value pid_of(const void *of)
{
    return pid_value(((const struct row *)of)->pid);
}

static struct value thread_of(const void *of)
{
    return pid_value(((const struct row *)of)->thread);
}

static struct value command_of(const void *of)
{
    return command_value(((const struct row *)of)->command);
}

/* Of a lock that nobody was seen to hold no time is known. */
static struct value since_of(const void *of)
{
    const struct row *row = of;
    return (struct value){.number = (uint64_t)row->since_ms, .none = row->pid == 0};
}

static struct value left_of(const void *of)
{
    const struct row *row = of;
    return (struct value){.number = (uint64_t)row->left_ms, .none = !row->is_lock || row->pid == 0};
}

static struct value loop_of(const void *of)
{
    const struct row *row = of;
    return (struct value){.number = row->event_loop, .none = row->is_lock};
}

static struct value key_of(const void *of)
{
    const struct row *row = of;
    return bytes_value(row->key, row->key_len);
}

static const struct column columns[] = {
    {"LOCK", "lock", BYTES, USUAL, lock_of, "the lock's name; below it places in line"},
    {"STATE", "state", WORD, USUAL, state_of,
     "waits; of the lock: held, expired, owner-dead, or free at this moment"},
    {"PID", "pid", NUMBER, USUAL, pid_of, "process that holds it, or waits"},
    {"THREAD", "thread", NUMBER, USUAL, thread_of, "kernel's number of its thread"},
    {"COMMAND", "command", BYTES, USUAL, command_of, "name of that process"},
    {"SINCE", "since_ms", TIME, USUAL, since_of, "time since it acquired it, or came"},
    {"LEFT", "left_ms", TIME, USUAL, left_of, "time until the lock expires, or never"},
    {"LOOP", "event_loop", FLAG, USUAL, loop_of, "whether an event loop waits: no thread sleeps"},
    {"KEY", "key", BYTES, ON_DEMAND, key_of, "the lock's name, on every line"},
    SEGMENT_COLUMN,
};

const struct kind tree = {"tree",           columns, sizeof columns / sizeof columns[0],
                          order_by_numbers, NULL,    NULL};
