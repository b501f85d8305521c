#include "pool.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ledger.h"

#define SECOND INT64_C(1000000000)
#define LOOK_NS 2000000

volatile sig_atomic_t pool_interrupted;

/* ---- Showing ---- */

static void clear_line(const struct pool *pool)
{
    if (pool->terminal)
        fputs("\r\033[K", stdout);
}

static double elapsed(const struct pool *pool)
{
    return (double)(now_ns() - pool->started) / (double)SECOND;
}

void pool_say(struct pool *pool, const char *format, ...)
{
    va_list args;
    clear_line(pool);
    printf("[%6.3f s] ", elapsed(pool));
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
    fflush(stdout);
}

static void show_progress(const struct pool *pool)
{
    if (!pool->terminal)
        return;
    clear_line(pool);
    printf("[%6.3f s] %u of %u files, %u holds", elapsed(pool), atomic_load(&pool->shared->done),
           pool->tree->count, atomic_load(&pool->shared->holds));
    fflush(stdout);
}

static bool complain(struct pool *pool, const char *what, const char *why)
{
    clear_line(pool);
    fflush(stdout);
    fprintf(stderr, "worker-pool: %s: %s\n", what, why);
    return false;
}

/* ---- Starting ---- */

static bool start(struct pool *pool, uint32_t i)
{
    int pair[2];
    fflush(stdout);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return complain(pool, "cannot make a socket pair", strerror(errno));
    pid_t foreman = getpid(), pid = fork();
    if (pid < 0)
        return complain(pool, "cannot fork", strerror(errno));
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != foreman)
            _exit(EXIT_FAILURE);
        signal(SIGINT, SIG_IGN); /* a terminal tells all; the foreman deals with it */
        signal(SIGTERM, SIG_DFL);
        signal(SIGHUP, SIG_DFL);
        worker_run(&(struct worker){
            .number = i + 1,
            /* Two begin at the same place, and meet at every file. */
            .first = (uint32_t)((uint64_t)pool->tree->count * (i / 2) / ((pool->size + 1) / 2)),
            .work = pool->work,
            .socket = pair[1],
            .ledger = pool->ledger,
            .tree = pool->tree,
            .shared = pool->shared,
        });
    }
    close(pair[1]);
    pool->worker[i].pid = pid;
    pool->worker[i].socket = pair[0];
    return true;
}

bool pool_start(struct pool *pool, const struct tree *tree, int ledger, uint32_t size,
                uint32_t work)
{
    size_t bytes = sizeof *pool->shared + (size_t)tree->count * sizeof pool->shared->file[0];
    void *shared = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    *pool = (struct pool){
        .tree = tree,
        .shared = shared,
        .ledger = ledger,
        .size = size,
        .work = work,
        .started = now_ns(),
        .patience_s = pool->patience_s,
        .terminal = isatty(STDOUT_FILENO),
    };
    if (shared == MAP_FAILED)
        return complain(pool, "cannot map memory to share", strerror(errno));
    for (uint32_t i = 0; i < size; i++)
        if (!start(pool, i))
            return false;
    return true;
}

bool pool_replace(struct pool *pool, uint32_t i)
{
    return start(pool, i);
}

/* ---- Waiting ---- */

/* Whether all that should live do.  Reaps nobody else's child. */
static bool all_well(struct pool *pool)
{
    for (uint32_t i = 0; i < pool->size; i++) {
        if (pool->worker[i].pid == 0 || waitpid(pool->worker[i].pid, NULL, WNOHANG) == 0)
            continue;
        pool->worker[i].pid = 0;
        return complain(pool, "a worker ended", "it should not have");
    }
    return true;
}

bool pool_wait(struct pool *pool, pool_condition *condition, void *context, const char *what)
{
    const struct timespec nap = {.tv_nsec = LOOK_NS};
    int64_t begun = now_ns(), shown = 0;
    while (!condition(pool, context)) {
        int64_t now = now_ns();
        if (pool_interrupted)
            return complain(pool, what, "interrupted");
        if (!atomic_load(&pool->shared->finish) && !all_well(pool))
            return false;
        if (now - begun > pool->patience_s * SECOND) {
            char why[48];
            snprintf(why, sizeof why, "did not happen in %d s", pool->patience_s);
            return complain(pool, what, why);
        }
        if (now - shown > SECOND / 10) {
            show_progress(pool);
            shown = now;
        }
        nanosleep(&nap, NULL);
    }
    return true;
}

struct awaited {
    uint32_t i;
    struct report *report;
};

static bool report_came(struct pool *pool, void *context)
{
    const struct awaited *a = context;
    return recv(pool->worker[a->i].socket, a->report, sizeof *a->report, MSG_DONTWAIT) ==
           sizeof *a->report;
}

bool pool_hold(struct pool *pool, uint32_t i, struct report *report)
{
    atomic_store(&pool->shared->wanted, i + 1);
    return pool_wait(pool, report_came, &(struct awaited){i, report},
                     "a worker that holds a lock, and says so");
}

static bool order(struct pool *pool, uint32_t i, char order)
{
    return send(pool->worker[i].socket, &order, 1, MSG_NOSIGNAL) == 1 ||
           complain(pool, "cannot tell a worker what to do", strerror(errno));
}

bool pool_renew(struct pool *pool, uint32_t i, struct report *report)
{
    return order(pool, i, ORDER_RENEW) &&
           pool_wait(pool, report_came, &(struct awaited){i, report}, "a worker's renewal");
}

bool pool_go_on(struct pool *pool, uint32_t i)
{
    return order(pool, i, ORDER_GO_ON);
}

/* ---- Ending ---- */

bool pool_kill(struct pool *pool, uint32_t i, int64_t *when)
{
    *when = now_ns();
    if (kill(pool->worker[i].pid, SIGKILL) != 0 || waitpid(pool->worker[i].pid, NULL, 0) < 0)
        return complain(pool, "cannot kill a worker", strerror(errno));
    close(pool->worker[i].socket);
    pool->worker[i].pid = 0;
    return true;
}

bool pool_stop(struct pool *pool, uint32_t i)
{
    int status = 0;
    if (kill(pool->worker[i].pid, SIGSTOP) != 0 ||
        waitpid(pool->worker[i].pid, &status, WUNTRACED) < 0 || !WIFSTOPPED(status))
        return complain(pool, "cannot stop a worker", strerror(errno));
    return true;
}

bool pool_continue(struct pool *pool, uint32_t i)
{
    return kill(pool->worker[i].pid, SIGCONT) == 0 ||
           complain(pool, "cannot let a worker go on", strerror(errno));
}

static bool all_home(struct pool *pool, void *context)
{
    bool *well = context;
    for (uint32_t i = 0; i < pool->size; i++) {
        int status;
        if (pool->worker[i].pid == 0)
            continue;
        if (waitpid(pool->worker[i].pid, &status, WNOHANG) == 0)
            return false;
        pool->worker[i].pid = 0;
        if (status != 0)
            *well = complain(pool, "a worker ended", "with a failure");
    }
    return true;
}

bool pool_finish(struct pool *pool)
{
    bool well = true;
    atomic_store(&pool->shared->finish, 1);
    bool home = pool_wait(pool, all_home, &well, "all workers at the end of the list");
    clear_line(pool);
    return home && well;
}

void pool_end(struct pool *pool)
{
    for (uint32_t i = 0; i < pool->size; i++)
        if (pool->worker[i].pid > 0) {
            kill(pool->worker[i].pid, SIGKILL);
            waitpid(pool->worker[i].pid, NULL, 0);
            pool->worker[i].pid = 0;
        }
}
