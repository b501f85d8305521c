/* Waiting, in a thread and from an event loop. */
#include "trial.h"

#include <poll.h>
#include <unistd.h>

#define BRIEF_MS 40

/* Later than a poll interval by what a busy machine and a checker may cost. */
static int64_t awake_ns(const struct trial *t)
{
    return POLL_MS * MS + patience_ns(t) / 4;
}

static cachify_lock_t waiting(const struct trial *t)
{
    return (cachify_lock_t){
        .key = "lock", .exp_ms = LONG_MS, .wait = true, .timeout_ms = patience_ns(t) / MS};
}

/* ---- In a thread ---- */

struct waiter {
    struct helper helper;
    _Atomic bool here;
    int64_t got; /* ns; when it had what it had waited for */
};

static void wait_for_it(struct hand *hand)
{
    struct waiter *waiter = hand->context;
    cachify_lock_t lock = waiting(hand->t);
    cachify_lease_t lease = CACHIFY_LEASE_INIT;
    waiter->here = true;
    hand->status = cachify_acquire(hand->t->instance, &lock, &lease);
    waiter->got = now_ns();
    cachify_release(&lease);
}

/* A thread waits for the lock; how it comes free, end does. */
static void want_woken(struct trial *t, cachify_status_t (*end)(struct trial *))
{
    struct waiter waiter = {0};
    helper_start(t, &waiter.helper, wait_for_it, &waiter);
    while (!waiter.here)
        nap_ms(1);
    nap_ms(20); /* else it may find the lock free, and prove less */
    int64_t before = now_ns();
    cachify_status_t status = end(t);
    int64_t after = now_ns();
    helper_join(&waiter.helper);
    WANT_STATUS(t, status, CACHIFY_OK);
    WANT(t, waiter.helper.hand.status == CACHIFY_OK, "who waited got %s, expected OK",
         status_name(waiter.helper.hand.status));
    WANT(t, waiter.got >= before, "who waited had the lock before it came free");
    WANT(t, waiter.got - after < awake_ns(t), "who waited had the lock %lld ms after it came free",
         (long long)((waiter.got - after) / MS));
}

static cachify_status_t by_release(struct trial *t)
{
    return cachify_release(&t->lease[0]);
}

static cachify_status_t by_key(struct trial *t)
{
    return cachify_release_key(t->instance, "lock");
}

static cachify_status_t by_shortening(struct trial *t)
{
    return cachify_extend(&t->lease[0], BRIEF_MS);
}

static void woken_by_shortening(struct trial *t)
{
    WANT_OK(t, take(t, "lock", LONG_MS, &t->lease[0]));
    want_woken(t, by_shortening);
}

static void woken_by_release(struct trial *t)
{
    WANT_OK(t, take(t, "lock", LONG_MS, &t->lease[0]));
    want_woken(t, by_release);
}

static void woken_by_key(struct trial *t)
{
    WANT_OK(t, take(t, "lock", LONG_MS, &t->lease[0]));
    want_woken(t, by_key);
}

static void until_expiry(struct trial *t)
{
    cachify_lock_t lock = waiting(t);
    int64_t before = now_ns();
    WANT_OK(t, take(t, "lock", BRIEF_MS, &t->lease[0]));
    WANT_OK(t, cachify_acquire(t->instance, &lock, &t->lease[1]));
    int64_t waited = now_ns() - before;
    WANT(t, waited >= BRIEF_MS * MS, "a lock of %d ms was had by another after %lld us", BRIEF_MS,
         (long long)(waited / 1000));
    WANT(t, waited < BRIEF_MS * MS + awake_ns(t),
         "a lock of %d ms was had by another after %lld ms", BRIEF_MS, (long long)(waited / MS));
}

