/* Waiting across processes: who is called, when, and by whom if somebody does not listen.  The poll
 * interval is 5 s; whoever has the lock in half of that was called. */
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "site.h"

#define CALLED_MS 2500
#define MANY 40u

static cachify_lease_t lease;

static unsigned in_line(void)
{
    const char *said = server_ask(&site.server, "ZCARD cachify:wait:lock");
    ck_assert_ptr_nonnull(said);
    return (unsigned)atoi(said);
}

/* ---- Threads that wait ---- */

struct waiting {
    pthread_t thread;
    cachify_t *cachify;
    cachify_status_t status;
    _Atomic int64_t got; /* ms; 0: not yet */
    _Atomic bool let_go;
    unsigned order;
};

static _Atomic unsigned order;

static void *wait_and_hold(void *given)
{
    struct waiting *w = given;
    cachify_lease_t own = CACHIFY_LEASE_INIT;
    w->status = site_wait(w->cachify, "lock", LONG_MS, &own);
    w->order = atomic_fetch_add(&order, 1);
    w->got = now_ms();
    while (!w->let_go)
        tick();
    cachify_release(&own);
    return NULL;
}

/* It is in the server's line when this returns. */
static void begin(struct waiting *w, cachify_t *cachify, bool let_go)
{
    unsigned before = in_line();
    *w = (struct waiting){.cachify = cachify, .let_go = let_go};
    ck_assert_int_eq(pthread_create(&w->thread, NULL, wait_and_hold, w), 0);
    EVENTUALLY(in_line() == before + 1, LONG_MS);
}

static void want_called(struct waiting *w, int64_t since)
{
    EVENTUALLY(w->got != 0, LONG_MS);
    ck_assert_int_eq(w->status, CACHIFY_OK);
    ck_assert_int_lt(w->got - since, CALLED_MS);
}

static void finish(struct waiting *w)
{
    w->let_go = true;
    pthread_join(w->thread, NULL);
}

START_TEST(who_came_first_is_called_first_also_of_several_clients)
{
    struct waiting w[6];
    cachify_t *other = site_open(site.server.url);
    order = 0;
    assert_ok(site_take(site.cachify, "lock", 60000, &lease));
    for (unsigned i = 0; i < 6; i++)
        begin(&w[i], i % 2 == 0 ? site.cachify : other, true);
    int64_t since = now_ms();
    assert_ok(cachify_release(&lease));
    for (unsigned i = 0; i < 6; i++)
        want_called(&w[i], since);
    for (unsigned i = 0; i < 6; i++) {
        finish(&w[i]);
        ck_assert_uint_eq(w[i].order, i);
    }
    ck_assert_uint_eq(in_line(), 0);
    cachify_close(other);
}
END_TEST

static unsigned commands(void)
{
    const char *said = server_ask(&site.server, "INFO commandstats");
    const char *at = said != NULL ? strstr(said, "cmdstat_evalsha:calls=") : NULL;
    ck_assert_ptr_nonnull(at);
    return (unsigned)atoi(at + strlen("cmdstat_evalsha:calls="));
}

START_TEST(a_release_wakes_one_of_many)
{
    static struct waiting w[MANY];
    order = 0;
    assert_ok(site_take(site.cachify, "lock", 60000, &lease));
    for (unsigned i = 0; i < MANY; i++)
        begin(&w[i], site.cachify, false);
    unsigned before = commands();
    int64_t since = now_ms();
    assert_ok(cachify_release(&lease));
    want_called(&w[0], since);
    ck_assert_uint_le(commands() - before, 2 + MANY / 10); /* some may look by themselves */
    for (unsigned i = 0; i < MANY; i++)
        finish(&w[i]);
    ck_assert_uint_eq(in_line(), 0);
}
END_TEST

/* ---- Who does not listen ---- */

