/* Room: a table filled to max_locks, and one that sees ever new keys.  I2, I8. */
#include <pthread.h>

#include "agent.h"

static cachify_lease_t leases[1024], extra;

static void setup_with_locks(uint32_t max_locks)
{
    reopen_here((cachify_config_t){.max_locks = max_locks, .key_max = 32, .prefix = ""});
}

static void fill_table(unsigned n, int64_t exp_ms)
{
    for (unsigned i = 0; i < n; i++)
        assert_ok(take(numbered("held", i), exp_ms, &leases[i]));
}

/* ---- Full (pitfall 70) ---- */

static const uint32_t sizes[] = {1, 2, 3, 5, 64, 1000};

START_TEST(exactly_max_locks_fit_and_the_next_is_FULL)
{
    char number[16];
    uint32_t n = sizes[_i];
    setup_with_locks(n);
    fill_table(n, CACHIFY_NEVER);
    snprintf(number, sizeof number, "%u", n);
    for (unsigned i = 0; i < 5; i++) {
        assert_status(take(numbered("next", i), 0, &extra), CACHIFY_FULL);
        assert_says(number);
    }
    ck_assert_uint_eq(census(here.m).held, n);
    assert_sound(here.m);
}
END_TEST

START_TEST(in_a_full_table_each_lock_is_still_held_and_can_be_released)
{
    struct agent *agent = agent_start();
    fill_table(64, CACHIFY_NEVER);
    for (unsigned i = 0; i < 64; i++) {
        assert_status(take("next", 0, &extra), CACHIFY_FULL);
        ck_assert(cachify_lease_held(&leases[i]));
        ck_assert_int_eq(agent_take(agent, numbered("held", i), 0).status, CACHIFY_LOCKED);
        assert_ok(cachify_release(&leases[i]));
        assert_ok(take("next", 0, &extra)); /* the room that came free, and no more */
        assert_status(take("one more", 0, &leases[i]), CACHIFY_FULL);
        assert_ok(cachify_release(&extra));
        assert_ok(take(numbered("held", i), CACHIFY_NEVER, &leases[i]));
    }
    for (unsigned i = 0; i < 64; i++)
        assert_ok(cachify_release(&leases[i]));
    ck_assert_uint_eq(census(here.m).held, 0);
}
END_TEST

START_TEST(a_waiting_acquire_of_a_full_table_is_FULL_too)
{
    cachify_lock_t lock = {.key = "next", .wait = true, .timeout_ms = LONG_MS};
    fill_table(64, CACHIFY_NEVER);
    assert_status(cachify_acquire(here.cachify, &lock, &extra), CACHIFY_FULL);
}
END_TEST

START_TEST(pressure_never_ends_a_live_lease)
{
    struct agent *agent = agent_start();
    fill_table(63, 600000);
    assert_ok(agent_take(agent, "its own", 600000).status);
    for (unsigned i = 0; i < rounds(1000); i++)
        ck_assert_int_eq(take(numbered("new", i), 0, &extra), CACHIFY_FULL);
    ck_assert(agent_look(agent).held);
    for (unsigned i = 0; i < 63; i++)
        ck_assert(cachify_lease_held(&leases[i]));
}
END_TEST

START_TEST(what_is_expired_makes_room)
{
    fill_table(60, CACHIFY_NEVER);
    for (unsigned i = 60; i < 64; i++)
        assert_ok(take(numbered("short", i), 1, &leases[i]));
    EVENTUALLY(!is_locked("short-63"), LONG_MS);
    for (unsigned i = 0; i < 4; i++)
        assert_ok(take(numbered("new", i), CACHIFY_NEVER, &leases[100 + i]));
    assert_status(take("next", 0, &extra), CACHIFY_FULL);
    for (unsigned i = 60; i < 64; i++) {
        assert_status(cachify_extend(&leases[i], 60000), CACHIFY_LOST); /* its room was taken */
        assert_status(cachify_release(&leases[i]), CACHIFY_LOST);
    }
    for (unsigned i = 0; i < 60; i++)
        ck_assert(cachify_lease_held(&leases[i]));
    ck_assert_uint_eq(census(here.m).held, 64);
    assert_sound(here.m);
}
END_TEST

