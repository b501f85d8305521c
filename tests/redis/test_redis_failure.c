/* Servers that are not there, die, come back empty, stand still, are full, read-only, or do not let
 * us in: each has its status and its words, and costs no more than the timeouts. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "site.h"

static cachify_lease_t lease;

/* More than a call may last with timeouts of 1 s each, on a busy machine; and what is at once. */
#define BOUND_MS 3500
#define AT_ONCE_MS 500

static cachify_status_t take_timed(cachify_t *cachify, int64_t *ms)
{
    int64_t before = now_ms();
    cachify_status_t status = site_take(cachify, "lock", 60000, &lease);
    *ms = now_ms() - before;
    return status;
}

/* ---- Not there ---- */

START_TEST(an_absent_server_is_named_at_once)
{
    int64_t ms;
    server_kill(&site.server);
    unlink(site.server.path);
    cachify_t *direct = site_open(site.server.url);
    for (int i = 0; i < 20; i++) {
        assert_status(take_timed(direct, &ms), CACHIFY_SYSTEM);
        assert_says(site.server.path);
        assert_says(strerror(ENOENT));
        ck_assert_int_lt(ms, AT_ONCE_MS);
    }
    cachify_close(direct);
}
END_TEST

START_TEST(a_server_that_does_not_take_connections_costs_one_timeout_not_one_a_call)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char url[128];
    int64_t ms, begun;
    int deaf = socket(AF_UNIX, SOCK_STREAM, 0), full = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s/deaf", site.server.directory);
    snprintf(url, sizeof url, "unix://%s?connect_timeout_ms=300", address.sun_path);
    site_options.connect_timeout_ms = 0;
    ck_assert_int_eq(bind(deaf, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(deaf, 0), 0);
    ck_assert_int_eq(connect(full, (struct sockaddr *)&address, sizeof address), 0);
    cachify_t *cachify = site_open(url);
    begun = now_ms();
    assert_status(take_timed(cachify, &ms), CACHIFY_SYSTEM);
    ck_assert_int_ge(ms, 290);
    ck_assert_int_lt(ms, BOUND_MS);
    int calls = 0;
    for (; now_ms() - begun < 1500; calls++)
        assert_status(take_timed(cachify, &ms), CACHIFY_SYSTEM);
    ck_assert_int_gt(calls, 100);
    cachify_close(cachify);
    close(deaf);
    close(full);
}
END_TEST

/* ---- Dies and comes back ---- */

START_TEST(a_server_that_comes_back_empty_is_used_again_and_the_leases_are_lost)
{
    cachify_lease_t before = CACHIFY_LEASE_INIT;
    assert_ok(site_take(site.cachify, "held", 60000, &before));
    uint64_t token = cachify_lease_token(&before);
    server_kill(&site.server);
    assert_status(site_take(site.cachify, "lock", 60000, &lease), CACHIFY_SYSTEM);
    ck_assert(server_restart(&site.server));
    EVENTUALLY(site_take(site.cachify, "lock", 60000, &lease) == CACHIFY_OK, LONG_MS);
    ck_assert_uint_gt(cachify_lease_token(&lease), token);
    assert_ok(cachify_release(&lease));
    assert_status(cachify_extend(&before, 60000), CACHIFY_LOST);
    ck_assert(!cachify_lease_held(&before));
    assert_status(cachify_release(&before), CACHIFY_LOST);
}
END_TEST

START_TEST(a_restart_between_two_calls_is_not_noticed)
{
    assert_ok(site_take(site.cachify, "lock", 60000, &lease));
    assert_ok(cachify_release(&lease));
    server_kill(&site.server);
    ck_assert(server_restart(&site.server));
    assert_ok(site_take(site.cachify, "lock", 60000, &lease));
    server_ask(&site.server, "SCRIPT FLUSH");
    assert_ok(cachify_release(&lease));
    server_ask(&site.server, "CLIENT KILL TYPE normal");
    assert_ok(site_take(site.cachify, "lock", 60000, &lease));
    assert_ok(cachify_release(&lease));
}
END_TEST

START_TEST(a_release_beside_a_dead_server_is_made_good_when_it_is_back)
{
    /* The server's data outlives it: what is on disk is read again. */
    assert_ok(site_take(site.cachify, "lock", CACHIFY_NEVER, &lease));
    ck_assert_str_eq(server_ask(&site.server, "SAVE"), "OK");
    server_kill(&site.server);
    assert_status(cachify_release(&lease), CACHIFY_SYSTEM);
    ck_assert(!cachify_lease_held(&lease));
    ck_assert(server_restart(&site.server));
    EVENTUALLY(!site_has("lock"), LONG_MS);
}
END_TEST