static void timeout(struct trial *t)
{
    cachify_lock_t lock = waiting(t);
    lock.timeout_ms = 30;
    WANT_OK(t, take(t, "lock", LONG_MS, &t->lease[0]));
    int64_t before = now_ns();
    WANT_STATUS(t, cachify_acquire(t->instance, &lock, &t->lease[1]), CACHIFY_TIMEOUT);
    int64_t waited = now_ns() - before;
    WANT(t, waited >= 30 * MS && waited < 30 * MS + awake_ns(t),
         "a wait of 30 ms ended after %lld us", (long long)(waited / 1000));
    WANT(t, strstr(cachify_last_error(), "is already locked!") != NULL,
         "the message of a timeout is \"%s\", expected \"is already locked!\" in it",
         cachify_last_error());
    WANT(t, cachify_lease_held(&t->lease[0]), "somebody's timeout has ended the holder's lease");
    WANT_OK(t, cachify_release(&t->lease[0]));
    WANT(t, is_free(t, "lock"), "a lock that somebody has waited for in vain cannot be taken");
}

#define TURNS 25u

/* Not atomic, on purpose: only the lock keeps others away. */
static void count_up(struct hand *hand)
{
    unsigned *counter = hand->context;
    cachify_lock_t lock = waiting(hand->t);
    for (unsigned i = 0; i < TURNS && hand->status == CACHIFY_OK; i++) {
        cachify_lease_t lease = CACHIFY_LEASE_INIT;
        hand->status = cachify_acquire(hand->t->instance, &lock, &lease);
        if (hand->status != CACHIFY_OK)
            return;
        unsigned seen = *counter;
        usleep(20);
        *counter = seen + 1;
        hand->status = cachify_release(&lease);
    }
}

static void exclusion(struct trial *t)
{
    struct hand hands[HANDS];
    unsigned counter = 0;
    crew(t, hands, HANDS, count_up, &counter);
    for (unsigned i = 0; i < HANDS; i++)
        WANT(t, hands[i].status == CACHIFY_OK, "a thread that waits and releases got %s",
             status_name(hands[i].status));
    WANT(t, counter == HANDS * TURNS, "of %u increments under the lock %u were lost", HANDS * TURNS,
         HANDS * TURNS - counter);
}

const struct check wait_checks[] = {
    {"wait-release", "who waits has the lock soon after its release", woken_by_release, FACE},
    {"wait-forced", "who waits has the lock soon after release by key", woken_by_key, FACE},
    {"wait-expiry", "who waits has the lock soon after its expiry", until_expiry, FACE},
    {"wait-timeout", "TIMEOUT in time, and nothing is left of it", timeout, FACE},
    {"exclusion", "threads that wait for the lock exclude each other", exclusion, FACE},
    {0},
};

/* Without polls; else there is nothing to wake. */
const struct check wake_checks[] = {
    {"wake-release", "who waits is woken by the release", woken_by_release, WAKING},
    {"wake-forced", "who waits is woken by release by key", woken_by_key, WAKING},
    {"wake-expiry", "who waits is awake at the expiry", until_expiry, WAKING},
    {"wake-shorter", "who waits hears of an expiry that is sooner", woken_by_shortening, WAKING},
    {"wake-turns", "threads that wait for the lock wake each other", exclusion, WAKING},
    {0},
};

/* ---- From an event loop ---- */

static bool readable(const struct trial *t, int64_t ms)
{
    struct pollfd fd = {.fd = cachify_async_fd(t->async), .events = POLLIN};
    return poll(&fd, 1, (int)ms) == 1;
}

/* Until it is over, and t->async is gone.  TIMEOUT also if its descriptor is never readable. */
static cachify_status_t finish(struct trial *t, cachify_lease_t *lease)
{
    cachify_status_t status = CACHIFY_PENDING;
    int64_t end = now_ns() + patience_ns(t);
    while (status == CACHIFY_PENDING && now_ns() < end) {
        if (!readable(t, patience_ns(t) / MS)) {
            trial_want(t, false, "the descriptor did not become readable within %lld ms",
                       (long long)(patience_ns(t) / MS));
            return CACHIFY_PENDING;
        }
        status = cachify_async_finish(t->async, lease);
        if (status != CACHIFY_PENDING)
            t->async = NULL;
    }
    return status;
}

