/* set, get and del: what there is, for how long, and who of many sets it. */
#include "trial.h"

#include <sched.h>
#include <unistd.h>

/* ---- One thread ---- */

static void set_nx(struct trial *t)
{
    WANT_OK(t, put(t, "a", "first", LONG_MS, true));
    WANT(t, has(t, "a", "first"), "what was set is not there");
    WANT_STATUS(t, put(t, "a", "second", LONG_MS, true), CACHIFY_LOCKED);
    WANT(t, has(t, "a", "first"), "a set that was LOCKED has changed the value");
}

static void overwrite(struct trial *t)
{
    WANT_OK(t, put(t, "a", "fresh", LONG_MS, false));
    WANT(t, has(t, "a", "fresh"), "what was set without nx is not there");
    WANT_OK(t, put(t, "a", "another, and longer", LONG_MS, false));
    WANT(t, has(t, "a", "another, and longer"), "the value is not the one that overwrote it");
    WANT_OK(t, put(t, "a", "", LONG_MS, false));
    WANT(t, has(t, "a", ""), "the value is not the empty one that overwrote it");
    WANT_STATUS(t, put(t, "a", "b", LONG_MS, true), CACHIFY_LOCKED);
}

static void del(struct trial *t)
{
    WANT_OK(t, drop(t, "a"));
    WANT_OK(t, put(t, "a", "gone soon", LONG_MS, true));
    WANT_OK(t, put(t, "b", "stays", LONG_MS, true));
    WANT_OK(t, drop(t, "a"));
    WANT(t, !has(t, "a", NULL), "the value is there after del");
    WANT_OK(t, drop(t, "a"));
    WANT(t, has(t, "b", "stays"), "del of another key has removed the value");
    WANT_OK(t, put(t, "a", "again", LONG_MS, true));
    WANT(t, has(t, "a", "again"), "what was set after del is not there");
}

static void get_none(struct trial *t)
{
    char value[64];
    uint32_t len = sizeof value;
    WANT_STATUS(t, fetch_bytes(t, &t->caller, "a", 1, value, &len), CACHIFY_LOST);
    len = 0;
    WANT_STATUS(t, fetch_bytes(t, &t->caller, "a", 1, value, &len), CACHIFY_LOST);
}

/* ---- Room ---- */

#define GUARD 0x5a

/* A get with room for so many bytes of the six that there are. */
static void get_with_room(struct trial *t, uint32_t room)
{
    char value[64];
    uint32_t len = room;
    memset(value, GUARD, sizeof value);
    cachify_status_t status = fetch_bytes(t, &t->caller, "six", 3, value, &len);
    bool fits = room >= 6;
    WANT(t, status == (fits ? CACHIFY_OK : CACHIFY_INVALID),
         "get of 6 bytes with room for %u gave %s", room, status_name(status));
    WANT(t, len == (fits ? 6 : room), "get of 6 bytes with room for %u made the length %u", room,
         len);
    WANT(t, !fits || memcmp(value, "sixsix", 6) == 0, "get gave other bytes than were set");
    for (uint32_t i = fits ? 6 : 0; i < sizeof value; i++)
        WANT(t, value[i] == GUARD, "get of 6 bytes with room for %u touched byte %u", room, i);
}

static void get_room(struct trial *t)
{
    WANT_OK(t, put(t, "six", "sixsix", LONG_MS, true));
    for (uint32_t room = 0; room < 10 && !t->failed; room++)
        get_with_room(t, room);
}

/* ---- Expiry ---- */

/* Clocks that are read coarsely may be so late. */
#define LATE_NS (25 * MS)

/* Looks until it is over: never before its time, and then soon. */
static void lasts(struct trial *t, int64_t exp_ms)
{
    int64_t before = now_ns();
    WANT_OK(t, put(t, "brief", "value", exp_ms, false));
    int64_t after = now_ns(), asked, answered;
    bool there;
    do {
        asked = now_ns();
        there = has(t, "brief", "value");
        answered = now_ns();
        WANT(t, there || answered - before >= exp_ms * MS,
             "a value that was set for %lld ms was gone after %lld us", (long long)exp_ms,
             (long long)((answered - before) / 1000));
        WANT(t, !there || asked - after < exp_ms * MS + LATE_NS,
             "a value that was set for %lld ms was there after %lld ms", (long long)exp_ms,
             (long long)((asked - after) / MS));
        if (there)
            nap_ms(1);
    } while (there);
    WANT_OK(t, put(t, "brief", "next", LONG_MS, true));
    WANT(t, has(t, "brief", "next"), "what was set after an expiry is not there");
}

static void expiry(struct trial *t)
{
    static const int64_t lengths[] = {1, 2, 20, 70};
    for (unsigned i = 0; i < sizeof lengths / sizeof lengths[0] && !t->failed; i++)
        lasts(t, lengths[i]);
}