static pid_t waiting_child(void)
{
    unsigned before = in_line();
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        cachify_lease_t own = CACHIFY_LEASE_INIT;
        site_wait(site.cachify, "lock", LONG_MS, &own);
        end_child();
    }
    EVENTUALLY(in_line() == before + 1, LONG_MS);
    return pid;
}

START_TEST(the_dead_are_passed_over)
{
    struct waiting w;
    pid_t child[3];
    assert_ok(site_take(site.cachify, "lock", 60000, &lease));
    for (int i = 0; i < 3; i++)
        child[i] = waiting_child();
    begin(&w, site.cachify, false);
    for (int i = 0; i < 3; i++) {
        send_signal(child[i], SIGKILL);
        waitpid(child[i], NULL, 0);
    }
    int64_t since = now_ms();
    assert_ok(cachify_release(&lease));
    want_called(&w, since);
    ck_assert_uint_eq(in_line(), 0);
    finish(&w);
}
END_TEST

START_TEST(who_is_called_and_goes_calls_the_next)
{
    struct waiting w;
    cachify_async_t *async;
    cachify_lock_t lock = {.key = "lock", .wait = true, .exp_ms = 60000};
    assert_ok(site_take(site.cachify, "lock", 60000, &lease));
    assert_ok(cachify_acquire_start(site.cachify, &lock, &async));
    cachify_lease_t none = CACHIFY_LEASE_INIT;
    EVENTUALLY(in_line() == 1 || (cachify_async_finish(async, &none), false), LONG_MS);
    begin(&w, site.cachify, false);
    int64_t since = now_ms();
    assert_ok(cachify_release(&lease));
    struct pollfd fd = {.fd = cachify_async_fd(async), .events = POLLIN};
    ck_assert_int_eq(poll(&fd, 1, CALLED_MS), 1);
    ck_assert_int_eq(w.got, 0);
    assert_ok(cachify_async_cancel(async));
    want_called(&w, since);
    finish(&w);
    ck_assert_uint_eq(in_line(), 0);
}
END_TEST

START_TEST(a_place_that_nobody_has_any_more_calls_the_next)
{
    struct waiting w;
    assert_ok(site_take(site.cachify, "lock", 60000, &lease));
    begin(&w, site.cachify, false);
    /* Before it in line: one of its process that was, by its channel, and is not. */
    const char *member = server_ask(&site.server, "ZRANGE cachify:wait:lock 0 0");
    char gone[256];
    snprintf(gone, sizeof gone, "%.33sffffffffffffffff 1 1 thread - -", member);
    server_ask(&site.server, "ZADD cachify:wait:lock 1 %b", gone, strlen(gone));
    int64_t since = now_ms();
    assert_ok(cachify_release(&lease));
    want_called(&w, since);
    finish(&w);
}
END_TEST

START_TEST(a_listener_that_was_cut_off_is_back_and_missed_nothing)
{
    struct waiting w;
    for (int i = 0; i < 10; i++) {
        assert_ok(site_take(site.cachify, "lock", 60000, &lease));
        begin(&w, site.cachify, true);
        int64_t since = now_ms();
        if (i % 2 == 0)
            server_ask(&site.server, "CLIENT KILL TYPE pubsub");
        assert_ok(cachify_release(&lease));
        if (i % 2 != 0)
            server_ask(&site.server, "CLIENT KILL TYPE pubsub");
        want_called(&w, since);
        finish(&w);
    }
}
END_TEST

START_TEST(who_waits_is_told_when_the_server_goes)
{
    struct waiting w;
    assert_ok(site_take(site.cachify, "lock", 60000, &lease));
    begin(&w, site.cachify, true);
    int64_t since = now_ms();
    server_kill(&site.server);
    EVENTUALLY(w.got != 0, LONG_MS);
    ck_assert_int_lt(w.got - since, CALLED_MS);
    ck_assert_int_eq(w.status, CACHIFY_SYSTEM);
    finish(&w);
    ck_assert(server_restart(&site.server));
    EVENTUALLY(cachify_release(&lease) != CACHIFY_SYSTEM, LONG_MS);
    EVENTUALLY(site_take(site.cachify, "lock", 60000, &lease) == CACHIFY_OK, LONG_MS);
    begin(&w, site.cachify, true);
    since = now_ms();
    assert_ok(cachify_release(&lease));
    want_called(&w, since);
    finish(&w);
}
END_TEST

