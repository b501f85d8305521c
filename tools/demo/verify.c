#include "verify.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cachify/cachify.h>

#include "worker.h"

#define MS 1e6
#define SHOWN 5u /* of many faults of one kind */

__attribute__((format(printf, 2, 3))) static bool say(bool good, const char *format, ...)
{
    va_list args;
    printf("  %-4s  ", good ? "ok" : "FAIL");
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
    return good;
}

__attribute__((format(printf, 2, 3))) static void show(const char *path, const char *format, ...)
{
    va_list args;
    char shown[SHOWN_ROOM];
    show_path(shown, path);
    printf("        %s: ", shown);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

/* ---- Order ---- */

static int by_file_and_start(const void *a, const void *b)
{
    const struct hold *x = a, *y = b;
    if (x->file != y->file)
        return x->file < y->file ? -1 : 1;
    return (x->start > y->start) - (x->start < y->start);
}

/* Until when the holder had the lock.  One whose lease went to another had it, and could
 * believe in it, only until it ended. */
static int64_t held_until(const struct hold *h)
{
    return h->told == CACHIFY_LOST && h->until < h->end ? h->until : h->end;
}

/* ---- Every file hashed ---- */

/* Of one file.  Who loses its lease between the look at it and the mark that the file is
 * done has hashed it all the same; another may have done so too, and neither is wrong. */
struct sums {
    uint32_t hashed; /* times, by holders that had the lock to the end */
    uint32_t late;   /* by others */
    uint64_t checksum;
    bool differ;
};

static void add_sum(struct sums *sums, const struct hold *h)
{
    if (h->result != HASHED)
        return;
    sums->differ |= sums->hashed + sums->late > 0 && sums->checksum != h->checksum;
    sums->checksum = h->checksum;
    sums->hashed += h->told == CACHIFY_OK;
    sums->late += h->told != CACHIFY_OK;
}

static bool every_file_hashed(const struct ledger *ledger, const struct tree *tree)
{
    uint32_t missing = 0, repeated = 0, differing = 0;
    size_t at = 0;
    for (uint32_t file = 0; file < tree->count; file++) {
        struct sums sums = {0};
        for (; at < ledger->count && ledger->hold[at].file == file; at++)
            add_sum(&sums, &ledger->hold[at]);
        bool bad = sums.hashed > 1 || sums.hashed + sums.late == 0;
        missing += sums.hashed + sums.late == 0;
        repeated += sums.hashed > 1;
        differing += sums.differ;
        if (bad && missing + repeated <= SHOWN)
            show(tree->path[file], "was hashed %u times", sums.hashed);
    }
    bool known = at == ledger->count; /* no file beyond the list */
    return say(known && missing == 0 && repeated == 0 && differing == 0,
               "%u of %u files hashed, %u of them more than once, %u with differing results",
               tree->count - missing, tree->count, repeated, differing);
}

/* ---- Exclusion ---- */

static bool in_order(const struct hold *a, const struct hold *b, const struct tree *tree,
                     uint32_t *shown)
{
    bool apart = held_until(a) <= b->start, growing = a->token < b->token;
    if ((apart && growing) || (*shown)++ >= SHOWN)
        return apart && growing;
    show(tree->path[a->file],
         "pid %" PRId64 " held it from %" PRId64 " to %" PRId64 " with token %" PRIu64
         ", pid %" PRId64 " from %" PRId64 " with token %" PRIu64,
         a->pid, a->start, held_until(a), a->token, b->pid, b->start, b->token);
    return false;
}

static bool one_holder_at_a_time(const struct ledger *ledger, const struct tree *tree)
{
    uint32_t bad = 0, shown = 0;
    for (size_t i = 1; i < ledger->count; i++) {
        const struct hold *a = &ledger->hold[i - 1], *b = &ledger->hold[i];
        bad += a->file == b->file && a->file < tree->count && !in_order(a, b, tree, &shown);
    }
    return say(bad == 0, "%zu holds of %u locks: %u overlaps or tokens out of order", ledger->count,
               tree->count, bad);
}

/* ---- The victims ---- */

static const struct hold *hold_of(const struct ledger *ledger, const struct victim *victim)
{
    for (size_t i = 0; i < ledger->count; i++)
        if (ledger->hold[i].file == victim->file && ledger->hold[i].token == victim->token)
            return &ledger->hold[i];
    return NULL;
}

/* Who took the lock from the victim. */
static const struct hold *successor(const struct ledger *ledger, const struct victim *victim)
{
    for (size_t i = 0; i < ledger->count; i++)
        if (ledger->hold[i].file == victim->file && ledger->hold[i].previous_token == victim->token)
            return &ledger->hold[i];
    return NULL;
}

/* Where its death is not noticed. */
static bool taken_after_expiry(const struct hold *next, const struct victim *killed)
{
    double ms = (double)(next->start - killed->until) / MS;
    return say(next->how == CACHIFY_EXPIRED && next->previous_pid == killed->pid && ms >= 0,
               "killed worker: nobody notices a death on a server; its lock was taken over %.1f ms "
               "after its lease ended, origin %s, previous pid %" PRId64 " (was %" PRId64 ")",
               ms, next->how == CACHIFY_EXPIRED ? "EXPIRED" : "not EXPIRED", next->previous_pid,
               killed->pid);
}

static bool taken_from_the_killed(const struct ledger *ledger, const struct victim *killed,
                                  bool sees_death)
{
    const struct hold *next = successor(ledger, killed);
    if (next == NULL)
        return say(false, "nobody took over the lock of the killed worker %" PRId64, killed->pid);
    if (!sees_death)
        return taken_after_expiry(next, killed);
    double ms = (double)(next->start - killed->when) / MS;
    bool good = next->how == CACHIFY_OWNER_DIED && next->previous_pid == killed->pid && ms >= 0 &&
                ms < LEASE_MS / 2.0;
    return say(good,
               "killed worker: its lock was taken over after %.1f ms (its lease had %d ms), "
               "origin %s, previous pid %" PRId64 " (was %" PRId64 ")",
               ms, LEASE_MS,
               next->how == CACHIFY_OWNER_DIED ? "OWNER_DIED"
               : next->how == CACHIFY_EXPIRED  ? "EXPIRED"
                                               : "FRESH",
               next->previous_pid, killed->pid);
}

static bool taken_from_the_stopped(const struct ledger *ledger, const struct victim *stopped)
{
    const struct hold *next = successor(ledger, stopped);
    if (next == NULL)
        return say(false, "nobody took over the lock of the stopped worker %" PRId64, stopped->pid);
    double ms = (double)(next->start - stopped->when) / MS;
    return say(next->how == CACHIFY_EXPIRED && ms >= 0,
               "stopped worker: its lock was taken over %.1f ms after its lease ended, origin %s",
               ms, next->how == CACHIFY_EXPIRED ? "EXPIRED" : "not EXPIRED");
}

static bool stopped_was_told(const struct ledger *ledger, const struct victim *stopped)
{
    const struct hold *its = hold_of(ledger, stopped);
    if (its == NULL)
        return say(false, "the stopped worker %" PRId64 " wrote nothing about its hold",
                   stopped->pid);
    return say(its->pid == stopped->pid && its->result == LOST && its->told == CACHIFY_LOST,
               "stopped worker: it was told %s when it renewed, %s when it released; it %s",
               its->result == LOST ? "LOST" : "nothing", its->told == CACHIFY_LOST ? "LOST" : "OK",
               its->result == LOST ? "left the file alone" : "went on with the file");
}

bool verify(struct ledger *ledger, const struct tree *tree, const struct victim *killed,
            const struct victim *stopped, bool sees_death)
{
    if (ledger->count > 0)
        qsort(ledger->hold, ledger->count, sizeof *ledger->hold, by_file_and_start);
    bool good = every_file_hashed(ledger, tree);
    good &= one_holder_at_a_time(ledger, tree);
    good &= taken_from_the_killed(ledger, killed, sees_death);
    good &= taken_from_the_stopped(ledger, stopped);
    good &= stopped_was_told(ledger, stopped);
    return good;
}