START_TEST(what_the_dead_held_makes_room)
{
    struct agent *agent = agent_start();
    for (unsigned i = 0; i < 10; i++) {
        struct agent_order order = {.act = act_take, .lease = i, .exp_ms = CACHIFY_NEVER};
        snprintf(order.key, sizeof order.key, "dead-%u", i);
        assert_ok(agent_do(agent, &order).status);
    }
    fill_table(54, CACHIFY_NEVER);
    assert_status(take("next", 0, &extra), CACHIFY_FULL);
    agent_kill(agent);
    EVENTUALLY(take("next", CACHIFY_NEVER, &extra) == CACHIFY_OK, LONG_MS);
    for (unsigned i = 1; i < 10; i++)
        assert_ok(take(numbered("new", i), CACHIFY_NEVER, &leases[100 + i]));
    assert_status(take("next but one", 0, &leases[200]), CACHIFY_FULL);
    ck_assert_uint_eq(census(here.m).held, 64);
    assert_sound(here.m);
}
END_TEST

START_TEST(an_expired_lock_of_a_full_table_is_taken_over_in_place)
{
    struct agent *agent = agent_start();
    fill_table(63, CACHIFY_NEVER);
    assert_ok(agent_take(agent, "short", 1).status);
    EVENTUALLY(!is_locked("short"), LONG_MS);
    assert_ok(take("short", CACHIFY_NEVER, &extra));
    ck_assert_int_eq(cachify_lease_origin(&extra, NULL), CACHIFY_EXPIRED);
    assert_status(take("next", 0, &leases[70]), CACHIFY_FULL);
    ck_assert_int_eq(agent_release(agent).status, CACHIFY_LOST);
}
END_TEST

START_TEST(extend_works_in_a_full_table)
{
    struct agent *agent = agent_start();
    assert_ok(agent_take(agent, "its own", 60000).status);
    fill_table(63, 60000);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 63; i++)
            assert_ok(cachify_extend(&leases[i], 70000));
        assert_ok(agent_extend(agent, 70000).status);
        assert_status(take("next", 0, &extra), CACHIFY_FULL);
    }
    ck_assert_uint_eq(census(here.m).held, 64);
    assert_sound(here.m);
}
END_TEST

static int64_t extend_some(unsigned i, void *context)
{
    (void)context;
    for (unsigned round = 0; round < 50; round++)
        for (unsigned n = i * 4; n < i * 4 + 4; n++) {
            cachify_status_t status = cachify_extend(&leases[n], 60000);
            if (status != CACHIFY_OK)
                return status;
        }
    return 0;
}

START_TEST(extend_works_in_a_full_table_in_all_threads_at_once)
{
    int64_t got[16];
    fill_table(64, 60000);
    threads_together(16, extend_some, NULL, got);
    for (unsigned i = 0; i < 16; i++)
        assert_ok((cachify_status_t)got[i]);
    for (unsigned i = 0; i < 64; i++)
        ck_assert(cachify_lease_held(&leases[i]));
    assert_status(take("next", 0, &extra), CACHIFY_FULL);
    ck_assert_uint_eq(census(here.m).held, 64);
}
END_TEST

static int64_t fill_as_can(unsigned i, void *context)
{
    _Atomic unsigned *told = context;
    cachify_t *own;
    static cachify_lease_t got[128];
    int64_t n = 0;
    if (cachify_open(&here.config, &own) != CACHIFY_OK)
        return -2;
    for (unsigned k = 0; k < 128; k++) {
        cachify_lock_t lock = {.key = numbered(numbered("p", i), k), .exp_ms = CACHIFY_NEVER};
        cachify_status_t status = cachify_acquire(own, &lock, &got[n]);
        if (status == CACHIFY_OK)
            n++;
        else if (status != CACHIFY_FULL)
            return -3;
    }
    atomic_fetch_add(told, 1); /* and lives until all are done */
    for (int64_t until = now_ms() + LONG_MS; atomic_load(told) < 4 && now_ms() < until;)
        tick();
    return n;
}

