/* A user's own client behind the face: what it is called with, and what is made of what it lacks.  That clients
 * keep the contract is tests/client/'s. */
#include <pthread.h>
#include <stdlib.h>

#include <cachify/client.h>
#include <cachify/shm.h>

#include "agent.h"
#include "ground/os.h"
#include "pending.h"

/* ---- A user's own: one lock, in this process's memory ---- */

struct own {
    pthread_mutex_t mutex;
    bool held;
    uint64_t token;
    char key[64];
    uint32_t key_len;
    cachify_request_t last; /* as it came */
    unsigned acquires, enters, leaves, destroys, waits;
};

static cachify_lease_t lease;
static struct own own;
static cachify_t *mine;

static cachify_status_t own_acquire(void *self, cachify_caller_t *who,
                                    const cachify_request_t *request, cachify_grant_t *grant)
{
    struct own *o = self;
    cachify_status_t status = CACHIFY_OK;
    pthread_mutex_lock(&o->mutex);
    o->acquires++;
    o->last = *request;
    if (request->key_len == 4 && memcmp(request->key, "sick", 4) == 0) {
        status = cachify_report(CACHIFY_CORRUPT, "the store is sick at %d degrees", 39);
    } else if (o->held) {
        who->holder = (cachify_info_t){
            .state = CACHIFY_STATE_HELD, .pid = 99, .token = o->token, .remaining_ms = 1234};
        who->holder_is_self = false;
        status = CACHIFY_LOCKED;
    } else {
        o->held = true;
        o->key_len = request->key_len;
        memcpy(o->key, request->key, request->key_len);
        grant->token = ++o->token;
        grant->store[0] = o->token;
    }
    pthread_mutex_unlock(&o->mutex);
    return status;
}

static cachify_status_t own_release(void *self, cachify_caller_t *who, cachify_grant_t *grant)
{
    struct own *o = self;
    (void)who;
    pthread_mutex_lock(&o->mutex);
    bool is_it = o->held && grant->store[0] == o->token;
    o->held = o->held && !is_it;
    pthread_mutex_unlock(&o->mutex);
    return is_it ? CACHIFY_OK : CACHIFY_LOST;
}

static cachify_status_t own_extend(void *self, cachify_caller_t *who, cachify_grant_t *grant,
                                   int64_t exp_ms)
{
    const struct own *o = self;
    (void)who, (void)exp_ms;
    return o->held && grant->store[0] == o->token ? CACHIFY_OK : CACHIFY_LOST;
}

static int64_t own_remaining(void *self, cachify_caller_t *who, const cachify_grant_t *grant)
{
    const struct own *o = self;
    (void)who;
    return o->held && grant->store[0] == o->token ? CACHIFY_NEVER : 0;
}

static cachify_status_t own_query(void *self, cachify_caller_t *who, const char *key,
                                  uint32_t key_len, cachify_info_t *info)
{
    const struct own *o = self;
    (void)who;
    bool is_it = o->held && key_len == o->key_len && memcmp(key, o->key, key_len) == 0;
    *info = (cachify_info_t){.state = is_it ? CACHIFY_STATE_HELD : CACHIFY_STATE_FREE};
    return CACHIFY_OK;
}

static cachify_status_t own_del(void *self, cachify_caller_t *who, const char *key,
                                uint32_t key_len)
{
    (void)who, (void)key, (void)key_len;
    ((struct own *)self)->held = false;
    return CACHIFY_OK;
}

static cachify_status_t own_enter(void *self, cachify_caller_t *who)
{
    ((struct own *)self)->enters++;
    return who->serial != 0 && who->thread_id != 0 ? CACHIFY_OK : CACHIFY_INVALID;
}

static void own_leave(void *self, cachify_caller_t *who)
{
    (void)who;
    ((struct own *)self)->leaves++;
}

static void own_destroy(void *self)
{
    ((struct own *)self)->destroys++;
}

static cachify_status_t own_pend_try(void *self, cachify_caller_t *who,
                                     const cachify_request_t *request, void *pending,
                                     cachify_grant_t *grant)
{
    (void)pending;
    return own_acquire(self, who, request, grant);
}