/* ---- Stands still ---- */

START_TEST(a_stopped_server_costs_the_timeouts_and_what_it_did_then_is_given_back)
{
    int64_t ms;
    bool locked;
    cachify_lease_t held = CACHIFY_LEASE_INIT;
    assert_ok(site_take(site.cachify, "held", 60000, &held));
    server_stop(&site.server);
    assert_status(take_timed(site.cachify, &ms), CACHIFY_SYSTEM);
    assert_says("command_timeout_ms");
    assert_says(site.proxy.path);
    ck_assert_int_ge(ms, 900);
    ck_assert_int_lt(ms, BOUND_MS);
    int64_t before = now_ms();
    assert_status(cachify_is_locked(site.cachify, "lock", &locked), CACHIFY_SYSTEM);
    ck_assert_int_lt(now_ms() - before, BOUND_MS);
    ck_assert(cachify_lease_held(&held)); /* by the clock */
    server_continue(&site.server);
    EVENTUALLY(strcmp(server_ask(&site.server, "KEYS cachify:void:*"), "") != 0, LONG_MS);
    STAYS(!site_has("lock"), 100);
    assert_ok(cachify_release(&held));
}
END_TEST

START_TEST(no_lease_is_believed_in_past_its_end_though_the_server_stands_still)
{
    assert_ok(site_take(site.cachify, "lock", 200, &lease));
    server_stop(&site.server);
    EVENTUALLY(!cachify_lease_held(&lease), LONG_MS);
    server_continue(&site.server);
    assert_ok(cachify_extend(&lease, 60000)); /* late, and nobody took it */
    assert_ok(cachify_release(&lease));
}
END_TEST

START_TEST(a_slow_server_is_waited_for)
{
    ck_assert_str_eq(server_ask(&site.server, "CLIENT PAUSE 300 ALL"), "OK");
    int64_t ms;
    assert_ok(take_timed(site.cachify, &ms));
    assert_ok(cachify_release(&lease));
}
END_TEST

START_TEST(a_lease_is_counted_from_before_it_was_asked_for)
{
    int64_t ms;
    assert_ok(site_take(site.cachify, "other", 60000, &lease));
    assert_ok(cachify_release(&lease));
    ck_assert_str_eq(server_ask(&site.server, "CLIENT PAUSE 300 ALL"), "OK");
    assert_ok(take_timed(site.cachify, &ms));
    ck_assert_int_le(cachify_lease_remaining_ms(&lease), 60000 - ms + 5);
    assert_ok(cachify_release(&lease));
}
END_TEST

/* ---- Refuses ---- */

static cachify_status_t set_config(const char *name, const char *value)
{
    const char *said = server_ask(&site.server, "CONFIG SET %s %s", name, value);
    return said != NULL && strcmp(said, "OK") == 0 ? CACHIFY_OK : CACHIFY_SYSTEM;
}

START_TEST(a_full_server_is_FULL_and_lets_go_what_it_has)
{
    cachify_lease_t held = CACHIFY_LEASE_INIT;
    cachify_lock_t set = {.key = "set"};
    bool locked;
    assert_ok(site_take(site.cachify, "held", 60000, &held));
    assert_ok(set_config("maxmemory", "1"));
    assert_status(site_take(site.cachify, "lock", 60000, &lease), CACHIFY_FULL);
    assert_says("OOM");
    assert_says(site.proxy.path);
    assert_status(site_take(site.cachify, "held", 60000, &lease), CACHIFY_LOCKED);
    assert_status(cachify_set(site.cachify, &set, true), CACHIFY_FULL);
    assert_ok(cachify_is_locked(site.cachify, "held", &locked));
    ck_assert(locked);
    assert_ok(cachify_extend(&held, 60000));
    assert_ok(cachify_release(&held));
    ck_assert(!site_has("held"));
    assert_ok(set_config("maxmemory", "0"));
    assert_ok(site_take(site.cachify, "lock", 60000, &lease));
    assert_ok(cachify_release(&lease));
}
END_TEST

