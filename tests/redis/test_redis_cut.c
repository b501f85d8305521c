/* Connections that are cut, at every byte of what is asked and of what is answered: either we hold
 * the lock and know it, or we do not and nobody does. */
#include <stdlib.h>
#include <unistd.h>

#include "site.h"

static cachify_lease_t lease;

static void warm_up(void)
{
    assert_ok(site_take(site.cachify, "lock", 60000, &lease));
    assert_ok(cachify_extend(&lease, 60000));
    assert_ok(cachify_release(&lease));
}

/* ---- Cut once: the call finds out, and has what it asked for ---- */

static void take_lock(void)
{
    assert_ok(site_take(site.cachify, "lock", 60000, &lease));
}

static void give_back(void)
{
    assert_ok(cachify_release(&lease));
}

static void give_back_known(void)
{
    cachify_info_t info = {0};
    ck_assert(cachify_lease_held(&lease));
    ck_assert(site_has("lock"));
    assert_ok(cachify_query(site.cachify, "lock", &info));
    ck_assert_uint_eq(info.token, cachify_lease_token(&lease));
    give_back();
}

/* The number of bytes at which nothing was cut any more. */
static size_t every_byte(enum proxy_act act, void (*before)(void), void (*during)(void),
                         void (*after)(void))
{
    size_t n = 0;
    bool acted = true;
    for (; acted; n++) {
        before();
        proxy_arm(&site.proxy, act, n, false);
        during();
        acted = proxy_acted(&site.proxy);
        proxy_pass(&site.proxy);
        after();
    }
    return n;
}

static void nothing(void)
{
}

static void want_free(void)
{
    ck_assert(!site_has("lock"));
}

static void extend(void)
{
    assert_ok(cachify_extend(&lease, 120000));
}

static void give_back_extended(void)
{
    ck_assert_int_gt(atoll(server_ask(&site.server, "PTTL lock")), 60000);
    ck_assert_int_gt(cachify_lease_remaining_ms(&lease), 60000);
    give_back();
    want_free();
}

START_TEST(an_acquire_that_is_cut_at_any_byte_is_had_and_known)
{
    warm_up();
    ck_assert_uint_gt(every_byte(PROXY_CUT_REQUEST, nothing, take_lock, give_back_known), 300);
    ck_assert_uint_gt(every_byte(PROXY_CUT_REPLY, nothing, take_lock, give_back_known), 50);
}
END_TEST

START_TEST(a_release_that_is_cut_at_any_byte_is_done_and_known)
{
    warm_up();
    ck_assert_uint_gt(every_byte(PROXY_CUT_REQUEST, take_lock, give_back, want_free), 200);
    ck_assert_uint_gt(every_byte(PROXY_CUT_REPLY, take_lock, give_back, want_free), 3);
}
END_TEST

START_TEST(an_extend_that_is_cut_at_any_byte_is_done_and_known)
{
    warm_up();
    ck_assert_uint_gt(every_byte(PROXY_CUT_REQUEST, take_lock, extend, give_back_extended), 150);
    ck_assert_uint_gt(every_byte(PROXY_CUT_REPLY, take_lock, extend, give_back_extended), 3);
}
END_TEST

/* ---- Cut, and nobody gets through: the call fails, and what it left goes ---- */

#define STRIDE (under_valgrind() ? 25u : 5u) /* the first byte is chance's */

static void acquire_or_nothing(enum proxy_act act, size_t n)
{
    proxy_arm(&site.proxy, act, n, true);
    cachify_status_t status = site_take(site.cachify, "lock", CACHIFY_NEVER, &lease);
    bool acted = proxy_acted(&site.proxy);
    proxy_pass(&site.proxy);
    if (!acted) {
        ck_assert_int_eq(status, CACHIFY_OK);
        give_back();
        return;
    }
    if (status == CACHIFY_OK) { /* all of the answer came before the cut */
        ck_assert(site_has("lock"));
        give_back();
    } else {
        ck_assert_int_eq(status, CACHIFY_SYSTEM);
        assert_says(site.proxy.path);
    }
    EVENTUALLY(!site_has("lock"), LONG_MS);
}

START_TEST(an_acquire_that_is_not_known_is_given_back)
{
    uint64_t state = seed();
    warm_up();
    for (size_t n = chance(&state) % STRIDE; n < 700; n += STRIDE)
        acquire_or_nothing(PROXY_CUT_REQUEST, n);
    for (size_t n = 0; n < 110; n++)
        acquire_or_nothing(PROXY_CUT_REPLY, n);
}
END_TEST