static cachify_client_t own_client(void)
{
    own = (struct own){.mutex = PTHREAD_MUTEX_INITIALIZER, .token = 100};
    return (cachify_client_t){.size = sizeof(cachify_client_t),
                              .key_max = 40,
                              .value_max = 8,
                              .self = &own,
                              .del = own_del,
                              .acquire = own_acquire,
                              .release = own_release,
                              .extend = own_extend,
                              .remaining_ns = own_remaining,
                              .query = own_query,
                              .enter = own_enter,
                              .leave = own_leave,
                              .destroy = own_destroy};
}

static void setup_own(void)
{
    cachify_client_t client = own_client();
    cachify_config_t config = {.client = &client, .poll_interval_ms = 10};
    assert_ok(cachify_open(&config, &mine));
    memset(&client, 0x5a, sizeof client); /* it was copied */
}

static cachify_status_t take_own(const char *key, bool wait, cachify_lease_t *got)
{
    cachify_lock_t lock = {.key = key, .wait = wait, .timeout_ms = 30};
    return cachify_acquire(mine, &lock, got);
}

START_TEST(a_users_client_is_behind_every_call)
{
    bool locked;
    cachify_lease_t second;
    assert_ok(take_own("job", false, &lease));
    ck_assert_uint_eq(cachify_lease_token(&lease), 101);
    ck_assert(cachify_lease_held(&lease));
    ck_assert_int_eq(cachify_lease_remaining_ms(&lease), CACHIFY_NEVER);
    assert_ok(cachify_extend(&lease, 1000));
    assert_status(take_own("job", false, &second), CACHIFY_LOCKED);
    assert_says("job is already locked!");
    assert_says("process 99 ");
    assert_ok(cachify_is_locked(mine, "job", &locked));
    ck_assert(locked);
    assert_ok(cachify_release_key(mine, "job"));
    ck_assert(!cachify_lease_held(&lease));
    assert_status(cachify_extend(&lease, 1000), CACHIFY_LOST);
    assert_status(cachify_release(&lease), CACHIFY_LOST);
    assert_ok(cachify_close(mine));
}
END_TEST

START_TEST(a_users_client_gets_prefix_and_key_in_whole_words)
{
    assert_ok(take_own("a", false, &lease));
    ck_assert_uint_eq(own.last.key_len, 5);
    ck_assert_mem_eq(own.key, "PYC-a", 5);
    ck_assert_int_eq(own.last.exp_ms, 30000);
    ck_assert_uint_eq(own.last.value_len, 0);
    assert_ok(cachify_release(&lease));
    cachify_lock_t lock = {.key = "b", .exp_ms = CACHIFY_NEVER, .value = "note", .value_len = 4};
    assert_ok(cachify_acquire(mine, &lock, &lease));
    ck_assert_int_eq(own.last.exp_ms, CACHIFY_NEVER);
    ck_assert_uint_eq(own.last.value_len, 4);
    assert_ok(cachify_release(&lease));
    assert_status(take_own("a key beyond the forty bytes of key_max", false, &lease),
                  CACHIFY_KEY_TOO_LONG);
    lock.value_len = 9;
    assert_status(cachify_acquire(mine, &lock, &lease), CACHIFY_INVALID);
    assert_ok(cachify_close(mine));
}
END_TEST

START_TEST(a_users_client_without_wait_is_polled)
{
    cachify_lease_t second;
    assert_ok(take_own("job", false, &lease));
    unsigned before = own.acquires;
    assert_status(take_own("job", true, &second), CACHIFY_TIMEOUT);
    ck_assert_uint_ge(own.acquires, before + 2); /* every 10 ms of 30, on an idle machine */
    ck_assert_uint_le(own.acquires, before + 6);
    assert_ok(cachify_release(&lease));
    assert_ok(take_own("job", true, &lease));
    assert_ok(cachify_release(&lease));
    assert_ok(cachify_close(mine));
}
END_TEST

