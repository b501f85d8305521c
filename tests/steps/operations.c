#include "operations.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cachify/shm.h>

#include "shm/lease_pool.h"
#include "shm/segment.h"
#include "shm/table.h"

/* ---- Stages ---- */

static void v_open(void)
{
    cachify_status_t status = open_part();
    if (status != CACHIFY_OK)
        blame("setting the stage: the victim's open is %s", cachify_strerror(status));
}

/* Registered, bound, with a record kept idle. */
static void v_idle(const char *key)
{
    v_open();
    pass(key);
}

static void v_idle_key(void)
{
    v_idle(board->key);
}

static void v_idle_second(void)
{
    v_idle(board->second);
}

static void v_holds(void)
{
    v_open();
    pass(board->key);
    must_take(board->key, board->exp_ms, &part.lease[OWN]);
}

static void v_holds_with_spare(void)
{
    v_holds();
    pass(board->second);
}

static void w_holds_key(void)
{
    pass(board->key);
    must_take(board->key, CACHIFY_NEVER, &part.lease[HERS]);
    board->witness_has_key = true;
    board->witness_leases++;
}

static void w_key_expired(void)
{
    pass(board->key);
    must_take(board->key, 1, &part.lease[HERS]);
    sleep_us(2000);
}

static void w_key_idle(void)
{
    pass(board->key);
    board->witness_spares = 1;
}

static void w_takes_lost(void)
{
    if (board->exp_ms == CACHIFY_NEVER)
        cachify_release_key(part.cachify, board->key);
    else
        sleep_us(board->exp_ms * 1000);
    w_holds_key();
}

/* The key's home is full of live leases. */
static void w_fills_home(void)
{
    char key[KEY_ROOM];
    for (unsigned i = 1; i < CF_SLOTS; i++) {
        key_at(key, board->home, 10 + i);
        must_take(key, CACHIFY_NEVER, &part.lease[BESIDE + i]);
        board->witness_leases++;
    }
}

/* A thread that keeps an idle record till the end. */
_Noreturn static void *idler(void *key)
{
    pass(key);
    sem_post(&board->dead_said);
    for (;;)
        pause();
}

/* The key's home is full of idle words and one lease. */
static void w_idles_in_home(void)
{
    static char key[CF_SLOTS][KEY_ROOM];
    for (unsigned i = 1; i < CF_SLOTS; i++) {
        pthread_t thread;
        key_at(key[i], board->home, 10 + i);
        if (pthread_create(&thread, NULL, idler, key[i]) != 0)
            blame("setting the stage: no thread");
        else
            sem_wait(&board->dead_said);
        board->witness_spares++;
    }
}

/* Every record is held, and one of the leases has expired. */
static void w_fills_table(void)
{
    char key[KEY_ROOM];
    for (unsigned i = BESIDE; i < MAX_LOCKS; i++) {
        key_at(key, i % GROUPS, 30 + i);
        pass(key);
        must_take(key, i == MAX_LOCKS - 1 ? 1 : CACHIFY_NEVER, &part.lease[i]);
        board->witness_leases += i < MAX_LOCKS - 1;
    }
    sleep_us(2000);
}

/* The witness releases the key as soon as the victim sleeps for it. */
static pthread_t waker;
static _Atomic bool hurry;

static void *wake(void *unused)
{
    cachify_info_t info = {.size = sizeof info};
    (void)unused;
    while (!hurry && info.waiters == 0) {
        sleep_us(200);
        cachify_query(part.cachify, board->key, &info);
    }
    cachify_release(&part.lease[HERS]);
    return NULL;
}

static void w_wakes(void)
{
    if (pthread_create(&waker, NULL, wake, NULL) != 0)
        blame("setting the stage: no thread");
}

static void w_woke(void)
{
    if (!board->witness_has_key)
        return;
    hurry = true;
    pthread_join(waker, NULL);
    board->witness_has_key = false;
    board->witness_leases--;
}

/* Every record but the victim's is held. */
static void w_fills_rest(void)
{
    char key[KEY_ROOM];
    for (unsigned i = BESIDE; i < MAX_LOCKS - 1; i++) {
        key_at(key, i % GROUPS, 30 + i);
        must_take(key, CACHIFY_NEVER, &part.lease[i]);
        board->witness_leases++;
    }
}

/* Every record is held, one of them by the key's lease, which has expired. */
static void w_fills_and_expires(void)
{
    w_fills_rest();
    w_key_expired();
}

