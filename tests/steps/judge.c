#include "judge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cachify/shm.h>

#include "census.h"

#define SOON_US 5000     /* within which the key of a dead process must be had */
#define BELIEVED_US 2000 /* a process seen alive is believed to be for a millisecond */
#define SOON_TRIES 20
#define LATE_US 15000 /* and how much later than its end a lease may be found over */

static cachify_info_t query(const char *key)
{
    cachify_info_t info = {.size = sizeof info};
    cachify_status_t status = cachify_query(part.cachify, key, &info);
    if (status != CACHIFY_OK)
        blame("query of %s is %s", key, cachify_strerror(status));
    return info;
}

static void check_token(const char *key, uint64_t token)
{
    if (token <= *token_of(key))
        blame("token %llu of %s, but %llu was given before", (unsigned long long)token, key,
              (unsigned long long)*token_of(key));
    note_token(key, token);
}

/* Have the key within so many microseconds.  On a loaded machine this process may not get to
 * run: it is not given up before it has tried often enough, and once when the time was over. */
static bool get(const char *key, int64_t within_us, cachify_lease_t *lease)
{
    int64_t until = now_us() + within_us;
    cachify_status_t status = CACHIFY_LOCKED;
    bool over = false;
    for (unsigned tries = 0; tries < SOON_TRIES || !over; tries++) {
        over = now_us() >= until;
        status = take(key, CACHIFY_NEVER, lease);
        if (status != CACHIFY_LOCKED)
            break;
        sleep_us(200);
    }
    if (status == CACHIFY_OK)
        check_token(key, cachify_lease_token(lease));
    else
        blame("key %s is not to be had within %lld us: %s (%s)", key, (long long)within_us,
              cachify_strerror(status), cachify_last_error());
    return status == CACHIFY_OK;
}

static void check_origin(const cachify_lease_t *lease, const cachify_info_t *before)
{
    cachify_origin_t origin = {.size = sizeof origin};
    uint64_t token = cachify_lease_token(lease);
    cachify_lease_origin(lease, &origin);
    board->judge_how = (cachify_how_t)origin.how;
    if (before->state != CACHIFY_STATE_FREE && token <= before->token)
        blame("token %llu, but %llu was seen before", (unsigned long long)token,
              (unsigned long long)before->token);
    if (before->state == CACHIFY_STATE_OWNER_DEAD &&
        (origin.how != CACHIFY_OWNER_DIED || origin.previous_token != before->token ||
         origin.previous_pid != before->pid))
        blame("taken from dead %lld with token %llu, but origin %u says %lld, %llu",
              (long long)before->pid, (unsigned long long)before->token, origin.how,
              (long long)origin.previous_pid, (unsigned long long)origin.previous_token);
}

static void let_go(cachify_lease_t *lease, const char *what)
{
    cachify_status_t status = cachify_release(lease);
    if (status != CACHIFY_OK)
        blame("%s: release is %s", what, cachify_strerror(status));
}

/* Somebody else's keys: the witness's are held as they were, and one in the same group as the
 * operation's can be taken and released at full speed. */
static void look_beside(void)
{
    cachify_lease_t lease = CACHIFY_LEASE_INIT;
    for (unsigned i = 0; i < BESIDE; i++) {
        cachify_info_t info = query(board->beside[i]);
        if (info.state != CACHIFY_STATE_HELD || info.token != board->beside_token[i])
            blame("the witness's key %s is in state %u with token %llu", board->beside[i],
                  info.state, (unsigned long long)info.token);
        if (take(board->beside[i], 1000, &lease) != CACHIFY_LOCKED)
            blame("the witness's key %s was taken", board->beside[i]);
    }
    if (board->witness_leases >= MAX_LOCKS - 1)
        return; /* no room for another beside the operation's */
    int64_t best = INT64_MAX;
    for (unsigned i = 0; i < 4; i++) {
        int64_t start = now_us();
        if (get(board->near_key, 0, &lease))
            let_go(&lease, board->near_key);
        int64_t took = now_us() - start;
        best = took < best ? took : best;
    }
    if (best > SOON_US)
        blame("another key takes %lld us", (long long)best);
}

static void look_at_key(cachify_lease_t *lease, int64_t within_us)
{
    cachify_info_t before = query(board->key);
    if (board->witness_has_key) {
        if (before.state != CACHIFY_STATE_HELD || take(board->key, 1000, lease) != CACHIFY_LOCKED)
            blame("the witness's key is not locked (state %u)", before.state);
        return;
    }
    if (before.state == CACHIFY_STATE_HELD && board->fate <= KILLED_HEIR && within_us == SOON_US)
        before.state = CACHIFY_STATE_FREE; /* believed alive for a millisecond */
    if (!get(board->key, within_us, lease))
        return;
    board->judge_has_key = true;
    check_origin(lease, &before);
    bool locked = false;
    if (cachify_is_locked(part.cachify, board->key, &locked) != CACHIFY_OK || !locked)
        blame("the key is held and not locked");
}