static void release_or_later(enum proxy_act act, size_t n)
{
    cachify_lease_t other = CACHIFY_LEASE_INIT;
    cachify_t *direct = site_open(site.server.url);
    assert_ok(site_take(site.cachify, "lock", CACHIFY_NEVER, &lease));
    proxy_arm(&site.proxy, act, n, true);
    cachify_status_t status = cachify_release(&lease);
    ck_assert(!cachify_lease_held(&lease));
    ck_assert(status == CACHIFY_OK || status == CACHIFY_SYSTEM);
    /* Somebody may have it before the release is said again. */
    bool taken = site_take(direct, "lock", 60000, &other) == CACHIFY_OK;
    proxy_pass(&site.proxy);
    if (!taken)
        EVENTUALLY(site_take(direct, "lock", 60000, &other) == CACHIFY_OK, LONG_MS);
    assert_ok(site_take(site.cachify, "more", 60000, &lease));
    assert_ok(cachify_release(&lease));
    ck_assert(site_has("lock"));
    assert_ok(cachify_extend(&other, 60000));
    assert_ok(cachify_release(&other));
    cachify_close(direct);
}

START_TEST(a_release_that_is_not_known_is_done_later_and_hurts_nobody)
{
    uint64_t state = seed();
    warm_up();
    for (size_t n = chance(&state) % STRIDE; n < 450; n += STRIDE)
        release_or_later(PROXY_CUT_REQUEST, n);
    for (size_t n = 0; n < 5; n++)
        release_or_later(PROXY_CUT_REPLY, n);
}
END_TEST

/* ---- How it was got, though the first answer was cut off ---- */

START_TEST(what_an_acquisition_tells_survives_the_cut)
{
    cachify_origin_t origin = {0};
    cachify_lease_t before = CACHIFY_LEASE_INIT;
    warm_up();
    assert_ok(site_take(site.cachify, "lock", 5, &before));
    uint64_t token = cachify_lease_token(&before);
    EVENTUALLY(!site_has("lock"), LONG_MS);
    proxy_arm(&site.proxy, PROXY_CUT_REPLY, 0, false);
    assert_ok(site_take(site.cachify, "lock", 60000, &lease));
    ck_assert(proxy_acted(&site.proxy));
    ck_assert_int_eq(cachify_lease_origin(&lease, &origin), CACHIFY_EXPIRED);
    ck_assert_uint_eq(origin.previous_token, token);
    ck_assert_int_eq(origin.previous_pid, getpid());
    ck_assert_uint_gt(cachify_lease_token(&lease), token);
    assert_ok(cachify_release(&lease));
    assert_status(cachify_release(&before), CACHIFY_LOST);
}
END_TEST

START_TEST(a_second_release_is_LOST_also_when_it_is_cut)
{
    cachify_lease_t copy;
    warm_up();
    assert_ok(site_take(site.cachify, "lock", 60000, &lease));
    copy = lease;
    assert_ok(cachify_release(&lease));
    proxy_arm(&site.proxy, PROXY_CUT_REPLY, 0, false);
    assert_status(cachify_release(&copy), CACHIFY_LOST);
}
END_TEST

/* ---- What was sent arrives when nobody thinks of it any more ---- */

START_TEST(an_acquire_that_arrives_after_its_release_takes_nothing)
{
    warm_up();
    proxy_arm(&site.proxy, PROXY_HOLD, 0, false);
    assert_ok(site_take(site.cachify, "lock", CACHIFY_NEVER, &lease));
    assert_ok(cachify_release(&lease));
    proxy_deliver(&site.proxy);
    ck_assert(!site_has("lock"));
}
END_TEST

START_TEST(an_acquire_that_arrives_after_it_was_given_back_takes_nothing)
{
    warm_up();
    proxy_arm(&site.proxy, PROXY_HOLD, 0, true);
    assert_status(site_take(site.cachify, "lock", CACHIFY_NEVER, &lease), CACHIFY_SYSTEM);
    proxy_pass(&site.proxy);
    EVENTUALLY(strcmp(server_ask(&site.server, "KEYS cachify:void:*"), "") != 0, LONG_MS);
    proxy_deliver(&site.proxy);
    ck_assert(!site_has("lock"));
}
END_TEST

