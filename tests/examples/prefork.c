/* A pre-fork worker pool: the parent opens the instance, four workers go through the same list of
 * jobs.  One of them is killed in the middle of a job, and another takes that over.
 *
 *     cc prefork.c $(pkg-config --cflags --libs cachify) && ./a.out
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cachify/cachify.h>

#define WORKERS 4u
#define JOBS 40u
#define DEADLY 7u /* the job that kills who tries it first */

/* Shared by all; read and written under the lock of the job only. */
struct job {
    unsigned done;
    int64_t left_by; /* the worker that died at it */
};

static cachify_t *locks;
static struct job *jobs;

static void fail(const char *what)
{
    const char *why = cachify_last_error();
    fprintf(stderr, "%s: %s\n", what, *why ? why : strerror(errno));
    exit(EXIT_FAILURE);
}

static void try_job(unsigned n, bool wait)
{
    char key[32];
    snprintf(key, sizeof key, "job-%u", n);
    /* No expiry: a slow worker keeps its job, a dead one loses it at once. */
    cachify_lock_t lock = {.key = key, .wait = wait, .exp_ms = CACHIFY_NEVER};
    cachify_lease_t lease;
    cachify_origin_t origin = {0};
    cachify_status_t status = cachify_acquire(locks, &lock, &lease);
    if (status == CACHIFY_LOCKED) /* another worker is at it */
        return;
    if (status != CACHIFY_OK)
        fail(key);
    if (cachify_lease_origin(&lease, &origin) == CACHIFY_OWNER_DIED)
        jobs[n].left_by = origin.previous_pid; /* what it did may be half done: look, clean up */
    if (!jobs[n].done) {
        usleep(1000); /* the work */
        if (n == DEADLY && jobs[n].left_by == 0)
            kill(getpid(), SIGKILL); /* the accident */
        jobs[n].done++;
    }
    if (cachify_release(&lease) != CACHIFY_OK)
        fail(key);
}

/* Leases belong to the process that took them: a worker has none of its parent's.  It opens
 * nothing anew: the instance is the parent's, and its first call gets it an entry of its own. */
static void worker(void)
{
    for (unsigned n = 0; n < JOBS; n++)
        try_job(n, false);
    for (unsigned n = 0; n < JOBS; n++) /* what others were at: done by now, or left by the dead */
        try_job(n, true);
    _exit(EXIT_SUCCESS);
}

int main(void)
{
    char path[64];
    snprintf(path, sizeof path, "/dev/shm/cachify-example-prefork.%d", (int)getpid());
    cachify_config_t config = {.path = path, .max_locks = 64};
    jobs =
        mmap(NULL, JOBS * sizeof *jobs, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (jobs == MAP_FAILED || cachify_open(&config, &locks) != CACHIFY_OK)
        fail("open");

    for (unsigned i = 0; i < WORKERS; i++) {
        pid_t pid = fork();
        if (pid < 0)
            fail("fork");
        if (pid == 0)
            worker();
    }
    unsigned good = 0, once = 0;
    pid_t pid, killed = 0;
    int status;
    while ((pid = wait(&status)) > 0) {
        if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
            killed = pid;
        good += WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS;
    }
    for (unsigned n = 0; n < JOBS; n++)
        once += jobs[n].done == 1;
    bool taken_over = killed != 0 && jobs[DEADLY].left_by == killed;
    printf("%u of %u workers came home\n", good, WORKERS);
    printf("job-%u was taken over from the one that was killed: %s\n", DEADLY,
           taken_over ? "yes" : "no");
    printf("%u of %u jobs done exactly once\n", once, JOBS);

    cachify_close(locks);
    unlink(path); /* this was but an example; a segment that is used stays */
    return good == WORKERS - 1 && taken_over && once == JOBS ? EXIT_SUCCESS : EXIT_FAILURE;
}