static void never(struct trial *t)
{
    WANT_OK(t, put(t, "never", "value", CACHIFY_NEVER, true));
    WANT_OK(t, put(t, "century", "value", CACHIFY_MAX_MS, true));
    WANT_OK(t, put(t, "brief", "value", 30, true));
    WANT_SOON(t, !has(t, "brief", NULL));
    WANT(t, has(t, "never", "value"), "a value that was set for CACHIFY_NEVER is gone");
    WANT(t, has(t, "century", "value"), "a value that was set for CACHIFY_MAX_MS is gone");
    WANT_STATUS(t, put(t, "never", "b", LONG_MS, true), CACHIFY_LOCKED);
    WANT_STATUS(t, put(t, "century", "b", LONG_MS, true), CACHIFY_LOCKED);
}

static void overwritten_expiry(struct trial *t)
{
    WANT_OK(t, put(t, "longer", "value", 20, true));
    WANT_OK(t, put(t, "longer", "value", LONG_MS, false));
    WANT_OK(t, put(t, "shorter", "value", CACHIFY_NEVER, true));
    WANT_OK(t, put(t, "shorter", "value", 20, false));
    WANT_OK(t, put(t, "brief", "value", 30, true));
    WANT_SOON(t, !has(t, "shorter", NULL));
    WANT_SOON(t, !has(t, "brief", NULL));
    WANT(t, has(t, "longer", "value"), "a value that was set anew has kept its first expiry");
    WANT_OK(t, put(t, "deleted", "value", 20, true));
    WANT_OK(t, drop(t, "deleted"));
    WANT_OK(t, put(t, "deleted", "value", LONG_MS, true));
    WANT_OK(t, put(t, "brief", "value", 30, true));
    WANT_SOON(t, !has(t, "brief", NULL));
    WANT(t, has(t, "deleted", "value"), "a value has the expiry of the one that was deleted");
}

/* ---- Several threads ---- */

#define ROUNDS 300u

/* All at one key, at once; the next round's winner finds what the last one's has deleted. */
static void contend(struct hand *hand)
{
    cachify_status_t *got = hand->context;
    for (unsigned i = 0; i < ROUNDS; i++) {
        char value = (char)('0' + hand->index);
        meet(hand);
        cachify_status_t status =
            put_bytes(hand->t, &hand->caller, "contest", 7, &value, 1, LONG_MS, true);
        got[i * HANDS + hand->index] = status;
        meet(hand);
        if (status == CACHIFY_OK)
            drop_bytes(hand->t, &hand->caller, "contest", 7);
    }
}

static void want_one_winner(struct trial *t, const cachify_status_t *got, unsigned rounds)
{
    for (unsigned i = 0; i < rounds; i++) {
        unsigned winners = 0;
        for (unsigned j = 0; j < HANDS; j++) {
            cachify_status_t status = got[i * HANDS + j];
            WANT(t, status == CACHIFY_OK || status == CACHIFY_LOCKED,
                 "set nx gave %s, expected OK or LOCKED", status_name(status));
            winners += status == CACHIFY_OK;
        }
        WANT(t, winners == 1, "set nx of %u threads at once gave OK to %u, in round %u of %u",
             HANDS, winners, i, rounds);
    }
}

static void nx_of_many(struct trial *t)
{
    struct hand hands[HANDS];
    cachify_status_t got[ROUNDS * HANDS];
    crew(t, hands, HANDS, contend, got);
    want_one_winner(t, got, ROUNDS);
}

#define EXPIRIES 40u

/* All at one key that is about to expire, until somebody has it. */
static void await_expiry(struct hand *hand)
{
    cachify_status_t *got = hand->context;
    for (unsigned i = 0; i < EXPIRIES; i++) {
        cachify_status_t status = CACHIFY_LOCKED;
        char value = (char)('0' + hand->index), found = 'x';
        if (hand->index == 0)
            put_bytes(hand->t, &hand->caller, "contest", 7, "x", 1, 2, false);
        meet(hand);
        for (int64_t end = now_ns() + patience_ns(hand->t);
             status == CACHIFY_LOCKED && found == 'x' && now_ns() < end;) {
            uint32_t len = 1;
            status = put_bytes(hand->t, &hand->caller, "contest", 7, &value, 1, LONG_MS, true);
            if (status == CACHIFY_LOCKED)
                fetch_bytes(hand->t, &hand->caller, "contest", 7, &found, &len);
            sched_yield();
        }
        got[i * HANDS + hand->index] = status;
        meet(hand);
    }
}

static void nx_at_expiry(struct trial *t)
{
    struct hand hands[HANDS];
    cachify_status_t got[EXPIRIES * HANDS];
    crew(t, hands, HANDS, await_expiry, got);
    want_one_winner(t, got, EXPIRIES);
}

#define WRITES 200u

/* Whether a value is what one of the writers has set: its byte, and as many as it sets. */
static bool is_whole(const char *value, uint32_t len, uint32_t most)
{
    for (uint32_t i = 0; i < len; i++)
        if (value[i] != value[0])
            return false;
    return len == 0 || len == most * (uint32_t)(value[0] - 'a' + 1) / HANDS;
}