/* What is under way elsewhere does not count towards the limit (R9), or a process stopped there
 * would fill the table for others; so each may find room for one more beside the others. */
START_TEST(many_processes_together_get_max_locks_and_at_most_one_more_each)
{
    int64_t got[4];
    _Atomic unsigned *told = shared(sizeof *told);
    processes_together(4, fill_as_can, told, got);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_int_ge(got[i], 0);
    ck_assert_int_ge(got[0] + got[1] + got[2] + got[3], 64);
    ck_assert_int_lt(got[0] + got[1] + got[2] + got[3], 64 + 4);
}
END_TEST

/* ---- Idle threads ---- */

/* Threads that take and release a lock each, then wait, and in phase 2 take it again. */
static struct {
    _Atomic unsigned passed, phase, again;
    unsigned n;
    pthread_t crowd;
} idlers;

static int64_t idle(unsigned i, void *context)
{
    cachify_lease_t mine;
    (void)context;
    bool good = pass(numbered("idle", i)) != 0;
    atomic_fetch_add(&idlers.passed, 1);
    while (atomic_load(&idlers.phase) == 0)
        tick();
    if (idlers.phase == 2) {
        good = good && take(numbered("idle", i), CACHIFY_NEVER, &mine) == CACHIFY_OK;
        atomic_fetch_add(&idlers.again, 1);
        while (atomic_load(&idlers.phase) == 2)
            tick();
        good = good && cachify_release(&mine) == CACHIFY_OK;
    }
    return good;
}

static void *be_idlers(void *unused)
{
    (void)unused;
    threads_together(idlers.n, idle, NULL, NULL);
    return NULL;
}

static void begin_idlers(unsigned n)
{
    idlers.n = n;
    idlers.passed = idlers.phase = idlers.again = 0;
    ck_assert_int_eq(pthread_create(&idlers.crowd, NULL, be_idlers, NULL), 0);
    EVENTUALLY(idlers.passed == n, LONG_MS);
}

static void end_idlers(void)
{
    atomic_store(&idlers.phase, 1);
    pthread_join(idlers.crowd, NULL);
}

/* How many of 64 locks there is room for. */
static unsigned take_what_fits(void)
{
    unsigned got = 0;
    while (got < 65 && take(numbered("held", got), CACHIFY_NEVER, &leases[got]) == CACHIFY_OK)
        got++;
    return got;
}

/* A thread that once had a lock keeps its record warm, and there are spare ones for that. */
START_TEST(idle_threads_take_no_room_from_others)
{
    begin_idlers(60);
    unsigned got = take_what_fits();
    end_idlers();
    ck_assert_uint_eq(got, 64);
}
END_TEST

/* Rule R9: their words may be evicted, and there are records enough. */
START_TEST(hundred_idle_threads_take_no_room_either)
{
    begin_idlers(100);
    unsigned got = take_what_fits();
    end_idlers();
    ck_assert_uint_eq(got, 64);
}
END_TEST

/* However many come back to what they kept: a lease that is held can be extended. */
START_TEST(idle_threads_that_come_back_leave_records_to_extend_with)
{
    unsigned extended = 0;
    begin_idlers(64);
    unsigned got = take_what_fits();
    atomic_store(&idlers.phase, 2);
    EVENTUALLY(idlers.again == 64, LONG_MS);
    for (unsigned i = 0; i < got; i++)
        extended += cachify_extend(&leases[i], CACHIFY_NEVER) == CACHIFY_OK;
    uint32_t held = census(here.m).held;
    end_idlers();
    ck_assert_uint_eq(extended, got);
    ck_assert_uint_lt(held, here.m->records);
}
END_TEST

/* ---- Ever new keys (pitfall 68) ---- */

static void use_new_keys(unsigned n, unsigned at_once)
{
    cachify_lease_t ring[16] = {CACHIFY_LEASE_INIT};
    for (unsigned i = 0; i < n; i++) {
        assert_ok(cachify_release(&ring[i % at_once]));
        assert_ok(take(numbered("job", i), 60000, &ring[i % at_once]));
    }
    for (unsigned i = 0; i < at_once; i++)
        assert_ok(cachify_release(&ring[i]));
}