START_TEST(a_replica_is_PERMISSION_and_tells_who_holds)
{
    cachify_info_t info = {0};
    assert_ok(site_take(site.cachify, "lock", 60000, &lease));
    ck_assert_str_eq(server_ask(&site.server, "REPLICAOF 127.0.0.1 1"), "OK");
    assert_ok(cachify_query(site.cachify, "lock", &info));
    ck_assert_int_eq(info.pid, getpid());
    assert_status(cachify_extend(&lease, 60000), CACHIFY_PERMISSION);
    assert_says("READONLY");
    assert_status(cachify_release_key(site.cachify, "lock"), CACHIFY_PERMISSION);
    assert_status(cachify_release(&lease), CACHIFY_PERMISSION);
    assert_status(site_take(site.cachify, "other", 60000, &lease), CACHIFY_PERMISSION);
    ck_assert_str_eq(server_ask(&site.server, "REPLICAOF NO ONE"), "OK");
    EVENTUALLY(!site_has("lock"), LONG_MS); /* its release is made good */
}
END_TEST

static const char *const guarded[] = {"--requirepass", "s3cret-word", NULL};

static void setup_guarded(void)
{
    setup_site_with(guarded);
}

/* Nothing that is said has it in it. */
static void want_silence(const char *password)
{
    ck_assert_msg(strstr(cachify_last_error(), password) == NULL, "the password is in \"%s\"",
                  cachify_last_error());
}

static cachify_status_t take_as(const char *user, const char *password)
{
    site_options.user = user;
    site_options.password = password;
    cachify_t *cachify = site_open(site.server.url);
    cachify_status_t status = site_take(cachify, "PYC-lock", 60000, &lease);
    if (status == CACHIFY_OK) {
        cachify_lease_t other = CACHIFY_LEASE_INIT;
        assert_status(site_wait(cachify, "PYC-lock", 20, &other), CACHIFY_TIMEOUT);
        assert_ok(cachify_extend(&lease, 60000));
        assert_ok(cachify_release(&lease));
    }
    cachify_close(cachify);
    site_options.user = site_options.password = NULL;
    return status;
}

START_TEST(passwords_are_asked_for_checked_and_never_told)
{
    char url[160];
    assert_status(take_as(NULL, NULL), CACHIFY_PERMISSION);
    assert_says("NOAUTH");
    assert_status(take_as(NULL, "wr0ng-word"), CACHIFY_PERMISSION);
    assert_says("WRONGPASS");
    want_silence("wr0ng-word");
    assert_ok(take_as(NULL, "s3cret-word"));
    assert_ok(take_as("default", "s3cret-word"));
    snprintf(url, sizeof url, "unix://:s3cret%%2Dword@%s?db=3", site.server.path);
    cachify_t *cachify = site_open(url);
    assert_ok(site_take(cachify, "lock", 60000, &lease));
    assert_ok(cachify_release(&lease));
    cachify_close(cachify);
}
END_TEST

START_TEST(a_user_needs_what_the_manual_says_and_no_more)
{
    assert_ok(take_as(NULL, NULL));
    ck_assert_str_eq(
        server_ask(&site.server,
                   "ACL SETUSER worker on >w0rd ~PYC-* ~cachify:* &cachify:wake:* +@read "
                   "+@write +@scripting +@pubsub +@connection +time"),
        "OK");
    assert_ok(take_as("worker", "w0rd"));
    ck_assert_str_eq(server_ask(&site.server,
                                "ACL SETUSER reader on >w0rd ~PYC-* ~cachify:* +@read "
                                "+@scripting +@connection +time"),
                     "OK");
    assert_status(take_as("reader", "w0rd"), CACHIFY_PERMISSION);
    assert_says("The user executing the script");
}
END_TEST

START_TEST(something_else_under_the_key_is_CORRUPT)
{
    bool locked;
    server_ask(&site.server, "LPUSH lock element");
    assert_status(site_take(site.cachify, "lock", 60000, &lease), CACHIFY_CORRUPT);
    assert_says("WRONGTYPE");
    assert_ok(cachify_is_locked(site.cachify, "lock", &locked));
    ck_assert(locked);
    assert_ok(cachify_release_key(site.cachify, "lock"));
    assert_ok(site_take(site.cachify, "lock", 60000, &lease));
    assert_ok(cachify_release(&lease));
}
END_TEST

START_TEST(a_database_that_is_none_is_INVALID)
{
    site_options.database = 99;
    cachify_t *cachify = site_open(site.server.url);
    assert_status(site_take(cachify, "lock", 60000, &lease), CACHIFY_INVALID);
    assert_says("DB index");
    cachify_close(cachify);
}
END_TEST

/* ---- Children and threads ---- */

