/* Leases through the face: whose a lock is, for how long, and what a release may end. */
#include "trial.h"

#include <unistd.h>

#define BRIEF_MS 25

/* ---- Acquire and release ---- */

static void acquire(struct trial *t)
{
    char pid[32];
    snprintf(pid, sizeof pid, "process %ld ", (long)getpid());
    WANT_OK(t, take(t, "lock", LONG_MS, &t->lease[0]));
    WANT_STATUS(t, take(t, "lock", LONG_MS, &t->lease[1]), CACHIFY_LOCKED);
    const char *says = cachify_last_error();
    WANT(t, strstr(says, "lock is already locked!") != NULL,
         "a busy lock's message is \"%s\", expected \"lock is already locked!\" in it", says);
    WANT(t, strstr(says, pid) != NULL, "a busy lock's message is \"%s\", expected \"%s\" in it",
         says, pid);
    WANT_OK(t, take(t, "lock2", LONG_MS, &t->lease[1]));
}

static void release(struct trial *t)
{
    WANT_OK(t, take(t, "lock", LONG_MS, &t->lease[0]));
    WANT(t, is_locked(t, "lock"), "a lock that was acquired is not locked");
    WANT_OK(t, cachify_release(&t->lease[0]));
    WANT(t, !is_locked(t, "lock"), "a lock that was released is locked");
    WANT_OK(t, cachify_release(&t->lease[0]));
    WANT(t, !cachify_lease_held(&t->lease[0]), "a lease that was released is held");
    WANT(t, cachify_lease_token(&t->lease[0]) == 0, "a lease that was released has a token");
    WANT(t, cachify_lease_remaining_ms(&t->lease[0]) == 0, "a lease that was released has time");
    WANT(t, is_free(t, "lock"), "a lock that was released cannot be taken");
}

static void late_release(struct trial *t)
{
    WANT_OK(t, take(t, "lock", BRIEF_MS, &t->lease[0]));
    WANT_SOON(t, !is_locked(t, "lock"));
    cachify_status_t status = cachify_release(&t->lease[0]);
    WANT(t, status == CACHIFY_OK || status == CACHIFY_LOST,
         "the release of an expired lease gave %s, expected OK or LOST", status_name(status));
    WANT(t, is_free(t, "lock"), "an expired lock cannot be taken");
}

/* The second lease has the lock, and nothing that was done with the first changes that. */
static void want_second_unharmed(struct trial *t)
{
    WANT(t, !cachify_lease_held(&t->lease[0]), "a lease that another followed is held");
    WANT_STATUS(t, cachify_release(&t->lease[0]), CACHIFY_LOST);
    WANT(t, is_locked(t, "lock"), "the release of a lost lease has freed another's lock");
    WANT(t, cachify_lease_held(&t->lease[1]), "the release of a lost lease has ended another's");
    WANT_STATUS(t, take(t, "lock", LONG_MS, &t->lease[2]), CACHIFY_LOCKED);
    WANT_OK(t, cachify_release(&t->lease[1]));
    WANT(t, is_free(t, "lock"), "a lock that was released cannot be taken");
}

static cachify_status_t take_in_time(struct trial *t, cachify_lease_t *lease)
{
    cachify_lock_t lock = {
        .key = "lock", .exp_ms = LONG_MS, .wait = true, .timeout_ms = patience_ns(t) / MS};
    return cachify_acquire(t->instance, &lock, lease);
}

static void takeover(struct trial *t)
{
    WANT_OK(t, take(t, "lock", BRIEF_MS, &t->lease[0]));
    WANT_OK(t, take_in_time(t, &t->lease[1]));
    want_second_unharmed(t);
}

static void force(struct trial *t)
{
    WANT_OK(t, cachify_release_key(t->instance, "lock"));
    WANT_OK(t, take(t, "lock", LONG_MS, &t->lease[0]));
    WANT_OK(t, cachify_release_key(t->instance, "lock"));
    WANT(t, !is_locked(t, "lock"), "a lock is locked after cachify_release_key");
    WANT(t, !cachify_lease_held(&t->lease[0]), "a lease is held after cachify_release_key");
    WANT_STATUS(t, cachify_release(&t->lease[0]), CACHIFY_LOST);
    WANT_OK(t, take(t, "lock", LONG_MS, &t->lease[0]));
    WANT_OK(t, cachify_release_key(t->instance, "lock"));
    WANT_STATUS(t, cachify_extend(&t->lease[0], LONG_MS), CACHIFY_LOST);
    WANT_OK(t, take(t, "lock", LONG_MS, &t->lease[1]));
    want_second_unharmed(t);
}

/* ---- Extend and ask ---- */

static void extend(struct trial *t)
{
    uint64_t token;
    WANT_OK(t, take(t, "lock", BRIEF_MS, &t->lease[0]));
    token = cachify_lease_token(&t->lease[0]);
    WANT_OK(t, cachify_extend(&t->lease[0], LONG_MS));
    WANT_OK(t, take(t, "brief", 2 * (int64_t)BRIEF_MS, &t->lease[1]));
    WANT_SOON(t, !is_locked(t, "brief"));
    WANT(t, is_locked(t, "lock"), "an extended lease has expired at its first time");
    WANT(t, cachify_lease_held(&t->lease[0]), "an extended lease is not held");
    WANT(t, cachify_lease_token(&t->lease[0]) == token, "extend has changed the token");
    WANT_OK(t, cachify_extend(&t->lease[0], CACHIFY_NEVER));
    int64_t left = cachify_lease_remaining_ms(&t->lease[0]);
    WANT(t, left == CACHIFY_NEVER, "a lease without expiry has %lld ms left", (long long)left);
    WANT_OK(t, cachify_extend(&t->lease[0], BRIEF_MS));
    WANT_SOON(t, !is_locked(t, "lock"));
    WANT_STATUS(t, cachify_extend(&t->lease[2], LONG_MS), CACHIFY_LOST);
}

