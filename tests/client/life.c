/* A client's life: enter, leave, destroy; forked children; errno. */
#include "trial.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- Counted ---- */

/* The client under the check, with its calls counted: one at a time. */
static cachify_client_t counted;
static _Atomic int enters, leaves, destroys, misplaced;

static cachify_status_t count_enter(void *self, cachify_caller_t *caller)
{
    cachify_status_t status = counted.enter != NULL ? counted.enter(self, caller) : CACHIFY_OK;
    atomic_fetch_add(&enters, status == CACHIFY_OK);
    atomic_fetch_add(&misplaced, caller->serial == 0 || destroys > 0);
    return status;
}

static void count_leave(void *self, cachify_caller_t *caller)
{
    if (counted.leave != NULL)
        counted.leave(self, caller);
    atomic_fetch_add(&leaves, 1);
    atomic_fetch_add(&misplaced, leaves > enters || destroys > 0);
}

static void count_destroy(void *self)
{
    if (counted.destroy != NULL)
        counted.destroy(self);
    atomic_fetch_add(&destroys, 1);
}

static void come_and_go(struct hand *hand)
{
    cachify_lease_t lease = CACHIFY_LEASE_INIT;
    char key[2] = {(char)('a' + hand->index)};
    hand->status = take(hand->t, key, LONG_MS, &lease);
    if (hand->status == CACHIFY_OK)
        hand->status = cachify_release(&lease);
}

static void live(struct trial *t)
{
    struct hand hands[HANDS];
    WANT_OK(t, take(t, "lock", LONG_MS, &t->lease[0]));
    WANT(t, enters == 1, "enter was called %d times for one thread", enters);
    for (unsigned i = 0; i < 3; i++) {
        crew(t, hands, HANDS, come_and_go, NULL);
        for (unsigned j = 0; j < HANDS; j++)
            WANT_STATUS(t, hands[j].status, CACHIFY_OK);
    }
    WANT(t, enters == 1 + 3 * (int)HANDS, "enter was called %d times for %u threads", enters,
         1 + 3 * HANDS);
    WANT(t, leaves == 3 * (int)HANDS, "leave was called %d times for %u threads that ended", leaves,
         3 * HANDS);
    WANT_OK(t, cachify_close(t->instance));
    t->instance = NULL;
    WANT(t, destroys == 0, "destroy was called while there was a lease");
    WANT(t, cachify_lease_held(&t->lease[0]), "a lease ended with cachify_close");
    WANT_OK(t, cachify_release(&t->lease[0]));
    WANT(t, destroys == 1, "destroy was called %d times at the end", destroys);
    WANT(t, enters == leaves, "enter was called %d times, and leave %d", enters, leaves);
    WANT(t, misplaced == 0, "%d calls of enter and leave came out of order", misplaced);
}

static void life(struct trial *t)
{
    WANT_OK(t, t->subject->make(&t->client));
    counted = t->client;
    enters = leaves = destroys = misplaced = 0;
    t->client.enter = count_enter;
    t->client.leave = count_leave;
    t->client.destroy = count_destroy;
    cachify_config_t config = {.client = &t->client, .poll_interval_ms = POLL_MS};
    WANT_OK(t, cachify_open(&config, &t->instance));
    live(t);
    cachify_release(&t->lease[0]);
    if (t->instance != NULL)
        cachify_close(t->instance);
}

/* ---- Forked ---- */

enum { CHILD_OK, CHILD_HELD, CHILD_RELEASED, CHILD_CANNOT_TAKE, CHILD_CANNOT_RELEASE };

static const char *const child_texts[] = {
    [CHILD_OK] = "",
    [CHILD_HELD] = "its parent's lease is held in the child",
    [CHILD_RELEASED] = "release of its parent's lease was not INVALID",
    [CHILD_CANNOT_TAKE] = "the child cannot take a lock of its own",
    [CHILD_CANNOT_RELEASE] = "the child cannot release a lock of its own",
};

static int be_child(struct trial *t)
{
    cachify_lease_t own = CACHIFY_LEASE_INIT;
    if (cachify_lease_held(&t->lease[0]))
        return CHILD_HELD;
    if (cachify_release(&t->lease[0]) != CACHIFY_INVALID)
        return CHILD_RELEASED;
    if (take(t, "child", LONG_MS, &own) != CACHIFY_OK || !cachify_lease_held(&own))
        return CHILD_CANNOT_TAKE;
    return cachify_release(&own) == CACHIFY_OK ? CHILD_OK : CHILD_CANNOT_RELEASE;
}

/* It says how it went, and goes without a word to checkers about what it leaves. */
static _Noreturn void run_child(struct trial *t, int said)
{
    char code = (char)be_child(t);
    if (write(said, &code, 1) == 1)
        close(said);
    for (;;)
        kill(getpid(), SIGKILL);
}