/* It gets the key when it comes free, and gives it back. */
static void a_waits(void)
{
    v_open();
    cachify_lock_t lock = {.size = sizeof lock, .key = board->key, .wait = true};
    if (cachify_acquire(part.cachify, &lock, &part.lease[0]) != CACHIFY_OK)
        blame("the waiter's acquire is %s", cachify_last_error());
    if (cachify_lease_token(&part.lease[0]) <= *token_of(board->key))
        blame("the waiter's token is no larger than the holder's");
    note_token(board->key, cachify_lease_token(&part.lease[0]));
    cachify_release(&part.lease[0]);
    cachify_close(part.cachify);
}

static void d_holds_key(void)
{
    v_open();
    pass(board->key);
    must_take(board->key, CACHIFY_NEVER, &part.lease[0]);
}

static struct cf_found find(const char *text)
{
    struct cf_found found;
    struct cf_key key = {.bytes = text, .len = (uint32_t)strlen(text), .hash = hash_of(text)};
    cf_table_find(own_mapping(), &key, &found);
    return found;
}

/* As if killed after T1 (C2). */
static void d_inserts_key(void)
{
    v_open();
    must_take(board->key, CACHIFY_NEVER, &part.lease[0]); /* the token is the counter's */
    struct cf_mapping *m = own_mapping();
    struct cf_found found = find(board->key);
    cf_store_release(cf_slot_at(m, found.slot), cf_word_with_state(found.word, CF_INSERTING));
}

/* A lease, a candidate, and the witness's expired lease taken out but not freed (C2, C3, C5). */
static void d_leaves_everything(void)
{
    d_inserts_key();
    struct cf_mapping *m = own_mapping();
    pass(board->second);
    must_take(board->second, CACHIFY_NEVER, &part.lease[1]);
    struct cf_found found = find(board->near_key);
    cf_intent_begin(m, found.word);
    cf_token_keep(m, cf_record_at(m, cf_word_record(found.word)));
    if (found.slot == 0 || !cf_cas64(cf_slot_at(m, found.slot), found.word, 0))
        blame("setting the stage: the expired lease was not there");
}

static void w_two_expired(void)
{
    char key[KEY_ROOM];
    pass(board->near_key);
    must_take(board->near_key, 1, &part.lease[BESIDE]);
    key_at(key, (board->home + 1) % GROUPS, 20);
    pass(key);
    must_take(key, 1, &part.lease[BESIDE + 1]);
    sleep_us(2000);
}

/* ---- Acts ---- */

static cachify_status_t act_open(void)
{
    return open_part();
}

static cachify_status_t act_take(void)
{
    return take(board->key, board->exp_ms, &part.lease[OWN]);
}

static cachify_status_t wait_for(int64_t timeout_ms)
{
    cachify_lock_t lock = {.size = sizeof lock,
                           .key = board->key,
                           .wait = true,
                           .timeout_ms = timeout_ms,
                           .exp_ms = board->exp_ms};
    return cachify_acquire(part.cachify, &lock, &part.lease[OWN]);
}

static cachify_status_t act_wait(void)
{
    return wait_for(90);
}

static cachify_status_t act_wait_longer(void)
{
    return wait_for(200);
}

/* As an event loop does it. */
static cachify_status_t act_start_and_finish(void)
{
    cachify_async_t *async;
    cachify_lock_t lock = {.size = sizeof lock,
                           .key = board->key,
                           .wait = true,
                           .timeout_ms = 200,
                           .exp_ms = board->exp_ms};
    cachify_status_t status = cachify_acquire_start(part.cachify, &lock, &async);
    if (status != CACHIFY_OK)
        return status;
    struct pollfd ready = {.fd = cachify_async_fd(async), .events = POLLIN};
    do {
        poll(&ready, 1, -1);
        status = cachify_async_finish(async, &part.lease[OWN]);
    } while (status == CACHIFY_PENDING);
    return status;
}

static cachify_status_t act_extend(void)
{
    return cachify_extend(&part.lease[OWN], board->exp_ms);
}

static cachify_status_t act_shorten(void)
{
    return cachify_extend(&part.lease[OWN], 10);
}

static cachify_status_t act_release(void)
{
    return cachify_release(&part.lease[OWN]);
}

static cachify_status_t act_force(void)
{
    return cachify_release_key(part.cachify, board->key);
}

static cachify_status_t act_overwrite(void)
{
    cachify_lock_t lock = {.key = board->key, .exp_ms = board->exp_ms};
    return cachify_set(part.cachify, &lock, false);
}

static cachify_status_t act_look(void)
{
    bool locked;
    return cachify_is_locked(part.cachify, board->key, &locked);
}

static cachify_status_t act_sweep(void)
{
    return cachify_shm_sweep(part.cachify);
}

static cachify_status_t act_close(void)
{
    cachify_status_t status = cachify_close(part.cachify);
    part.cachify = NULL;
    return status;
}

