#include "shm/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "ground/fork.h"
#include "ground/thread.h"
#include "shm/line.h"
#include "shm/liveness.h"
#include "shm/segment.h"

/* In a list of the mapping's, under the process lock, as the first use of one is. */
struct cf_watch {
    struct cf_watch *next;
    struct cf_mapping *m;
    cf_owner owner;
    _Atomic uint32_t users;
    bool over;   /* the owner is dead, or cannot be watched; its thread ends alone */
    bool reaped; /* it was not over when it was taken off the list: its thread is to be joined */
    int fd;      /* of its own, -1: the mapping's serves */
    pthread_t thread;
};

/* ---- The thread ---- */

static struct flock byte_of(cf_owner owner, short type)
{
    return (struct flock){.l_type = type,
                          .l_whence = SEEK_SET,
                          .l_start = (off_t)(CF_LIVE_BYTES + cf_owner_entry(owner)),
                          .l_len = 1};
}

static int watched_through(const struct cf_watch *watch)
{
    return watch->fd >= 0 ? watch->fd : watch->m->fd;
}

/* A lock of the old kind, which belongs to the process: no child inherits it, and a process that
 * dies just as it was given it leaves none.  (Valgrind, too, knows of the old kind only that it
 * may block.)  Given back also when the thread is ended just then. */
static void unlock_byte(void *context)
{
    const struct cf_watch *watch = context;
    struct flock lock = byte_of(watch->owner, F_UNLCK);
    fcntl(watched_through(watch), F_SETLK, &lock);
}

/* Nothing else can end this sleep but the thread's own end: signals are blocked.  EBADF: the
 * descriptor was closed, or means another file; at once, or when the kernel was about to give
 * the lock, which it took back. */
static bool sleep_until_free(struct cf_watch *watch)
{
    struct flock lock = byte_of(watch->owner, F_RDLCK);
    int old, result;
    bool closed;
    pthread_cleanup_push(unlock_byte, watch);
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &old);
    do {
        result = fcntl(watched_through(watch), F_SETLKW, &lock);
    } while (result != 0 && errno == EINTR);
    closed = result != 0 && errno == EBADF;
    pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &old);
    pthread_cleanup_pop(1);
    return result == 0 || closed;
}

/* The lock is but a hint, for the descriptor may mean another file by now: what is asked then
 * is proof.  If the byte is another process's already, that one has said so. */
static void *watch_owner(void *context)
{
    struct cf_watch *watch = context;
    struct cf_mapping *m = watch->m;
    uint32_t entry = cf_owner_entry(watch->owner);
    uint64_t generation = cf_owner_generation(watch->owner);
    int old;
    bool free = cf_owner_known_dead(m, watch->owner) || sleep_until_free(watch);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
    if (free && !cf_segment_cut_short(m)) {
        cf_owner_ask(m, entry, generation, 0);
        cf_line_nudge_awaiting(m, cf_self(m), watch->owner);
    }
    cf_process_lock();
    watch->over = true;
    if (!watch->reaped)
        pthread_detach(pthread_self()); /* nothing of the watch is touched from here on */
    cf_process_unlock();
    return NULL;
}

/* ---- Its beginning and its end ---- */

/* A child's copies of what was its parent's: those threads are not here. */
static void forget_parent(struct cf_mapping *m)
{
    if (m->watches_of == cf_process_serial())
        return;
    while (m->watches != NULL) {
        struct cf_watch *watch = m->watches;
        m->watches = watch->next;
        free(watch);
    }
    m->watches_of = cf_process_serial();
    m->watch_count = 0;
    cf_store_relaxed(&m->idle_watches, 0);
}

static struct cf_watch *start(struct cf_mapping *m, cf_owner owner)
{
    struct cf_watch *watch = m->watch_count < CF_WATCHES ? calloc(1, sizeof *watch) : NULL;
    if (watch == NULL)
        return NULL;
    *watch = (struct cf_watch){.m = m, .owner = owner, .users = 1, .fd = -1};
    if (!cf_live_descriptor(m, &watch->fd) ||
        !cf_thread_start(&watch->thread, watch_owner, watch, "cachify-watch")) {
        if (watch->fd >= 0)
            close(watch->fd);
        free(watch);
        return NULL;
    }
    watch->next = m->watches;
    m->watches = watch;
    m->watch_count++;
    return watch;
}

/* Not needed for a second. */
static bool long_ago(const struct cf_mapping *m)
{
    return cf_now_coarse(m) - cf_load_relaxed(&m->watch_needed) > CF_WATCH_KEPT_NS;
}

struct cf_watch *cf_watch_begin(struct cf_mapping *m, cf_owner owner)
{
    if (cf_owner_entry(owner) >= m->processes)
        return NULL;
    cf_process_serial(); /* before the lock, which it may take */
    cf_process_lock();
    forget_parent(m);
    cf_store_relaxed(&m->keeps_watch, !long_ago(m));
    struct cf_watch *watch = m->watches;
    while (watch != NULL && (watch->owner != owner || watch->over))
        watch = watch->next;
    if (watch == NULL)
        watch = start(m, owner);
    else if (cf_add_seq(&watch->users, 1) == 0)
        cf_add_relaxed(&m->idle_watches, (uint32_t)-1);
    cf_process_unlock();
    return watch;
}

/* On the way from a wake to the lock: without the process lock. */
void cf_watch_end(struct cf_mapping *m, struct cf_watch *watch)
{
    if (watch != NULL && cf_add_seq(&watch->users, (uint32_t)-1) == 1)
        cf_add_relaxed(&m->idle_watches, 1);
}

/* Taken off the list first: joining is done without the lock.  As many as `kept` stay. */
static struct cf_watch *take_idle(struct cf_mapping *m, uint32_t kept)
{
    struct cf_watch *idle = NULL;
    cf_process_lock();
    forget_parent(m);
    for (struct cf_watch **at = &m->watches; *at != NULL;) {
        struct cf_watch *watch = *at;
        bool stays = cf_load_acquire(&watch->users) != 0;
        if (!stays && kept > 0) {
            stays = true;
            kept--;
        }
        if (stays) {
            at = &watch->next;
            continue;
        }
        *at = watch->next;
        watch->reaped = !watch->over;
        watch->next = idle;
        idle = watch;
        m->watch_count--;
        cf_add_relaxed(&m->idle_watches, (uint32_t)-1);
    }
    cf_process_unlock();
    return idle;
}

void cf_watch_reap_slow(struct cf_mapping *m)
{
    uint32_t kept = cf_load_relaxed(&m->keeps_watch) && !long_ago(m) ? 1 : 0;
    if (cf_load_relaxed(&m->idle_watches) <= kept)
        return;
    int saved = errno;
    cf_process_serial();
    struct cf_watch *idle = take_idle(m, kept);
    while (idle != NULL) {
        struct cf_watch *watch = idle;
        idle = watch->next;
        if (watch->reaped) {
            pthread_cancel(watch->thread);
            pthread_join(watch->thread, NULL);
        }
        if (watch->fd >= 0)
            close(watch->fd);
        free(watch);
    }
    errno = saved;
}

void cf_watch_end_all(struct cf_mapping *m)
{
    cf_store_relaxed(&m->keeps_watch, false);
    cf_watch_reap(m);
}