/* What a child has to say, or that it said nothing in time.  It is dead then. */
static const char *hear_child(struct trial *t)
{
    int said[2];
    char code = -1;
    if (pipe(said) != 0)
        return "no pipe could be made";
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        run_child(t, said[1]);
    close(said[1]);
    struct pollfd fd = {.fd = said[0], .events = POLLIN};
    if (child > 0 && poll(&fd, 1, (int)(patience_ns(t) / MS)) == 1 && read(said[0], &code, 1) != 1)
        code = -1;
    close(said[0]);
    if (child > 0) {
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    return code >= 0 ? child_texts[(int)code]
                     : "a forked child that used the instance died, or hangs";
}

static void forked(struct trial *t)
{
    WANT_OK(t, take(t, "lock", LONG_MS, &t->lease[0]));
    const char *found = hear_child(t);
    WANT(t, *found == '\0', "%s", found);
    WANT(t, cachify_lease_held(&t->lease[0]), "a lease ended by what a forked child did");
    WANT_STATUS(t, take(t, "lock", LONG_MS, &t->lease[1]), CACHIFY_LOCKED);
    WANT_OK(t, cachify_release(&t->lease[0]));
    WANT(t, is_free(t, "lock"), "a lock that was released cannot be taken");
}

/* ---- errno ---- */

#define MARK 4711

/* A call's answer, and that errno is as it was. */
#define WANT_QUIET(t, call, expected)                                                              \
    do {                                                                                           \
        errno = MARK;                                                                              \
        cachify_status_t status_ = call;                                                           \
        int errno_ = errno;                                                                        \
        if (!trial_status(t, status_, expected, #call))                                            \
            return;                                                                                \
        WANT(t, errno_ == MARK, "%s changed errno to %d", #call, errno_);                          \
    } while (0)

static void quiet(struct trial *t)
{
    char value[16];
    uint32_t len = sizeof value;
    bool locked;
    cachify_info_t info = {0};
    cachify_lock_t lock = {.key = "value", .exp_ms = LONG_MS};
    cachify_lock_t wait = {.key = "lock", .wait = true, .timeout_ms = 12};
    WANT_QUIET(t, take(t, "lock", LONG_MS, &t->lease[0]), CACHIFY_OK);
    WANT_QUIET(t, take(t, "lock", LONG_MS, &t->lease[1]), CACHIFY_LOCKED);
    WANT_QUIET(t, cachify_acquire(t->instance, &wait, &t->lease[1]), CACHIFY_TIMEOUT);
    WANT_QUIET(t, cachify_extend(&t->lease[0], LONG_MS), CACHIFY_OK);
    WANT_QUIET(t, cachify_lease_held(&t->lease[0]) ? CACHIFY_OK : CACHIFY_LOST, CACHIFY_OK);
    WANT_QUIET(t, cachify_is_locked(t->instance, "lock", &locked), CACHIFY_OK);
    WANT_QUIET(t, cachify_query(t->instance, "lock", &info), CACHIFY_OK);
    WANT_QUIET(t, cachify_set(t->instance, &lock, true), CACHIFY_OK);
    WANT_QUIET(t, cachify_set(t->instance, &lock, true), CACHIFY_LOCKED);
    WANT_QUIET(t, cachify_get(t->instance, "value", value, &len), CACHIFY_OK);
    WANT_QUIET(t, cachify_release_key(t->instance, "value"), CACHIFY_OK);
    WANT_QUIET(t, cachify_get(t->instance, "value", value, &len), CACHIFY_LOST);
    WANT_QUIET(t, cachify_release(&t->lease[0]), CACHIFY_OK);
}

/* What fails, too. */
static void quiet_store(struct trial *t)
{
    char value[16];
    uint32_t len = 2;
    WANT_QUIET(t, drop(t, "a"), CACHIFY_OK);
    WANT_QUIET(t, fetch_bytes(t, &t->caller, "a", 1, value, &len), CACHIFY_LOST);
    WANT_QUIET(t, put(t, "a", "value", LONG_MS, true), CACHIFY_OK);
    WANT_QUIET(t, put(t, "a", "value", LONG_MS, true), CACHIFY_LOCKED);
    WANT_QUIET(t, put(t, "a", "value", LONG_MS, false), CACHIFY_OK);
    len = 2;
    WANT_QUIET(t, fetch_bytes(t, &t->caller, "a", 1, value, &len), CACHIFY_INVALID);
    len = sizeof value;
    WANT_QUIET(t, fetch_bytes(t, &t->caller, "a", 1, value, &len), CACHIFY_OK);
    WANT_QUIET(t, drop(t, "a"), CACHIFY_OK);
}

const struct check life_checks[] = {
    {"life", "enter and leave once a thread, destroy once at the end", life, BARE},
    {"fork", "a child has none of the leases, and can use the instance", forked, FACE},
    {"errno-store", "set, get and del leave it as it was", quiet_store, OPERATIONS},
    {"errno", "is as it was before the call", quiet, FACE},
    {0},
};