START_TEST(any_number_of_new_keys_leaves_the_table_as_it_was)
{
    use_new_keys(rounds(300000), 1);
    use_new_keys(rounds(100000), 16);
    struct census c = census(here.m);
    ck_assert_uint_eq(c.held + c.inserting, 0);
    ck_assert_uint_le(c.taken, 1);
    ck_assert_uint_eq(c.unnamed + c.idle, c.taken);
    /* A bit may be left where nobody came by since; the next to come clears it. */
    for (uint32_t g = 0; g < here.m->groups; g++)
        ck_assert_uint_ne(pass(key_at(g, -1, 1000)), 0);
    ck_assert_uint_eq(census(here.m).overflowing, 0);
}
END_TEST

START_TEST(nor_does_it_in_a_table_that_is_nearly_full)
{
    fill_table(48, CACHIFY_NEVER);
    use_new_keys(rounds(100000), 16);
    struct census c = census(here.m);
    ck_assert_uint_eq(c.held, 48);
    ck_assert_uint_le(c.taken, 49);
    for (unsigned i = 0; i < 48; i++)
        assert_ok(cachify_release(&leases[i]));
    for (uint32_t g = 0; g < here.m->groups; g++)
        ck_assert_uint_ne(pass(key_at(g, -1, 1000)), 0);
    ck_assert_uint_eq(census(here.m).overflowing, 0);
    ck_assert_uint_le(census(here.m).taken, 1);
}
END_TEST

static int64_t new_keys_in_a_thread(unsigned i, void *context)
{
    cachify_lease_t mine;
    unsigned n = *(unsigned *)context;
    for (unsigned k = 0; k < n; k++) {
        cachify_status_t status = take(numbered(numbered("t", i), k), 60000, &mine);
        if (status == CACHIFY_OK)
            status = cachify_release(&mine);
        if (status != CACHIFY_OK)
            return status;
    }
    return 0;
}

START_TEST(nor_when_threads_do_it_together)
{
    int64_t got[4];
    unsigned n = rounds(50000);
    threads_together(4, new_keys_in_a_thread, &n, got);
    for (unsigned i = 0; i < 4; i++)
        assert_ok((cachify_status_t)got[i]);
    struct census c = census(here.m);
    ck_assert_uint_eq(c.held + c.idle + c.inserting, 0);
    ck_assert_uint_eq(c.taken, 0); /* each thread gave its spare back */
}
END_TEST

int main(void)
{
    Suite *s = suite_create("full");
    TCase *t = group(s, "full", setup_here, teardown_here);
    tcase_add_loop_test(t, exactly_max_locks_fit_and_the_next_is_FULL, 0, 6);
    tcase_add_test(t, in_a_full_table_each_lock_is_still_held_and_can_be_released);
    tcase_add_test(t, a_waiting_acquire_of_a_full_table_is_FULL_too);
    tcase_add_test(t, pressure_never_ends_a_live_lease);
    tcase_add_test(t, what_is_expired_makes_room);
    tcase_add_test(t, what_the_dead_held_makes_room);
    tcase_add_test(t, an_expired_lock_of_a_full_table_is_taken_over_in_place);
    tcase_add_test(t, extend_works_in_a_full_table);
    tcase_add_test(t, extend_works_in_a_full_table_in_all_threads_at_once);
    tcase_add_test(t, many_processes_together_get_max_locks_and_at_most_one_more_each);
    t = group(s, "idle threads", setup_here, teardown_here);
    tcase_add_test(t, idle_threads_take_no_room_from_others);
    tcase_add_test(t, hundred_idle_threads_take_no_room_either);
    tcase_add_test(t, idle_threads_that_come_back_leave_records_to_extend_with);
    t = group(s, "ever new keys", setup_here, teardown_here);
    tcase_add_test(t, any_number_of_new_keys_leaves_the_table_as_it_was);
    tcase_add_test(t, nor_does_it_in_a_table_that_is_nearly_full);
    tcase_add_test(t, nor_when_threads_do_it_together);
    return run_suite(s);
}
