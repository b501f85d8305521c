/* The table: where keys lie, what happens when homes collide and groups overflow, and that of any
 * number of concurrent inserters one succeeds. */
#include <sched.h>

#include "agent.h"

static cachify_lease_t leases[256];

static uint32_t slot_of(const char *key)
{
    uint32_t slot;
    word_of(key, &slot);
    return slot;
}

static bool overflows(uint32_t group)
{
    return (cf_load_relaxed(&here.m->group_at[group].control) & 1) != 0;
}

/* The first n keys of a home, all taken. */
static void take_keys_of(uint32_t group, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        assert_ok(take(key_at(group, -1, i), CACHIFY_NEVER, &leases[i]));
}

/* ---- Places ---- */

START_TEST(a_key_is_put_into_its_home_group)
{
    uint32_t slot;
    assert_ok(take("job", 0, leases));
    cf_word w = word_of("job", &slot);
    ck_assert_int_eq(cf_word_state(w), CF_HELD);
    ck_assert_uint_eq(slot / 8, cf_home(here.m, hash_of("job")));
    struct cf_record *r = cf_record_at(here.m, cf_word_record(w));
    ck_assert_uint_eq(cf_load_relaxed(&r->hash), hash_of("job"));
    ck_assert_uint_eq(cf_load_relaxed(&r->slot), slot);
    ck_assert_uint_eq(cf_load_relaxed(&r->key_len), 3);
    ck_assert_uint_eq(cf_load_relaxed(&r->owner), cf_self(here.m));
    ck_assert_uint_eq(cf_load_relaxed(&r->token), cachify_lease_token(leases));
    assert_sound(here.m);
}
END_TEST

START_TEST(keys_of_one_home_fill_the_group_and_go_on_to_the_next)
{
    take_keys_of(7, 2 * CF_SLOTS + 1);
    for (unsigned i = 0; i < 2 * CF_SLOTS + 1; i++)
        ck_assert_uint_eq(slot_of(key_at(7, -1, i)) / 8, 7 + i / CF_SLOTS);
    ck_assert(overflows(7) && overflows(8) && !overflows(9));
    assert_sound(here.m);
    struct agent *agent = agent_start();
    for (unsigned i = 0; i < 2 * CF_SLOTS + 1; i++)
        ck_assert_int_eq(agent_take(agent, key_at(7, -1, i), 0).status, CACHIFY_LOCKED);
    for (unsigned i = 0; i < 2 * CF_SLOTS + 1; i++)
        assert_ok(cachify_release(&leases[i]));
    ck_assert_uint_eq(census(here.m).held, 0);
}
END_TEST

START_TEST(the_path_goes_on_from_the_last_group_to_the_first)
{
    uint32_t last = here.m->groups - 1;
    take_keys_of(last, CF_SLOTS + 2);
    ck_assert_uint_eq(slot_of(key_at(last, -1, CF_SLOTS)) / 8, 0);
    ck_assert(overflows(last) && !overflows(0));
    assert_sound(here.m);
    struct agent *agent = agent_start();
    ck_assert_int_eq(agent_take(agent, key_at(last, -1, CF_SLOTS + 1), 0).status, CACHIFY_LOCKED);
}
END_TEST

/* pitfall 67: no false "absent" when what lay before a key on its path is gone. */
START_TEST(a_key_beyond_its_home_is_found_when_its_home_has_room_again)
{
    struct agent *agent = agent_start();
    take_keys_of(7, CF_SLOTS + 3);
    for (unsigned i = 0; i < CF_SLOTS; i++)
        assert_ok(cachify_release(&leases[i]));
    for (unsigned i = CF_SLOTS; i < CF_SLOTS + 3; i++) {
        ck_assert(is_locked(key_at(7, -1, i)));
        ck_assert_int_eq(agent_take(agent, key_at(7, -1, i), 0).status, CACHIFY_LOCKED);
    }
    /* Others come and go in between. */
    for (unsigned i = 20; i < 30; i++)
        ck_assert_uint_ne(pass(key_at(7, -1, i)), 0);
    for (unsigned i = CF_SLOTS; i < CF_SLOTS + 3; i++)
        ck_assert_int_eq(agent_take(agent, key_at(7, -1, i), 0).status, CACHIFY_LOCKED);
    assert_sound(here.m);
}
END_TEST