static void late_extend(struct trial *t)
{
    WANT_OK(t, take(t, "lock", BRIEF_MS, &t->lease[0]));
    WANT_SOON(t, !is_locked(t, "lock"));
    WANT_OK(t, cachify_extend(&t->lease[0], LONG_MS));
    WANT(t, cachify_lease_held(&t->lease[0]), "a lease that was extended late is not held");
    WANT_STATUS(t, take(t, "lock", LONG_MS, &t->lease[1]), CACHIFY_LOCKED);
    WANT_OK(t, cachify_release(&t->lease[0]));
    WANT(t, is_free(t, "lock"), "a lock that was released cannot be taken");
}

static void too_late_extend(struct trial *t)
{
    WANT_OK(t, take(t, "lock", BRIEF_MS, &t->lease[0]));
    WANT_OK(t, take_in_time(t, &t->lease[1]));
    WANT_STATUS(t, cachify_extend(&t->lease[0], LONG_MS), CACHIFY_LOST);
    want_second_unharmed(t);
}

static void ask(struct trial *t)
{
    int64_t before = now_ns();
    WANT_OK(t, take(t, "lock", 60, &t->lease[0]));
    int64_t last = 60, left;
    while ((left = cachify_lease_remaining_ms(&t->lease[0])) > 0) {
        WANT(t, left <= last, "a lease had %lld ms left, and then %lld", (long long)last,
             (long long)left);
        last = left;
        WANT(t, now_ns() - before < patience_ns(t), "a lease of 60 ms does not end");
        nap_ms(1);
    }
    int64_t lasted = now_ns() - before;
    WANT(t, lasted >= 59 * MS, "a lease of 60 ms had 0 ms left after %lld us",
         (long long)(lasted / 1000));
    WANT_SOON(t, !cachify_lease_held(&t->lease[0]));
    WANT_OK(t, take_in_time(t, &t->lease[1])); /* the store's clock may be another's */
    WANT(t, cachify_lease_held(&t->lease[1]), "a lease is not held");
    WANT_OK(t, cachify_extend(&t->lease[1], CACHIFY_NEVER));
    left = cachify_lease_remaining_ms(&t->lease[1]);
    WANT(t, left == CACHIFY_NEVER, "a lease without expiry has %lld ms left", (long long)left);
    WANT(t, !cachify_lease_held(&t->lease[0]), "a lease that another followed is held");
}

static void tokens(struct trial *t)
{
    uint64_t last = 0;
    for (unsigned i = 0; i < 60; i++) {
        bool lapses = i % 3 == 0;
        WANT_OK(t, take(t, "lock", lapses ? 1 : LONG_MS, &t->lease[0]));
        uint64_t token = cachify_lease_token(&t->lease[0]);
        WANT(t, token == 0 ? last == 0 : token > last, "token %llu came after %llu",
             (unsigned long long)token, (unsigned long long)last);
        last = token;
        if (lapses)
            WANT_SOON(t, !is_locked(t, "lock"));
        else if (i % 3 == 1)
            WANT_OK(t, cachify_release_key(t->instance, "lock"));
        cachify_release(&t->lease[0]);
    }
}

/* ---- Release beside extend ---- */

#define RACES 150u

static void extend_and_release(struct hand *hand)
{
    struct trial *t = hand->t;
    for (unsigned i = 0; i < RACES; i++) {
        if (hand->index == 0)
            hand->number += take(t, "lock", LONG_MS, &t->lease[0]) != CACHIFY_OK;
        meet(hand);
        if (hand->index == i % 2) /* that either may be in the middle of it */
            usleep(i % 128);
        if (hand->index == 0) {
            hand->number += cachify_release(&t->lease[0]) != CACHIFY_OK;
        } else {
            cachify_status_t status = cachify_extend(&t->lease[0], LONG_MS);
            hand->number += status != CACHIFY_OK && status != CACHIFY_LOST;
        }
        meet(hand);
    }
}

static void release_wins(struct trial *t)
{
    struct hand hands[2];
    crew(t, hands, 2, extend_and_release, NULL);
    WANT(t, hands[0].number == 0,
         "of %u leases that were extended at the same time %lld could not "
         "be taken or released",
         RACES, (long long)hands[0].number);
    WANT(t, hands[1].number == 0, "an extend beside a release was neither OK nor LOST");
    WANT(t, is_free(t, "lock"), "a lock that was released while it was extended is not free");
}

const struct check lease_checks[] = {
    {"acquire", "LOCKED if somebody holds it, who is named", acquire, FACE},
    {"release", "free then; a second release is OK", release, FACE},
    {"release-late", "of an expired lease that nobody followed: OK or LOST", late_release, FACE},
    {"release-lost", "after expiry and takeover: LOST, and the other unharmed", takeover, FACE},
    {"release-forced", "after release by key: LOST, and the next unharmed", force, FACE},
    {"extend", "from now on, for longer, for shorter, for ever", extend, FACE},
    {"extend-late", "succeeds if nobody took the lock", late_extend, FACE},
    {"extend-lost", "LOST if somebody took the lock, who is unharmed", too_late_extend, FACE},
    {"extend-release", "beside each other: release wins", release_wins, FACE},
    {"lease", "what it says of itself", ask, FACE},
    {"tokens", "0, or strictly increasing", tokens, FACE},
    {0},
};
