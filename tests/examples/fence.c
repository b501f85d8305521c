/* Fencing with the token: a holder that was stopped past its lease comes back and writes, and the
 * store refuses it, for it has seen the token of the next holder.
 *
 *     cc -pthread fence.c $(pkg-config --cflags --libs cachify) && ./a.out
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cachify/cachify.h>

/* Stands in for a database, or whatever the lock protects. */
struct store {
    pthread_mutex_t mutex;
    uint64_t token; /* the largest seen */
    int value;
};

static cachify_t *locks;
static struct store *store;

static void fail(const char *what)
{
    const char *why = cachify_last_error();
    fprintf(stderr, "%s: %s\n", what, *why ? why : errno != 0 ? strerror(errno) : "unexpected");
    exit(EXIT_FAILURE);
}

/* In SQL: UPDATE ... SET value = :value, token = :token WHERE token <= :token. */
static bool store_write(uint64_t token, int value)
{
    errno = pthread_mutex_lock(&store->mutex);
    if (errno == EOWNERDEAD)
        pthread_mutex_consistent(&store->mutex);
    else if (errno != 0)
        fail("the store");
    bool current = token >= store->token; /* the comparison and the write: one step */
    if (current) {
        store->token = token; /* first: a write that is cut short fences, too */
        store->value = value;
    }
    pthread_mutex_unlock(&store->mutex);
    return current;
}

static void first(void)
{
    cachify_lock_t lock = {.key = "account-12", .exp_ms = 100};
    cachify_lease_t lease;
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* not to stay stopped, should the parent fail */
    if (cachify_acquire(locks, &lock, &lease) != CACHIFY_OK)
        fail("the first");
    /* It might ask cachify_lease_held here, and be told yes: the stop comes after it. */
    kill(getpid(), SIGSTOP);
    bool written = store_write(cachify_lease_token(&lease), 1);
    printf("the first comes back and writes 1: %s\n", written ? "done" : "refused");
    cachify_status_t status = cachify_release(&lease);
    printf("the first releases: %s\n", status == CACHIFY_LOST ? "LOST" : cachify_strerror(status));
    exit(!written && status == CACHIFY_LOST ? EXIT_SUCCESS : EXIT_FAILURE);
}

static void second(void)
{
    cachify_lock_t lock = {.key = "account-12", .wait = true};
    cachify_lease_t lease;
    if (cachify_acquire(locks, &lock, &lease) != CACHIFY_OK)
        fail("the second");
    bool expired = cachify_lease_origin(&lease, NULL) == CACHIFY_EXPIRED;
    printf("the second takes over: %s\n", expired ? "EXPIRED" : "not by expiry");
    bool written = store_write(cachify_lease_token(&lease), 2);
    printf("the second writes 2: %s\n", written ? "done" : "refused");
    if (cachify_release(&lease) != CACHIFY_OK)
        fail("the second");
    exit(expired && written ? EXIT_SUCCESS : EXIT_FAILURE);
}

static pid_t start(void (*process)(void))
{
    pid_t pid = fork();
    if (pid < 0)
        fail("fork");
    if (pid == 0)
        process();
    return pid;
}

int main(void)
{
    char path[64];
    int status[3] = {-1, -1, -1};
    pthread_mutexattr_t shared;
    snprintf(path, sizeof path, "/dev/shm/cachify-example-fence.%d", (int)getpid());
    cachify_config_t config = {.path = path, .max_locks = 64};
    setvbuf(stdout, NULL, _IOLBF, 0); /* the lines of three processes, in order */
    store = mmap(NULL, sizeof *store, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (store == MAP_FAILED || cachify_open(&config, &locks) != CACHIFY_OK)
        fail("open");
    pthread_mutexattr_init(&shared);
    pthread_mutexattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&shared, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&store->mutex, &shared);

    pid_t stale = start(first);
    if (waitpid(stale, &status[0], WUNTRACED) != stale || !WIFSTOPPED(status[0]))
        fail("the first did not stop");
    waitpid(start(second), &status[1], 0);
    kill(stale, SIGCONT);
    waitpid(stale, &status[2], 0);
    printf("the store has %d\n", store->value);

    cachify_close(locks);
    unlink(path); /* this was but an example; a segment that is used stays */
    return status[1] == 0 && status[2] == 0 && store->value == 2 ? EXIT_SUCCESS : EXIT_FAILURE;
}