START_TEST(bits_that_need_not_be_are_cleared_by_whoever_walks_past)
{
    take_keys_of(7, 3 * CF_SLOTS);
    ck_assert(overflows(7) && overflows(8));
    for (unsigned i = 0; i < 3 * CF_SLOTS; i++)
        assert_ok(cachify_release(&leases[i]));
    for (unsigned i = 40; i < 44; i++)
        ck_assert_uint_ne(pass(key_at(7, -1, i)), 0);
    ck_assert_uint_eq(census(here.m).overflowing, 0);
}
END_TEST

START_TEST(bits_that_somebody_lies_beyond_stay)
{
    take_keys_of(7, 2 * CF_SLOTS + 1);
    for (unsigned i = 0; i < 2 * CF_SLOTS; i++)
        assert_ok(cachify_release(&leases[i]));
    for (unsigned i = 40; i < 60; i++)
        ck_assert_uint_ne(pass(key_at(7, -1, i)), 0);
    ck_assert(overflows(7) && overflows(8)); /* the last of them lies in group 9 */
    ck_assert(is_locked(key_at(7, -1, 2 * CF_SLOTS)));
    assert_sound(here.m);
}
END_TEST

START_TEST(a_bit_left_by_a_killed_inserter_is_cleared)
{
    for (uint32_t g = 5; g < 9; g++)
        cf_store_relaxed(&here.m->group_at[g].control, 3); /* crash C8 */
    for (uint32_t g = 5; g < 9; g++)
        ck_assert_uint_ne(pass(key_at(g, -1, 0)), 0);
    ck_assert_uint_eq(census(here.m).overflowing, 0);
}
END_TEST

START_TEST(a_table_whose_every_group_overflows_still_works)
{
    for (uint32_t g = 0; g < here.m->groups; g++)
        cf_store_relaxed(&here.m->group_at[g].control, 1);
    for (unsigned i = 0; i < 64; i++)
        assert_ok(take(numbered("job", i), 0, &leases[i]));
    for (unsigned i = 0; i < 64; i++)
        ck_assert(is_locked(numbered("job", i)));
    for (unsigned i = 0; i < 64; i++)
        assert_ok(cachify_release(&leases[i]));
}
END_TEST

START_TEST(keys_of_one_home_and_one_tag_are_told_apart)
{
    struct agent *agent = agent_start();
    for (unsigned i = 0; i < 4; i++)
        assert_ok(take(key_at(3, 9, i), 0, &leases[i]));
    for (unsigned i = 0; i < 4; i++) {
        ck_assert_int_eq(agent_take(agent, key_at(3, 9, i), 0).status, CACHIFY_LOCKED);
        ck_assert_uint_eq(query(key_at(3, 9, i)).token, cachify_lease_token(&leases[i]));
    }
    assert_ok(cachify_release(&leases[1]));
    ck_assert(is_locked(key_at(3, 9, 0)) && is_locked(key_at(3, 9, 2)));
    ck_assert(!is_locked(key_at(3, 9, 1)));
    assert_ok(agent_take(agent, key_at(3, 9, 1), 0).status);
}
END_TEST

/* One is the other's beginning, and longer ones differ in their last byte only. */
START_TEST(keys_are_compared_to_their_last_byte)
{
    char a[65], b[65];
    memset(a, 'x', 64);
    a[64] = '\0';
    memcpy(b, a, sizeof b);
    b[63] = 'y';
    const char *const keys[] = {"a", "ab", "abc", "abcdefgh", "abcdefghi", a, b};
    for (unsigned i = 0; i < 7; i++)
        assert_ok(take(keys[i], 0, &leases[i]));
    for (unsigned i = 0; i < 7; i++) {
        ck_assert_uint_eq(query(keys[i]).token, cachify_lease_token(&leases[i]));
        assert_ok(cachify_release(&leases[i]));
        ck_assert(!is_locked(keys[i]));
    }
}
END_TEST

/* pitfall 72: the seed is the segment's own. */
START_TEST(where_keys_lie_differs_from_segment_to_segment)
{
    unsigned same = 0;
    uint32_t homes[64];
    for (unsigned i = 0; i < 64; i++)
        homes[i] = cf_home(here.m, hash_of(numbered("job", i)));
    reopen_here(here.config);
    for (unsigned i = 0; i < 64; i++)
        same += homes[i] == cf_home(here.m, hash_of(numbered("job", i)));
    ck_assert_uint_lt(same, 20); /* two are expected */
}
END_TEST