static int64_t count_up(unsigned i, void *context)
{
    int *counter = context;
    (void)i;
    for (int n = 0; n < 40; n++) {
        cachify_lease_t own = CACHIFY_LEASE_INIT;
        if (site_wait(site.cachify, "lock", LONG_MS, &own) != CACHIFY_OK)
            return 1;
        int seen = *(volatile int *)counter;
        tick();
        *(volatile int *)counter = seen + 1;
        if (cachify_release(&own) != CACHIFY_OK)
            return 2;
    }
    return 0;
}

START_TEST(many_threads_share_few_connections)
{
    int counter = 0;
    int64_t results[12];
    cachify_t *usual = site.cachify;
    site_options.max_connections = 2;
    site.cachify = site_open(site.server.url);
    threads_together(12, count_up, &counter, results);
    for (unsigned i = 0; i < 12; i++)
        ck_assert_int_eq(results[i], 0);
    ck_assert_int_eq(counter, 480);
    cachify_close(site.cachify);
    site.cachify = usual;
}
END_TEST

START_TEST(children_exclude_each_other_and_leave_their_parents_connections_alone)
{
    int *counter = shared(sizeof *counter);
    int64_t results[4];
    cachify_lease_t own = CACHIFY_LEASE_INIT;
    assert_ok(site_take(site.cachify, "parents", 60000, &own));
    unsigned before = proxy_accepted(&site.proxy);
    processes_together(4, count_up, counter, results);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_int_eq(results[i], 0);
    ck_assert_int_eq(*counter, 160);
    unsigned after = proxy_accepted(&site.proxy);
    ck_assert_uint_gt(after, before);
    assert_ok(cachify_extend(&own, 60000));
    assert_ok(cachify_release(&own));
    ck_assert_uint_eq(proxy_accepted(&site.proxy), after); /* the parent's is good still */
}
END_TEST

START_TEST(nothing_is_left_of_a_closed_client)
{
    cachify_lease_t other = CACHIFY_LEASE_INIT;
    unsigned before = count_descriptors();
    for (int i = 0; i < 10; i++) {
        cachify_t *cachify = site_open(site.server.url);
        assert_ok(site_take(cachify, "lock", 60000, &lease));
        assert_status(site_wait(cachify, "lock", 20, &other), CACHIFY_TIMEOUT);
        assert_ok(cachify_release(&lease));
        assert_ok(cachify_close(cachify));
    }
    ck_assert_uint_eq(count_descriptors(), before);
    ck_assert_str_eq(server_ask(&site.server, "KEYS cachify:wait:*"), "");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("redis: failures");
    TCase *gone = group(suite, "not there", setup_site, teardown_site);
    tcase_set_timeout(gone, 60);
    tcase_add_test(gone, an_absent_server_is_named_at_once);
    tcase_add_test(gone, a_server_that_does_not_take_connections_costs_one_timeout_not_one_a_call);
    tcase_add_test(gone, a_server_that_comes_back_empty_is_used_again_and_the_leases_are_lost);
    tcase_add_test(gone, a_restart_between_two_calls_is_not_noticed);
    tcase_add_test(gone, a_release_beside_a_dead_server_is_made_good_when_it_is_back);
    TCase *still = group(suite, "slow", setup_site, teardown_site);
    tcase_set_timeout(still, 60);
    tcase_add_test(still, a_stopped_server_costs_the_timeouts_and_what_it_did_then_is_given_back);
    tcase_add_test(still, no_lease_is_believed_in_past_its_end_though_the_server_stands_still);
    tcase_add_test(still, a_slow_server_is_waited_for);
    tcase_add_test(still, a_lease_is_counted_from_before_it_was_asked_for);
    TCase *refuses = group(suite, "refuses", setup_site, teardown_site);
    tcase_set_timeout(refuses, 60);
    tcase_add_test(refuses, a_full_server_is_FULL_and_lets_go_what_it_has);
    tcase_add_test(refuses, a_replica_is_PERMISSION_and_tells_who_holds);
    tcase_add_test(refuses, a_user_needs_what_the_manual_says_and_no_more);
    tcase_add_test(refuses, something_else_under_the_key_is_CORRUPT);
    tcase_add_test(refuses, a_database_that_is_none_is_INVALID);
    TCase *password = group(suite, "password", setup_guarded, teardown_site);
    tcase_add_test(password, passwords_are_asked_for_checked_and_never_told);
    TCase *many = group(suite, "threads and children", setup_site, teardown_site);
    tcase_set_timeout(many, 120);
    tcase_add_test(many, many_threads_share_few_connections);
    tcase_add_test(many, children_exclude_each_other_and_leave_their_parents_connections_alone);
    tcase_add_test(many, nothing_is_left_of_a_closed_client);
    return run_redis_suite(suite);
}