/* All but the last overwrite with a value of their own, and all read what somebody wrote. */
static void scribble(struct hand *hand)
{
    uint32_t most = value_most(hand->t) < 64 ? value_most(hand->t) : 64;
    char value[64], found[64];
    memset(value, (int)('a' + hand->index), sizeof value);
    for (unsigned i = 0; i < WRITES && hand->status == CACHIFY_OK; i++) {
        uint32_t len = most * (hand->index + 1) / HANDS, found_len = sizeof found;
        if (hand->index < HANDS - 1)
            hand->status = put_bytes(hand->t, &hand->caller, "page", 4, value, len, LONG_MS, false);
        else
            usleep(50);
        if (hand->status != CACHIFY_OK)
            return;
        hand->status = fetch_bytes(hand->t, &hand->caller, "page", 4, found, &found_len);
        if (hand->status == CACHIFY_OK)
            hand->number += !is_whole(found, found_len, most);
        else if (hand->status == CACHIFY_LOST) /* no-gap says whether that is right */
            hand->status = CACHIFY_OK;
    }
}

static void whole_values(struct trial *t)
{
    struct hand hands[HANDS];
    crew(t, hands, HANDS, scribble, NULL);
    for (unsigned i = 0; i < HANDS; i++) {
        WANT_STATUS(t, hands[i].status, CACHIFY_OK);
        WANT(t, hands[i].number == 0, "get gave a value that nobody has set: parts of several");
    }
}

#define LOOKS 1000u

/* One overwrites, the others look, and try to set what is always there. */
static void overwrite_or_look(struct hand *hand)
{
    for (unsigned i = 0; i < LOOKS; i++) {
        char found;
        uint32_t len = 1;
        struct trial *t = hand->t;
        if (hand->index == 0)
            put_bytes(t, &hand->caller, "steady", 6, "w", 1, LONG_MS, false);
        else if (hand->index == 1)
            hand->number +=
                put_bytes(t, &hand->caller, "steady", 6, "n", 1, LONG_MS, true) != CACHIFY_LOCKED;
        else
            hand->number += fetch_bytes(t, &hand->caller, "steady", 6, &found, &len) != CACHIFY_OK;
    }
}

static void no_gap(struct trial *t)
{
    struct hand hands[HANDS];
    WANT_OK(t, put(t, "steady", "f", LONG_MS, true));
    crew(t, hands, HANDS, overwrite_or_look, NULL);
    WANT(t, hands[1].number == 0, "set nx came between an overwriting set's halves %lld times",
         (long long)hands[1].number);
    for (unsigned i = 2; i < HANDS; i++)
        WANT(t, hands[i].number == 0,
             "get found no value while it was being overwritten, %lld times of %u",
             (long long)hands[i].number, LOOKS);
}

/* In turn: one sets, all others see it. */
static void pass_on(struct hand *hand)
{
    for (unsigned i = 0; i < 40; i++) {
        uint32_t len = sizeof i;
        unsigned found = 0;
        if (i % HANDS == hand->index)
            put_bytes(hand->t, &hand->caller, "post", 4, &i, sizeof i, LONG_MS, i % 3 != 0);
        meet(hand);
        cachify_status_t status = fetch_bytes(hand->t, &hand->caller, "post", 4, &found, &len);
        hand->number += status != CACHIFY_OK || found != i;
        meet(hand);
        if (i % HANDS == hand->index && i % 3 != 2)
            drop_bytes(hand->t, &hand->caller, "post", 4);
        meet(hand);
    }
}

static void seen_by_others(struct trial *t)
{
    struct hand hands[HANDS];
    crew(t, hands, HANDS, pass_on, NULL);
    for (unsigned i = 0; i < HANDS; i++)
        WANT(t, hands[i].number == 0, "a thread did not see what another had set, %lld times of 40",
             (long long)hands[i].number);
}

const struct check store_checks[] = {
    {"set-nx", "OK where there is none, else LOCKED and nothing changed", set_nx, OPERATIONS},
    {"overwrite", "set without nx: there before or not", overwrite, OPERATIONS},
    {"del", "OK where there was one and where not; gone then, and others stay", del, OPERATIONS},
    {"get-none", "LOST where there is none", get_none, OPERATIONS},
    {"get-room", "just enough is enough; too little is INVALID, and nothing is touched", get_room,
     OPERATIONS},
    {"expiry", "there for its time, and not after", expiry, OPERATIONS},
    {"never", "CACHIFY_NEVER and CACHIFY_MAX_MS do not expire", never, OPERATIONS},
    {"new-expiry", "what is set anew has the new expiry", overwritten_expiry, OPERATIONS},
    {"nx-threads", "of several threads at once exactly one sets", nx_of_many, OPERATIONS},
    {"nx-expiry", "of several threads at an expiry exactly one sets", nx_at_expiry, OPERATIONS},
    {"whole-values", "threads that overwrite leave one's value", whole_values, OPERATIONS},
    {"no-gap", "what is overwritten is there throughout", no_gap, OPERATIONS},
    {"seen", "get sees what any thread has set before", seen_by_others, OPERATIONS},
    {0},
};