/* As many leases fit as if nobody had ever died.  Beside somebody who stands still with a record
 * in hand it may be one less, or one more: R9. */
static void fill(unsigned others, unsigned slack)
{
    unsigned expected = MAX_LOCKS - others;
    static cachify_lease_t lease[MAX_LOCKS + 1];
    char key[KEY_ROOM];
    unsigned n = 0;
    for (; n < MAX_LOCKS + 1; n++) {
        snprintf(key, sizeof key, "filler-%u", n);
        cachify_status_t status = take(key, CACHIFY_NEVER, &lease[n]);
        if (status == CACHIFY_FULL)
            break;
        if (status != CACHIFY_OK)
            blame("filling: %s", cachify_strerror(status));
    }
    if (n > expected + slack || n + slack < expected)
        blame("%u leases fit beside %u others; expected %u", n, others, expected);
    for (unsigned i = 0; i < n; i++)
        let_go(&lease[i], "filling");
}

/* All keys that anybody has had can be had again, in the order of tokens. */
static void look_at_all(void)
{
    char key[KEY_ROOM];
    cachify_lease_t lease = CACHIFY_LEASE_INIT;
    if (board->witness_leases == MAX_LOCKS)
        return;
    for (unsigned n = 1; n < NOTED; n++) {
        snprintf(key, sizeof key, "key-%04u", n);
        if (board->token[n] == 0 || query(key).state == CACHIFY_STATE_HELD)
            continue;
        if (get(key, 0, &lease))
            let_go(&lease, key);
    }
}

static void must_open(void)
{
    cachify_status_t status = open_part();
    if (status == CACHIFY_OK)
        return;
    blame("the judge's open is %s (%s)", cachify_strerror(status), cachify_last_error());
    sem_post(&board->judge_said);
    _exit(1);
}

static void close_own(void)
{
    cachify_status_t status = cachify_close(part.cachify);
    if (status != CACHIFY_OK)
        blame("the judge's close is %s", cachify_strerror(status));
}

static void look_at_the_dead(void)
{
    cachify_lease_t lease = CACHIFY_LEASE_INIT;
    look_at_key(&lease, SOON_US);
    look_beside();
    if (!board->judge_has_key)
        return;
    let_go(&lease, "the key");
    look_at_key(&lease, SOON_US);
    let_go(&lease, "the key, again");
}

static void fill_anew(void)
{
    sleep_us(BELIEVED_US);
    close_own(); /* the record that this thread keeps may lie beyond max_locks (R9) */
    must_open();
    fill(board->witness_leases, 0);
}

/* What the victim was told against what the judge had meanwhile: I1 and I3. */
static void compare(const struct operation *operation, const cachify_lease_t *lease)
{
    uint64_t before_it_went_on = *token_of(board->key);
    bool right = board->status == CACHIFY_OK;
    for (unsigned i = 0; i < 4; i++)
        right |= operation->right[i] == board->status;
    if (operation->worth == FREE && board->fate == STOPPED && board->judge_has_key)
        right |= board->status == CACHIFY_LOCKED;
    if (!right)
        blame("the victim was told %s", cachify_strerror(board->status));
    bool held = cachify_lease_held(lease);
    uint64_t token = cachify_lease_token(lease);
    if (held && board->victim_held && board->victim_token != 0)
        blame("both hold the key: tokens %llu and %llu", (unsigned long long)board->victim_token,
              (unsigned long long)token);
    if (board->seen_token != 0 && board->victim_token != 0 &&
        board->seen_token != board->victim_token)
        blame("the victim had token %llu and was told %llu", (unsigned long long)board->seen_token,
              (unsigned long long)board->victim_token);
    if (held && board->victim_token >= token)
        blame("the judge holds token %llu, the victim was told %llu", (unsigned long long)token,
              (unsigned long long)board->victim_token);
    if (!held && board->judge_has_key && operation->act != NULL && operation->worth == FREE &&
        strncmp(operation->name, "release-key", 11) != 0 && board->fate == STOPPED)
        blame("the judge lost the key");
    if (board->victim_held && board->fate == STOPPED_LATER && board->judge_has_key &&
        board->victim_token <= before_it_went_on)
        blame("the victim holds token %llu, but %llu was given before it went on",
              (unsigned long long)board->victim_token, (unsigned long long)before_it_went_on);
    if (board->victim_release != CACHIFY_OK && board->victim_held)
        blame("the victim's lease could not be released: %s",
              cachify_strerror(board->victim_release));
}

