#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cachify/cachify.h>

#include "ledger.h"

#define MS 1000000

void file_key(char key[KEY_ROOM], const char *path)
{
    snprintf(key, KEY_ROOM, "file-%s", path);
}

__attribute__((format(printf, 2, 3), noreturn)) static void give_up(const struct worker *w,
                                                                    const char *format, ...)
{
    va_list args;
    char text[1024];
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fprintf(stderr, "worker-pool: worker %u: %s\n", w->number, text);
    _exit(EXIT_FAILURE);
}

/* ---- The work ---- */

/* FNV-1a, 64 bits. */
static uint64_t checksum_of(const struct worker *w, const char *path)
{
    static unsigned char buffer[1 << 16];
    uint64_t sum = UINT64_C(0xcbf29ce484222325);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        give_up(w, "cannot open %s: %s", path, strerror(errno));
    ssize_t n;
    while ((n = read(fd, buffer, sizeof buffer)) > 0)
        for (ssize_t i = 0; i < n; i++)
            sum = (sum ^ buffer[i]) * UINT64_C(0x100000001b3);
    if (n < 0)
        give_up(w, "cannot read %s: %s", path, strerror(errno));
    close(fd);
    return sum;
}

/* ---- A hold ---- */

/* How long the holder can believe in its lease: what is left is told rounded down, and of a
 * moment after the one that is read first. */
static int64_t believed_until(const cachify_lease_t *lease)
{
    int64_t now = now_ns();
    return now + cachify_lease_remaining_ms(lease) * MS;
}

static void note_wait(struct shared *shared, int64_t waited)
{
    int64_t longest = atomic_load(&shared->longest_ns);
    while (waited > longest &&
           !atomic_compare_exchange_weak(&shared->longest_ns, &longest, waited)) {
    }
    if (waited > MS / 10)
        atomic_fetch_add(&shared->waits, 1);
}

static void take(const struct worker *w, cachify_lease_t *lease, struct hold *hold)
{
    char key[KEY_ROOM], note[32];
    cachify_origin_t origin = {.size = sizeof origin};
    file_key(key, w->tree->path[hold->file]);
    int note_len = snprintf(note, sizeof note, "worker %u", w->number);
    cachify_lock_t lock = {
        .size = sizeof lock,
        .key = key,
        .wait = true,
        .exp_ms = LEASE_MS,
        .value = note,
        .value_len = (uint32_t)note_len,
    };
    int64_t asked = now_ns();
    if (cachify_acquire(NULL, &lock, lease) != CACHIFY_OK)
        give_up(w, "cannot lock %s: %s", key, cachify_last_error());
    hold->start = now_ns();
    hold->until = believed_until(lease);
    hold->token = cachify_lease_token(lease);
    hold->how = cachify_lease_origin(lease, &origin);
    hold->previous_pid = origin.previous_pid;
    hold->previous_token = origin.previous_token;
    note_wait(w->shared, hold->start - asked);
    atomic_fetch_add(&w->shared->holds, 1);
    atomic_store(&w->shared->file[hold->file].last_token, hold->token);
}

/* The foreman wants somebody who holds a lock and does as told.  Being killed or stopped
 * comes upon the worker unannounced. */
static void obey(const struct worker *w, cachify_lease_t *lease, struct hold *hold)
{
    char order = ORDER_RENEW;
    while (order == ORDER_RENEW) {
        struct report report = {
            .file = hold->file, .token = hold->token, .start = hold->start, .until = hold->until};
        if (send(w->socket, &report, sizeof report, MSG_NOSIGNAL) != sizeof report ||
            recv(w->socket, &order, 1, 0) != 1)
            give_up(w, "lost the foreman: %s", strerror(errno));
        if (order == ORDER_RENEW) {
            if (cachify_extend(lease, LEASE_MS) != CACHIFY_OK)
                give_up(w, "cannot renew: %s", cachify_last_error());
            hold->until = believed_until(lease);
        }
    }
}

/* A holder asks before it acts on what it holds.  Late, but not too late, it renews. */
static bool still_mine(cachify_lease_t *lease, struct hold *hold)
{
    if (cachify_lease_held(lease))
        return true;
    if (cachify_extend(lease, LEASE_MS) != CACHIFY_OK)
        return false;
    hold->until = believed_until(lease);
    return true;
}

/* Work takes time, and one more than another, so queues form: from none to twice the usual. */
static void take_time(const struct worker *w, uint32_t file)
{
    const struct timespec time = {.tv_nsec = (long)w->work * MS * (file * w->number % 5) / 2};
    if (time.tv_nsec > 0)
        nanosleep(&time, NULL);
}

static void work(const struct worker *w, cachify_lease_t *lease, struct hold *hold)
{
    if (!still_mine(lease, hold)) {
        hold->result = LOST;
        return;
    }
    take_time(w, hold->file);
    if (atomic_load(&w->shared->file[hold->file].done)) {
        hold->result = SEEN;
        return;
    }
    hold->checksum = checksum_of(w, w->tree->path[hold->file]);
    hold->result = still_mine(lease, hold) ? HASHED : LOST;
    if (hold->result == HASHED && atomic_exchange(&w->shared->file[hold->file].done, 1) == 0)
        atomic_fetch_add(&w->shared->done, 1);
}

static void visit(const struct worker *w, uint32_t file)
{
    struct hold hold = {.file = file, .pid = getpid()};
    cachify_lease_t lease = CACHIFY_LEASE_INIT;
    uint32_t me = w->number;
    take(w, &lease, &hold);
    if (atomic_compare_exchange_strong(&w->shared->wanted, &me, 0))
        obey(w, &lease, &hold);
    work(w, &lease, &hold);
    hold.end = now_ns();
    cachify_status_t told = cachify_release(&lease);
    if (told != CACHIFY_OK && told != CACHIFY_LOST)
        give_up(w, "cannot unlock file-%s: %s", w->tree->path[file], cachify_last_error());
    hold.told = told;
    if (!ledger_append(w->ledger, &hold, w->tree->path[file]))
        give_up(w, "cannot write the ledger: %s", strerror(errno));
}

/* The whole list at least once, so each file is offered to every worker; and on until the
 * foreman has seen what he wanted to see, but calmly. */
_Noreturn void worker_run(const struct worker *w)
{
    const struct timespec calm = {.tv_nsec = MS / 5};
    for (uint32_t round = 0;; round++)
        for (uint32_t i = 0; i < w->tree->count; i++) {
            if (round > 0 && atomic_load(&w->shared->finish)) {
                cachify_shutdown();
                _exit(EXIT_SUCCESS);
            }
            if (round > 0)
                nanosleep(&calm, NULL);
            visit(w, (w->first + i) % w->tree->count);
        }
}