/* ---- In place ---- */

START_TEST(a_lock_taken_again_by_its_thread_stays_in_its_place)
{
    uint32_t slot, again;
    uint64_t token = pass("job");
    cf_word idle = word_of("job", &slot);
    ck_assert_int_eq(cf_word_state(idle), CF_IDLE);
    assert_ok(take("job", 0, leases));
    cf_word held = word_of("job", &again);
    ck_assert_uint_eq(again, slot);
    ck_assert_uint_eq(held, cf_word_with_state(idle, CF_HELD));
    ck_assert_uint_gt(cachify_lease_token(leases), token);
    assert_ok(cachify_release(leases));
    ck_assert_uint_eq(word_of("job", NULL), cf_word_released(held));
}
END_TEST

START_TEST(an_idle_lock_of_another_process_is_taken_in_its_place)
{
    struct agent *agent = agent_start();
    uint32_t slot, again;
    assert_ok(agent_take(agent, "job", 0).status);
    assert_ok(agent_release(agent).status);
    ck_assert_int_eq(cf_word_state(word_of("job", &slot)), CF_IDLE);
    assert_ok(take("job", 0, leases));
    ck_assert_uint_eq(cf_word_state(word_of("job", &again)), CF_HELD);
    ck_assert_uint_eq(again, slot);
    ck_assert_int_eq(agent_take(agent, "job", 0).status, CACHIFY_LOCKED);
    assert_ok(agent_take(agent, "other", 0).status); /* its spare is still its own */
    assert_sound(here.m);
}
END_TEST

START_TEST(a_thread_that_goes_on_to_another_key_leaves_nothing_behind)
{
    ck_assert_uint_ne(pass("a"), 0);
    ck_assert_uint_ne(pass("b"), 0);
    ck_assert_uint_eq(word_of("a", NULL), 0);
    struct census c = census(here.m);
    ck_assert_uint_eq(c.idle, 1);
    ck_assert_uint_eq(c.taken, 1);
}
END_TEST

/* ---- Inserters at once (pitfall 66) ---- */

struct contest {
    unsigned round;
    uint32_t home; /* whose group is full, so that candidates lie in different places */
    _Atomic unsigned tried;
};

static int64_t contend(unsigned i, void *context)
{
    struct contest *contest = context;
    cachify_lease_t mine;
    (void)i;
    const char *key = key_at(contest->home, -1, 10 + contest->round % 50);
    return cachify_acquire(here.cachify, &(cachify_lock_t){.key = key, .exp_ms = CACHIFY_NEVER},
                           &mine);
}

static void contest_rounds(unsigned occupied)
{
    int64_t got[4];
    struct contest contest = {.home = 5};
    take_keys_of(contest.home, occupied);
    for (; contest.round < rounds(2000); contest.round++) {
        unsigned winners = 0;
        threads_together(4, contend, &contest, got);
        for (unsigned i = 0; i < 4; i++) {
            ck_assert(got[i] == CACHIFY_OK || got[i] == CACHIFY_LOCKED);
            winners += got[i] == CACHIFY_OK;
        }
        ck_assert_msg(winners == 1, "%u winners in round %u", winners, contest.round);
        const char *key = key_at(contest.home, -1, 10 + contest.round % 50);
        ck_assert(is_locked(key));
        assert_ok(cachify_release_key(here.cachify, key));
        ck_assert_uint_eq(word_of(key, NULL), 0);
    }
    ck_assert_uint_eq(census(here.m).held, occupied);
    assert_sound(here.m);
}

START_TEST(of_many_threads_inserting_one_new_key_one_gets_it)
{
    contest_rounds(0);
}
END_TEST

START_TEST(and_so_when_its_home_is_full)
{
    contest_rounds(CF_SLOTS - 1);
}
END_TEST