START_TEST(a_users_client_without_pend_is_tried_once_a_poll_interval)
{
    cachify_lease_t second;
    cachify_async_t *async;
    cachify_lock_t lock = {.key = "job", .wait = true, .value = "note", .value_len = 4};
    assert_ok(take_own("job", false, &lease));
    assert_ok(cachify_acquire_start(mine, &lock, &async));
    unsigned before = own.acquires, turns = 0;
    while (++turns < 5) {
        ck_assert(comes(async, LONG_MS));
        assert_status(cachify_async_finish(async, &second), CACHIFY_PENDING);
        ck_assert(!is_readable(async));
    }
    ck_assert_uint_eq(own.acquires, before + 4); /* by finish alone: no thread does it */
    assert_ok(cachify_release(&lease));
    ck_assert(comes(async, LONG_MS));
    assert_ok(cachify_async_finish(async, &second));
    ck_assert_uint_eq(own.last.key_len, 7);
    ck_assert_uint_eq(own.last.value_len, 4);
    lock.timeout_ms = 25;
    uint64_t start = cf_monotonic_ns();
    assert_ok(cachify_acquire_start(mine, &lock, &async));
    do {
        ck_assert(comes(async, LONG_MS));
    } while (cachify_async_finish(async, &lease) == CACHIFY_PENDING);
    ck_assert_uint_ge(cf_monotonic_ns() - start, 25 * CF_MS);
    assert_says("process 99 ");
    assert_ok(cachify_release(&second));
    assert_ok(cachify_acquire_start(mine, &lock, &async)); /* granted */
    assert_ok(cachify_close(mine));
    ck_assert_uint_eq(own.destroys, 0);
    assert_ok(cachify_async_cancel(async));
    ck_assert(!own.held);
    ck_assert_uint_eq(own.destroys, 1);
}
END_TEST

START_TEST(a_users_client_reports_in_its_own_words)
{
    cachify_client_t client = own_client();
    assert_ok(cachify_close(mine));
    assert_ok(cachify_open(&(cachify_config_t){.client = &client, .prefix = ""}, &mine));
    assert_status(take_own("sick", false, &lease), CACHIFY_CORRUPT);
    ck_assert_str_eq(cachify_last_error(), "the store is sick at 39 degrees");
    assert_status(cachify_shm_sweep(mine), CACHIFY_INVALID);
    assert_says("shared-memory");
    assert_ok(cachify_close(mine));
}
END_TEST

static int64_t come_and_go(unsigned i, void *context)
{
    cachify_lease_t got;
    (void)i, (void)context;
    cachify_status_t status = take_own("job", true, &got);
    return status == CACHIFY_OK ? cachify_release(&got) : status;
}

START_TEST(a_users_client_is_told_of_threads_and_of_its_end_once)
{
    int64_t got[1];
    assert_ok(take_own("job", false, &lease));
    assert_ok(cachify_release(&lease));
    ck_assert_uint_eq(own.enters, 1);
    for (unsigned i = 0; i < 3; i++) {
        threads_together(1, come_and_go, NULL, got);
        assert_ok((cachify_status_t)got[0]);
    }
    ck_assert_uint_eq(own.enters, 4);
    ck_assert_uint_eq(own.leaves, 3);
    assert_ok(take_own("job", false, &lease));
    assert_ok(cachify_close(mine));
    ck_assert_uint_eq(own.destroys, 0); /* a lease needs it */
    ck_assert(cachify_lease_held(&lease));
    assert_ok(cachify_release(&lease));
    ck_assert_uint_eq(own.leaves, 4);
    ck_assert_uint_eq(own.destroys, 1);
}
END_TEST

static int waits(void *context, const cachify_waiter_t *waiter)
{
    (void)waiter;
    return ++*(int *)context;
}

START_TEST(a_users_client_need_not_tell_who_waits)
{
    int calls = 0;
    assert_status(cachify_waiters(mine, "job", waits, &calls), CACHIFY_INVALID);
    assert_says("cannot tell who waits");
    ck_assert_int_eq(calls, 0);
    assert_ok(cachify_close(mine));
}
END_TEST

START_TEST(a_client_that_lacks_something_is_refused)
{
    cachify_t *none = NULL;
    cachify_client_t whole = own_client(), client;
    cachify_config_t config = {.client = &client};
    for (unsigned i = 0; i < 8; i++) {
        client = whole;
        switch (i) {
        case 0:
            client.acquire = NULL;
            break;
        case 1:
            client.release = NULL;
            break;
        case 2:
            client.extend = NULL;
            break;
        case 3:
            client.remaining_ns = NULL;
            break;
        case 4:
            client.query = NULL;
            break;
        case 5:
            client.del = NULL;
            break;
        case 6:
            client.pend_try = own_pend_try;
            break;
        default:
            client.size = 8;
            break;
        }
        assert_status(cachify_open(&config, &none), CACHIFY_INVALID);
        assert_says(i < 7 ? "lacks" : "cachify_client_t");
        ck_assert_ptr_null(none);
    }
    ck_assert_uint_eq(own.destroys, 0); /* what was not taken over stays the user's */
    assert_ok(cachify_close(mine));
}
END_TEST