START_TEST(a_lock_that_goes_without_a_word_is_found_at_the_poll_interval)
{
    struct waiting w;
    cachify_t *polling = site_open_polling(site.server.url, 50);
    assert_ok(site_take(site.cachify, "lock", 60000, &lease));
    begin(&w, polling, true);
    int64_t since = now_ms();
    ck_assert_str_eq(server_ask(&site.server, "DEL lock"), "1");
    want_called(&w, since);
    finish(&w);
    assert_status(cachify_release(&lease), CACHIFY_LOST);
    cachify_close(polling);
}
END_TEST

START_TEST(who_waits_for_an_expiry_has_the_lock_then_and_knows_whose_it_was)
{
    cachify_lease_t own = CACHIFY_LEASE_INIT;
    cachify_origin_t origin = {0};
    assert_ok(site_take(site.cachify, "lock", 100, &lease));
    int64_t since = now_ms();
    assert_ok(site_wait(site.cachify, "lock", LONG_MS, &own));
    ck_assert_int_lt(now_ms() - since, CALLED_MS);
    ck_assert_int_eq(cachify_lease_origin(&own, &origin), CACHIFY_EXPIRED);
    ck_assert_uint_eq(origin.previous_token, cachify_lease_token(&lease));
    assert_status(cachify_extend(&lease, 60000), CACHIFY_LOST);
    assert_status(cachify_release(&lease), CACHIFY_LOST);
    assert_ok(cachify_release(&own));
}
END_TEST

/* ---- Who waits, as it is told ---- */

struct told {
    unsigned count, loops;
    int64_t pid, awaited_pid, waited_ms;
};

static int tell(void *context, const cachify_waiter_t *waiter)
{
    struct told *told = context;
    told->count++;
    told->loops += waiter->event_loop;
    told->pid = waiter->pid;
    told->awaited_pid = waiter->awaited_pid;
    told->waited_ms = waiter->waited_ms;
    return waiter->key_len == 4 && memcmp(waiter->key, "lock", 4) == 0 ? 0 : 1;
}

START_TEST(who_waits_is_listed_and_gone_when_it_gave_up)
{
    struct waiting w;
    struct told told = {0};
    cachify_info_t info = {0};
    cachify_lease_t own = CACHIFY_LEASE_INIT;
    assert_ok(site_take(site.cachify, "lock", 60000, &lease));
    begin(&w, site.cachify, true);
    assert_ok(cachify_waiters(site.cachify, "lock", tell, &told));
    ck_assert_uint_eq(told.count, 1);
    ck_assert_uint_eq(told.loops, 0);
    ck_assert_int_eq(told.pid, getpid());
    ck_assert_int_eq(told.awaited_pid, getpid());
    ck_assert_int_ge(told.waited_ms, 0);
    ck_assert_int_lt(told.waited_ms, LONG_MS);
    assert_ok(cachify_query(site.cachify, "lock", &info));
    ck_assert_uint_eq(info.waiters, 1);
    assert_status(site_wait(site.cachify, "lock", 50, &own), CACHIFY_TIMEOUT);
    assert_says("1 wait");
    ck_assert_uint_eq(in_line(), 1);
    assert_ok(cachify_release(&lease));
    finish(&w);
    ck_assert_uint_eq(in_line(), 0);
}
END_TEST

static int first_ends(void *context, const cachify_waiter_t *waiter)
{
    tell(context, waiter);
    return 1;
}