static void beside_a_stopped(const struct operation *operation)
{
    cachify_lease_t lease = CACHIFY_LEASE_INIT;
    look_beside();
    cachify_info_t info = query(board->key);
    int64_t wait_ms = info.state == CACHIFY_STATE_HELD && info.remaining_ms < board->exp_ms
                          ? info.remaining_ms + 1
                      : info.state == CACHIFY_STATE_HELD ? board->exp_ms
                                                         : 0;
    if (info.state == CACHIFY_STATE_HELD && info.pid == board->victim)
        board->seen_token = info.token;
    look_at_key(&lease, wait_ms * 1000 + LATE_US);
    if (board->judge_has_key && board->fate == STOPPED_LATER)
        let_go(&lease, "the key");
    /* Whatever was the victim's and is not is used for something else when it goes on. */
    fill(board->witness_leases + cachify_lease_held(&lease), 1);
    sem_post(&board->judge_said);
    sem_wait(&board->judge_go);
    compare(operation, &lease);
    if (cachify_lease_held(&lease))
        let_go(&lease, "the key, beside the victim");
    cachify_release(&lease); /* lost, it would keep the instance open all the same */
    look_beside();
    sem_post(&board->judge_said);
    sem_wait(&board->judge_go); /* the victim is dead */
    board->judge_has_key = false;
}

_Noreturn void judge(const struct operation *operation)
{
    sem_wait(&board->judge_go);
    if (board->fate == KILLED_HEIR)
        board->heir_of = (uint32_t)board->victim;
    must_open();
    if (board->fate == KILLED_HEIR)
        census_intents(own_mapping());
    if (board->fate >= STOPPED)
        beside_a_stopped(operation);
    if (board->fate == KILLED_HEIR)
        fill_anew(); /* a sweep comes to it before anybody asks for the key */
    look_at_the_dead();
    fill_anew();
    look_at_all();
    census_intents(own_mapping());
    look_beside();
    close_own();
    sem_post(&board->judge_said);
    _exit(0);
}

/* ---- The witness ---- */

void witness_look(void)
{
    for (unsigned i = 0; i < BESIDE; i++)
        if (!cachify_lease_held(&part.lease[i]) ||
            cachify_lease_token(&part.lease[i]) != board->beside_token[i])
            blame("the witness lost its lease on %s", board->beside[i]);
    if (board->witness_has_key && !cachify_lease_held(&part.lease[HERS]))
        blame("the witness lost its lease on the key");
}

/* Overflow bits that nobody needs go away as keys are looked for. */
static void clear_overflow(const struct cf_mapping *m)
{
    char key[KEY_ROOM];
    cachify_lease_t lease = CACHIFY_LEASE_INIT;
    for (unsigned n = 0; n < 100 && census_overflowing(m) > 0; n++) {
        snprintf(key, sizeof key, "clear-%u", n);
        if (take(key, CACHIFY_NEVER, &lease) == CACHIFY_OK)
            let_go(&lease, "clearing");
    }
    if (census_overflowing(m) > 0)
        blame("%u groups overflow for ever", census_overflowing(m));
}

static void expect_nothing(void)
{
    cachify_shm_view_t *view;
    cachify_shm_counts_t c = {.size = sizeof c};
    if (cachify_shm_open(NULL, board->path, &view) != CACHIFY_OK) {
        blame("the view cannot be opened: %s", cachify_last_error());
        return;
    }
    cachify_shm_count(view, &c);
    if (c.held + c.idle + c.inserting + c.taken + c.processes + c.waiters + c.overflowing != 0)
        blame("left: held %u, idle %u, inserting %u, taken %u, processes %u, waiters %u, "
              "overflowing %u",
              c.held, c.idle, c.inserting, c.taken, c.processes, c.waiters, c.overflowing);
    cachify_shm_close(view);
}

void witness_end(void)
{
    struct cf_mapping *m = own_mapping();
    witness_look();
    census_check(m, board->witness_leases, board->witness_spares);
    for (unsigned i = 0; i < LEASES; i++)
        cachify_release(&part.lease[i]);
    clear_overflow(m);
    if (board->memfd != 0)
        census_check(m, 0, 1); /* nobody can look at it when it is closed */
    cachify_close(part.cachify);
    if (board->memfd == 0)
        expect_nothing();
}