/* Set, get and del are the least; the rest is made of them. */
static cachify_status_t own_set(void *self, cachify_caller_t *who, const cachify_request_t *request,
                                bool nx)
{
    (void)self, (void)who, (void)request, (void)nx;
    return CACHIFY_OK;
}

static cachify_status_t own_get(void *self, cachify_caller_t *who, const char *key,
                                uint32_t key_len, void *value, uint32_t *len)
{
    (void)self, (void)who, (void)key, (void)key_len, (void)value, (void)len;
    return CACHIFY_LOST;
}

START_TEST(a_store_that_lacks_something_is_refused)
{
    cachify_t *none = NULL;
    cachify_client_t whole = {.set = own_set, .get = own_get, .del = own_del, .self = &own}, client;
    cachify_config_t config = {.client = &client};
    const char *said[] = {"no set", "no get", "no del", "at least 160", "none of the others"};
    for (unsigned i = 0; i < 5; i++) {
        client = whole;
        client.destroy = own_destroy;
        if (i == 0)
            client.set = NULL;
        if (i == 1)
            client.get = NULL;
        if (i == 2)
            client.del = NULL;
        if (i == 3)
            client.value_max = 159;
        if (i == 4)
            client.query = own_query;
        assert_status(cachify_open(&config, &none), CACHIFY_INVALID);
        assert_says(said[i]);
        ck_assert_ptr_null(none);
    }
    client = whole;
    client.destroy = own_destroy;
    config.prefix = "a prefix that is as long as no key may be";
    client.key_max = 16;
    assert_status(cachify_open(&config, &none), CACHIFY_INVALID);
    assert_says("the prefix has 41 bytes");
    ck_assert_uint_eq(own.destroys, 0);
    assert_ok(cachify_close(mine));
}
END_TEST

/* A note has what the mark leaves. */
START_TEST(a_stores_values_have_room_for_the_mark_and_a_note)
{
    cachify_t *instance;
    cachify_client_t client = {
        .set = own_set, .get = own_get, .del = own_del, .value_max = 160 + 10};
    cachify_config_t config = {.client = &client};
    cachify_lock_t lock = {.key = "a", .value = "0123456789", .value_len = 10};
    assert_ok(cachify_open(&config, &instance));
    assert_ok(cachify_acquire(instance, &lock, &lease));
    ck_assert_uint_eq(cachify_lease_token(&lease), 0);
    /* This store forgets at once. */
    ck_assert(!cachify_lease_held(&lease));
    assert_status(cachify_release(&lease), CACHIFY_LOST);
    lock.value_len = 11;
    lock.value = "0123456789a";
    assert_status(cachify_acquire(instance, &lock, &lease), CACHIFY_INVALID);
    assert_says("at most 10");
    assert_ok(cachify_close(instance));
    assert_ok(cachify_close(mine));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("client");
    TCase *t = group(s, "a user's own", setup_own, NULL);
    tcase_add_test(t, a_users_client_is_behind_every_call);
    tcase_add_test(t, a_users_client_gets_prefix_and_key_in_whole_words);
    tcase_add_test(t, a_users_client_without_wait_is_polled);
    tcase_add_test(t, a_users_client_without_pend_is_tried_once_a_poll_interval);
    tcase_add_test(t, a_users_client_reports_in_its_own_words);
    tcase_add_test(t, a_users_client_is_told_of_threads_and_of_its_end_once);
    tcase_add_test(t, a_users_client_need_not_tell_who_waits);
    tcase_add_test(t, a_client_that_lacks_something_is_refused);
    tcase_add_test(t, a_store_that_lacks_something_is_refused);
    tcase_add_test(t, a_stores_values_have_room_for_the_mark_and_a_note);
    return run_suite(s);
}