/* Another program wrote into the line. */
START_TEST(what_is_nobody_of_ours_in_line_is_not_listed)
{
    struct waiting w[2];
    struct told all = {0}, one = {0};
    assert_ok(site_take(site.cachify, "lock", 60000, &lease));
    for (unsigned i = 0; i < 2; i++)
        begin(&w[i], site.cachify, true);
    ck_assert_ptr_nonnull(server_ask(&site.server, "ZADD cachify:wait:lock 1 nonsense"));
    assert_ok(cachify_waiters(site.cachify, "lock", tell, &all));
    ck_assert_uint_eq(all.count, 2);
    assert_ok(cachify_waiters(site.cachify, "lock", first_ends, &one));
    ck_assert_uint_eq(one.count, 1);
    ck_assert_ptr_nonnull(server_ask(&site.server, "ZREM cachify:wait:lock nonsense"));
    assert_ok(cachify_release(&lease));
    for (unsigned i = 0; i < 2; i++)
        finish(&w[i]);
}
END_TEST

/* ---- Event loops ---- */

START_TEST(a_hundred_pending_in_one_thread_have_it_in_turn)
{
    cachify_async_t *async[100];
    cachify_lock_t lock = {.key = "lock", .wait = true, .exp_ms = 60000};
    bool done[100] = {false};
    unsigned left = 100;
    assert_ok(site_take(site.cachify, "lock", 60000, &lease));
    for (unsigned i = 0; i < 100; i++)
        assert_ok(cachify_acquire_start(site.cachify, &lock, &async[i]));
    int64_t since = now_ms();
    assert_ok(cachify_release(&lease));
    while (left > 0) {
        ck_assert_int_lt(now_ms() - since, LONG_MS);
        for (unsigned i = 0; i < 100; i++) {
            cachify_lease_t own = CACHIFY_LEASE_INIT;
            struct pollfd fd = {.fd = done[i] ? -1 : cachify_async_fd(async[i]), .events = POLLIN};
            if (done[i] || poll(&fd, 1, 0) != 1)
                continue;
            cachify_status_t status = cachify_async_finish(async[i], &own);
            if (status == CACHIFY_PENDING)
                continue;
            assert_status(status, CACHIFY_OK);
            done[i] = true;
            left--;
            assert_ok(cachify_release(&own));
        }
    }
    ck_assert_int_lt(now_ms() - since, 4500); /* nobody was asleep for a poll interval */
    ck_assert_uint_eq(in_line(), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("redis: waiting");
    TCase *turns = group(suite, "turns", setup_site, teardown_site);
    tcase_set_timeout(turns, 60);
    tcase_add_test(turns, who_came_first_is_called_first_also_of_several_clients);
    tcase_add_test(turns, a_release_wakes_one_of_many);
    TCase *deaf = group(suite, "who does not listen", setup_site, teardown_site);
    tcase_set_timeout(deaf, 60);
    tcase_add_test(deaf, the_dead_are_passed_over);
    tcase_add_test(deaf, who_is_called_and_goes_calls_the_next);
    tcase_add_test(deaf, a_place_that_nobody_has_any_more_calls_the_next);
    tcase_add_test(deaf, a_listener_that_was_cut_off_is_back_and_missed_nothing);
    tcase_add_test(deaf, who_waits_is_told_when_the_server_goes);
    tcase_add_test(deaf, a_lock_that_goes_without_a_word_is_found_at_the_poll_interval);
    TCase *others = group(suite, "expiry, lists, event loops", setup_site, teardown_site);
    tcase_set_timeout(others, 60);
    tcase_add_test(others, who_waits_for_an_expiry_has_the_lock_then_and_knows_whose_it_was);
    tcase_add_test(others, who_waits_is_listed_and_gone_when_it_gave_up);
    tcase_add_test(others, what_is_nobody_of_ours_in_line_is_not_listed);
    tcase_add_test(others, a_hundred_pending_in_one_thread_have_it_in_turn);
    return run_redis_suite(suite);
}