static void async_free(struct trial *t)
{
    cachify_lock_t lock = waiting(t);
    WANT_OK(t, cachify_acquire_start(t->instance, &lock, &t->async));
    WANT(t, is_locked(t, "lock"), "a free lock was not taken at once");
    WANT_OK(t, finish(t, &t->lease[0]));
    WANT(t, cachify_lease_held(&t->lease[0]), "a lease from an event loop is not held");
    lock.wait = false;
    WANT_STATUS(t, cachify_acquire_start(t->instance, &lock, &t->async), CACHIFY_LOCKED);
    WANT_OK(t, cachify_release(&t->lease[0]));
}

static void want_pending(struct trial *t)
{
    cachify_lock_t lock = waiting(t);
    WANT_OK(t, take(t, "lock", LONG_MS, &t->lease[0]));
    WANT_OK(t, cachify_acquire_start(t->instance, &lock, &t->async));
    WANT_STATUS(t, cachify_async_finish(t->async, &t->lease[1]), CACHIFY_PENDING);
}

static void async_release(struct trial *t)
{
    want_pending(t);
    if (t->failed)
        return;
    WANT_OK(t, cachify_release(&t->lease[0]));
    int64_t after = now_ns();
    WANT_OK(t, finish(t, &t->lease[1]));
    WANT(t, now_ns() - after < awake_ns(t), "an event loop had the lock %lld ms after its release",
         (long long)((now_ns() - after) / MS));
    WANT(t, cachify_lease_held(&t->lease[1]), "a lease from an event loop is not held");
}

static void async_timeout(struct trial *t)
{
    cachify_lock_t lock = waiting(t);
    lock.timeout_ms = 30;
    WANT_OK(t, take(t, "lock", LONG_MS, &t->lease[0]));
    int64_t before = now_ns();
    WANT_OK(t, cachify_acquire_start(t->instance, &lock, &t->async));
    WANT_STATUS(t, finish(t, &t->lease[1]), CACHIFY_TIMEOUT);
    int64_t waited = now_ns() - before;
    WANT(t, waited >= 30 * MS && waited < 30 * MS + awake_ns(t),
         "an acquisition of 30 ms ended after %lld us", (long long)(waited / 1000));
    WANT(t, cachify_lease_held(&t->lease[0]), "somebody's timeout has ended the holder's lease");
}

static cachify_status_t cancel(struct trial *t)
{
    cachify_async_t *async = t->async;
    t->async = NULL;
    return cachify_async_cancel(async);
}

static void async_cancel(struct trial *t)
{
    cachify_lock_t lock = waiting(t);
    WANT_OK(t, cachify_acquire_start(t->instance, &lock, &t->async));
    WANT(t, is_locked(t, "lock"), "a free lock was not taken at once");
    WANT_OK(t, cancel(t));
    WANT(t, !is_locked(t, "lock"), "a lock that was had is locked after cancel");
    want_pending(t);
    if (t->failed)
        return;
    WANT_OK(t, cancel(t));
    WANT(t, cachify_lease_held(&t->lease[0]), "somebody's cancel has ended the holder's lease");
    WANT_OK(t, cachify_release(&t->lease[0]));
    WANT_SOON(t, is_free(t, "lock"));
}

static void async_wake(struct trial *t)
{
    if (t->client.pend == NULL)
        trial_skip(t, "the client has no pend");
    else
        async_release(t);
}

const struct check async_checks[] = {
    {"async-free", "a free lock is taken at once, a busy one is LOCKED", async_free, FACE},
    {"async-release", "readable soon after the release, and had", async_release, FACE},
    {"async-timeout", "TIMEOUT in time", async_timeout, FACE},
    {"async-cancel", "gives back what was had, and leaves nothing", async_cancel, FACE},
    {"async-wake", "readable soon after the release, without polls", async_wake, WAKING},
    {0},
};