const struct operation operations[] = {
    {.name = "create", .no_segment = true, .act = act_open},
    {.name = "create-memfd", .no_segment = true, .memfd = true, .unstopped = true, .act = act_open},
    {.name = "open", .act = act_open},
    {.name = "open-other-boot", .other_boot = true, .act = act_open},
    {.name = "acquire-first", .prepare = v_open, .act = act_take},
    {.name = "acquire-fresh", .prepare = v_idle_second, .act = act_take},
    {.name = "acquire-overflow", .stage = w_fills_home, .prepare = v_idle_second, .act = act_take},
    {.name = "acquire-evict", .stage = w_idles_in_home, .prepare = v_idle_second, .act = act_take},
    {.name = "acquire-full",
     .late = w_fills_table,
     .prepare = v_open,
     .act = act_take,
     .right = {CACHIFY_FULL}},
    {.name = "acquire-retake", .prepare = v_idle_key, .act = act_take},
    {.name = "acquire-idle", .stage = w_key_idle, .prepare = v_idle_second, .act = act_take},
    {.name = "acquire-expired", .stage = w_key_expired, .prepare = v_idle_second, .act = act_take},
    {.name = "acquire-expired-full",
     .late = w_fills_and_expires,
     .prepare = v_open,
     .act = act_take},
    {.name = "acquire-dead", .dead = d_holds_key, .prepare = v_idle_second, .act = act_take},
    {.name = "acquire-dead-first", .dead = d_holds_key, .prepare = v_open, .act = act_take},
    {.name = "acquire-past-dead", .dead = d_inserts_key, .prepare = v_idle_second, .act = act_take},
    {.name = "acquire-busy",
     .worth = WITNESS,
     .stage = w_holds_key,
     .prepare = v_idle_second,
     .act = act_take,
     .right = {CACHIFY_LOCKED}},
    {.name = "acquire-wait",
     .worth = WITNESS,
     .stage = w_holds_key,
     .prepare = v_idle_second,
     .act = act_wait,
     .right = {CACHIFY_TIMEOUT}},
    {.name = "acquire-woken",
     .stage = w_holds_key,
     .prepare = v_idle_second,
     .late = w_wakes,
     .settle = w_woke,
     .act = act_wait_longer,
     .right = {CACHIFY_TIMEOUT}},
    {.name = "start-and-finish",
     .prepare = v_idle_second,
     .act = act_start_and_finish,
     .right = {CACHIFY_TIMEOUT}},
    {.name = "extend", .prepare = v_holds, .act = act_extend, .right = {CACHIFY_LOST}},
    {.name = "extend-with-spare",
     .prepare = v_holds_with_spare,
     .act = act_extend,
     .right = {CACHIFY_LOST}},
    {.name = "extend-shorter", .prepare = v_holds, .act = act_shorten, .right = {CACHIFY_LOST}},
    {.name = "extend-full",
     .prepare = v_holds,
     .late = w_fills_rest,
     .act = act_extend,
     .right = {CACHIFY_LOST}},
    {.name = "extend-waited",
     .prepare = v_holds,
     .waiter = a_waits,
     .act = act_shorten,
     .right = {CACHIFY_LOST}},
    {.name = "release", .prepare = v_holds, .act = act_release, .right = {CACHIFY_LOST}},
    {.name = "release-remove",
     .prepare = v_holds_with_spare,
     .act = act_release,
     .right = {CACHIFY_LOST}},
    {.name = "release-lost",
     .worth = WITNESS,
     .prepare = v_holds,
     .late = w_takes_lost,
     .act = act_release,
     .right = {CACHIFY_LOST}},
    {.name = "release-waited",
     .prepare = v_holds,
     .waiter = a_waits,
     .act = act_release,
     .right = {CACHIFY_LOST}},
    {.name = "release-key",
     .worth = WITNESS_OR_FREE,
     .stage = w_holds_key,
     .prepare = v_idle_second,
     .act = act_force},
    {.name = "release-key-dead", .dead = d_holds_key, .prepare = v_idle_second, .act = act_force},
    /* Stopped, it has the key as an acquirer has (acquire-expired). */
    {.name = "overwrite",
     .worth = WITNESS_OR_FREE,
     .unstopped = true,
     .stage = w_holds_key,
     .prepare = v_idle_second,
     .act = act_overwrite},
    {.name = "is-locked", .dead = d_holds_key, .prepare = v_open, .act = act_look},
    {.name = "sweep",
     .stage = w_two_expired,
     .dead = d_leaves_everything,
     .prepare = v_idle_second,
     .act = act_sweep},
    {.name = "close", .prepare = v_idle_key, .act = act_close},
    {.name = "close-holding", .prepare = v_holds, .act = act_close},
    {.name = "child-acquire", .child = true, .act = act_take},
};
const unsigned operations_count = sizeof operations / sizeof operations[0];