START_TEST(an_acquire_that_arrives_after_it_was_LOCKED_takes_nothing)
{
    cachify_lease_t other = CACHIFY_LEASE_INIT;
    cachify_t *direct = site_open(site.server.url);
    warm_up();
    assert_ok(site_take(direct, "lock", 60000, &other));
    proxy_arm(&site.proxy, PROXY_HOLD, 0, false);
    assert_status(site_take(site.cachify, "lock", CACHIFY_NEVER, &lease), CACHIFY_LOCKED);
    assert_ok(cachify_release(&other));
    proxy_deliver(&site.proxy);
    ck_assert(!site_has("lock"));
    cachify_close(direct);
}
END_TEST

START_TEST(a_release_by_key_that_arrives_twice_ends_one_lease)
{
    cachify_lease_t other = CACHIFY_LEASE_INIT;
    warm_up();
    assert_ok(cachify_release_key(site.cachify, "lock"));
    assert_ok(site_take(site.cachify, "lock", 60000, &lease));
    proxy_arm(&site.proxy, PROXY_HOLD, 0, false);
    assert_ok(cachify_release_key(site.cachify, "lock"));
    ck_assert(!cachify_lease_held(&lease));
    assert_ok(site_take(site.cachify, "lock", 60000, &other));
    proxy_deliver(&site.proxy);
    assert_ok(cachify_release(&other));
    assert_status(cachify_release(&lease), CACHIFY_LOST);
}
END_TEST

START_TEST(an_extend_that_arrives_after_a_longer_one_shortens_nothing)
{
    warm_up();
    take_lock();
    proxy_arm(&site.proxy, PROXY_HOLD, 0, true);
    assert_status(cachify_extend(&lease, 50), CACHIFY_SYSTEM);
    ck_assert_int_le(cachify_lease_remaining_ms(&lease), 50); /* it may have been done */
    proxy_pass(&site.proxy);
    EVENTUALLY(cachify_extend(&lease, 60000) == CACHIFY_OK, LONG_MS);
    proxy_deliver(&site.proxy);
    ck_assert_int_gt(atoll(server_ask(&site.server, "PTTL lock")), 30000);
    give_back();
}
END_TEST

START_TEST(a_set_that_arrives_after_its_end_sets_nothing)
{
    cachify_lock_t lock = {.key = "lock", .exp_ms = 60000, .value = "v", .value_len = 1};
    cachify_lease_t other = CACHIFY_LEASE_INIT;
    for (int nx = 0; nx < 2; nx++) {
        warm_up();
        proxy_arm(&site.proxy, PROXY_HOLD, 0, false);
        assert_ok(cachify_set(site.cachify, &lock, nx != 0));
        assert_ok(cachify_release_key(site.cachify, "lock"));
        if (nx == 0)
            assert_ok(site_take(site.cachify, "lock", 60000, &other));
        proxy_deliver(&site.proxy);
        if (nx == 0)
            assert_ok(cachify_release(&other));
        ck_assert(!site_has("lock"));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("redis: cut connections");
    TCase *once = group(suite, "cut once", setup_site, teardown_site);
    tcase_set_timeout(once, 120);
    tcase_add_test(once, an_acquire_that_is_cut_at_any_byte_is_had_and_known);
    tcase_add_test(once, a_release_that_is_cut_at_any_byte_is_done_and_known);
    tcase_add_test(once, an_extend_that_is_cut_at_any_byte_is_done_and_known);
    tcase_add_test(once, what_an_acquisition_tells_survives_the_cut);
    tcase_add_test(once, a_second_release_is_LOST_also_when_it_is_cut);
    TCase *off = group(suite, "cut off", setup_site, teardown_site);
    tcase_set_timeout(off, 120);
    tcase_add_test(off, an_acquire_that_is_not_known_is_given_back);
    tcase_add_test(off, a_release_that_is_not_known_is_done_later_and_hurts_nobody);
    TCase *late = group(suite, "late", setup_site, teardown_site);
    tcase_add_test(late, an_acquire_that_arrives_after_its_release_takes_nothing);
    tcase_add_test(late, an_acquire_that_arrives_after_it_was_given_back_takes_nothing);
    tcase_add_test(late, an_acquire_that_arrives_after_it_was_LOCKED_takes_nothing);
    tcase_add_test(late, a_release_by_key_that_arrives_twice_ends_one_lease);
    tcase_add_test(late, an_extend_that_arrives_after_a_longer_one_shortens_nothing);
    tcase_add_test(late, a_set_that_arrives_after_its_end_sets_nothing);
    return run_redis_suite(suite);
}
