/* Messages that are delivered more than once, and take effect once: four processes get the same
 * twenty, each in an order of its own.
 *
 *     cc jobs.c $(pkg-config --cflags --libs cachify) && ./a.out
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cachify/cachify.h>

#define WORKERS 4u
#define MESSAGES 20u

/* Stands in for a database.  A message's row is read and written under its lock only. */
struct store {
    struct {
        unsigned effects;
        bool done;
    } message[MESSAGES];
    unsigned handled[WORKERS]; /* each writes its own */
};

static void fail(const char *what)
{
    const char *why = cachify_last_error();
    fprintf(stderr, "%s: %s\n", what, *why ? why : strerror(errno));
    exit(EXIT_FAILURE);
}

/* The lock does not remember that a message was done: it keeps two from being at it at once.  The
 * mark remembers, and is safe to look at and to set because the lock is held.  Where the effect
 * is in the same database, one transaction makes both: then a crash between them is no trouble. */
static void handle(const cachify_call_t *call)
{
    struct store *store = call->context;
    int64_t id = call->args[0].as.i;
    bool *mine = call->result;
    *mine = !store->message[id].done;
    if (*mine) {
        usleep(1000); /* the work */
        store->message[id].effects++;
        store->message[id].done = true;
    }
}

static void worker(const cachify_wrapped_t *handling, struct store *store, unsigned number)
{
    for (unsigned i = 0; i < MESSAGES; i++) {
        bool mine = false;
        cachify_arg_t id = cachify_int((i * 7 + number * 5) % MESSAGES);
        if (cachify_wrap_call(handling, &id, 1, &mine) != CACHIFY_OK)
            fail("message");
        store->handled[number] += mine; /* acknowledge it here, mine or not: it is done */
    }
    _exit(EXIT_SUCCESS);
}

int main(void)
{
    char path[64];
    cachify_t *locks;
    cachify_wrapped_t *handling;
    snprintf(path, sizeof path, "/dev/shm/cachify-example-jobs.%d", (int)getpid());
    cachify_config_t config = {.path = path, .max_locks = 64};
    struct store *store =
        mmap(NULL, sizeof *store, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    /* It waits.  CACHIFY_ONCE with result_if_locked would acknowledge a message that another is
     * at, and if that one died, nobody would have done it. */
    cachify_lock_t lock = {.key = "message-{id}", .wait = true, .exp_ms = CACHIFY_NEVER};
    cachify_wrap_options_t options = {.function = handle,
                                      .context = store,
                                      .parameters = (const char *const[]){"id"},
                                      .parameter_count = 1,
                                      .lock = &lock};
    if (store == MAP_FAILED || cachify_open(&config, &locks) != CACHIFY_OK ||
        cachify_wrap(locks, &options, &handling) != CACHIFY_OK)
        fail("open");

    for (unsigned i = 0; i < WORKERS; i++) {
        pid_t pid = fork();
        if (pid < 0)
            fail("fork");
        if (pid == 0)
            worker(handling, store, i);
    }
    unsigned good = 0, handled = 0, once = 0;
    int status;
    while (wait(&status) > 0)
        good += WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS;
    for (unsigned i = 0; i < WORKERS; i++)
        handled += store->handled[i];
    for (unsigned id = 0; id < MESSAGES; id++)
        once += store->message[id].effects == 1;
    printf("%u of %u workers came home\n", good, WORKERS);
    printf("%u deliveries, %u handled\n", WORKERS * MESSAGES, handled);
    printf("%u of %u messages took effect exactly once\n", once, MESSAGES);

    cachify_wrap_free(handling);
    cachify_close(locks);
    unlink(path); /* this was but an example; a segment that is used stays */
    return good == WORKERS && handled == MESSAGES && once == MESSAGES ? EXIT_SUCCESS : EXIT_FAILURE;
}