/* Keys of one home come and go beside the contest, so that empty places appear before and behind. */
static int64_t contend_in_commotion(unsigned i, void *context)
{
    struct contest *contest = context;
    cachify_lease_t mine;
    if (i < 3)
        return contend(i, context);
    for (unsigned n = 0; n < 8; n++) {
        const char *key = key_at(contest->home, -1, 70 + n);
        if (cachify_acquire(here.cachify, &(cachify_lock_t){.key = key}, &mine) == CACHIFY_OK)
            cachify_release_key(here.cachify, key);
    }
    return CACHIFY_LOCKED;
}

START_TEST(and_so_while_other_keys_of_its_home_come_and_go)
{
    int64_t got[4];
    struct contest contest = {.home = 5};
    take_keys_of(contest.home, CF_SLOTS - 1);
    for (; contest.round < rounds(1000); contest.round++) {
        threads_together(4, contend_in_commotion, &contest, got);
        unsigned winners = 0;
        for (unsigned i = 0; i < 3; i++)
            winners += got[i] == CACHIFY_OK;
        ck_assert_msg(winners == 1, "%u winners in round %u", winners, contest.round);
        assert_ok(
            cachify_release_key(here.cachify, key_at(contest.home, -1, 10 + contest.round % 50)));
    }
    assert_sound(here.m);
}
END_TEST

static int64_t contend_alone(unsigned i, void *context)
{
    struct contest *contest = context;
    cachify_t *own;
    cachify_lease_t mine;
    unsigned won = 0;
    (void)i;
    if (cachify_open(&here.config, &own) != CACHIFY_OK)
        return -2;
    for (unsigned round = 0; round < contest->round; round++) {
        /* A round begins when all have ended the one before. */
        while (atomic_load(&contest->tried) < 3 * round)
            sched_yield();
        const char *key = numbered("contest", round);
        if (cachify_acquire(own, &(cachify_lock_t){.key = key, .exp_ms = CACHIFY_NEVER}, &mine) ==
            CACHIFY_OK)
            won++;
        atomic_fetch_add(&contest->tried, 1);
    }
    while (atomic_load(&contest->tried) < 3 * contest->round)
        sched_yield();
    return won;
}

START_TEST(of_many_processes_inserting_one_new_key_one_gets_it)
{
    int64_t got[3];
    struct contest *contest = shared(sizeof *contest);
    contest->round = rounds(1000);
    reopen_here((cachify_config_t){.max_locks = 2000, .prefix = ""});
    processes_together(3, contend_alone, contest, got);
    ck_assert_int_eq(got[0] + got[1] + got[2], contest->round);
    ck_assert_uint_eq(census(here.m).held, contest->round);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("table");
    TCase *t = group(s, "places", setup_here, teardown_here);
    tcase_add_test(t, a_key_is_put_into_its_home_group);
    tcase_add_test(t, keys_of_one_home_fill_the_group_and_go_on_to_the_next);
    tcase_add_test(t, the_path_goes_on_from_the_last_group_to_the_first);
    tcase_add_test(t, a_key_beyond_its_home_is_found_when_its_home_has_room_again);
    tcase_add_test(t, bits_that_need_not_be_are_cleared_by_whoever_walks_past);
    tcase_add_test(t, bits_that_somebody_lies_beyond_stay);
    tcase_add_test(t, a_bit_left_by_a_killed_inserter_is_cleared);
    tcase_add_test(t, a_table_whose_every_group_overflows_still_works);
    tcase_add_test(t, keys_of_one_home_and_one_tag_are_told_apart);
    tcase_add_test(t, keys_are_compared_to_their_last_byte);
    tcase_add_test(t, where_keys_lie_differs_from_segment_to_segment);
    t = group(s, "in place", setup_here, teardown_here);
    tcase_add_test(t, a_lock_taken_again_by_its_thread_stays_in_its_place);
    tcase_add_test(t, an_idle_lock_of_another_process_is_taken_in_its_place);
    tcase_add_test(t, a_thread_that_goes_on_to_another_key_leaves_nothing_behind);
    t = group(s, "inserters at once", setup_here, teardown_here);
    tcase_add_test(t, of_many_threads_inserting_one_new_key_one_gets_it);
    tcase_add_test(t, and_so_when_its_home_is_full);
    tcase_add_test(t, and_so_while_other_keys_of_its_home_come_and_go);
    tcase_add_test(t, of_many_processes_inserting_one_new_key_one_gets_it);
    return run_suite(s);
}
