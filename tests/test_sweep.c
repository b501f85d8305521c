/* What the dead leave, at each step where they may die (crash table C1 to C6 of lib/shm/README.md), and its
 * reclaiming: by acquirers, by sweepers, by several at once, by some that are killed.  I4, I5. */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cachify/shm.h>

#include "agent.h"
#include "shm/lease.h"
#include "shm/lease_pool.h"
#include "shm/sweep.h"

static cachify_lease_t lease;

/* Nothing is left but n records of the living, and no entry but the test's own. */
static void assert_clean(uint32_t taken)
{
    struct census c = census(here.m);
    ck_assert_uint_eq(c.taken, taken);
    ck_assert_uint_eq(c.held + c.inserting, 0);
    ck_assert_uint_eq(c.entries, 1);
    assert_sound(here.m);
}

/* ---- Deaths at a step ---- */

/* C1: with a record in hand. */
static cachify_status_t act_take_record(struct agent_self *self, const struct agent_order *order,
                                        struct agent_answer *answer)
{
    static struct cf_spare spares[8];
    (void)answer;
    return cf_spare_in_hand(self->m, &spares[order->number % 8], CF_FOR_LOCK) ? CACHIFY_OK
                                                                              : CACHIFY_FULL;
}

START_TEST(C1_a_record_in_hand_is_freed_by_a_sweep)
{
    struct agent *agent = agent_start();
    for (int64_t i = 0; i < 8; i++)
        assert_ok(agent_run(agent, act_take_record, i).status);
    ck_assert_uint_eq(cf_sweep(here.m), 0);
    ck_assert_uint_eq(census(here.m).taken, 8);
    agent_kill(agent);
    ck_assert_uint_eq(cf_sweep(here.m), 8);
    assert_clean(0);
}
END_TEST

/* C2: a candidate in its place, number places from the first of its home group. */
static cachify_status_t act_insert(struct agent_self *self, const struct agent_order *order,
                                   struct agent_answer *answer)
{
    struct cf_mapping *m = self->m;
    struct cf_spare spare = {0};
    uint64_t hash = hash_of(order->key), text[2] = {0};
    uint32_t number = cf_slot_number(cf_home(m, hash), (uint32_t)order->number);
    if (!cf_spare_in_hand(m, &spare, CF_FOR_LOCK))
        return CACHIFY_FULL;
    struct cf_record *r = cf_record_at(m, (uint32_t)spare.record - 1);
    memcpy(text, order->key, strlen(order->key));
    cf_store_relaxed(&r->hash, hash);
    cf_store_relaxed(&r->slot, number);
    cf_store_relaxed(&r->key_len, (uint16_t)strlen(order->key));
    cf_store_relaxed(&r->text[0], text[0]);
    cf_store_relaxed(&r->text[1], text[1]);
    cf_store_relaxed(&r->owner, cf_self(m));
    cf_word w = cf_word_make(CF_INSERTING, hash, spare.generation, (uint32_t)spare.record - 1);
    answer->number = (int64_t)w;
    return cf_cas64(cf_slot_at(m, number), 0, w) ? CACHIFY_OK : CACHIFY_LOCKED;
}

static struct agent_answer insert_in(struct agent *agent, const char *key, int64_t place)
{
    struct agent_order order = {.act = act_insert, .number = place};
    snprintf(order.key, sizeof order.key, "%s", key);
    return agent_do(agent, &order);
}

/* pitfall 29, pitfall 69: nobody holds by it, dead or alive; the place does not matter. */
START_TEST(C2_a_dead_inserters_candidate_is_withdrawn_by_the_next_of_its_key)
{
    struct agent *agent = agent_start();
    assert_ok(insert_in(agent, "job", _i).status);
    ck_assert(!is_locked("job"));
    agent_kill(agent);
    assert_ok(take("job", 0, &lease));
    ck_assert_int_eq(cachify_lease_origin(&lease, NULL), CACHIFY_FRESH);
    ck_assert_uint_eq(census(here.m).inserting, 0);
    assert_ok(cachify_release(&lease));
    cf_sweep(here.m);
    assert_clean(1);
}
END_TEST

START_TEST(C2_a_living_inserter_that_stands_still_is_no_obstacle_either)
{
    struct agent *agent = agent_start();
    assert_ok(insert_in(agent, "job", 0).status);
    agent_stop(agent);
    assert_ok(take("job", 0, &lease));
    ck_assert_uint_eq(census(here.m).inserting, 0);
    ck_assert_uint_eq(census(here.m).taken, 2); /* its record is still its own (R3) */
    ck_assert_uint_eq(cf_sweep(here.m), 0);
    agent_continue(agent);
    ck_assert_int_eq(agent_take(agent, "job", 0).status, CACHIFY_LOCKED);
}
END_TEST

START_TEST(C2_candidates_of_the_dead_are_withdrawn_by_a_sweep)
{
    struct agent *agent = agent_start();
    for (uint32_t i = 0; i < 10; i++)
        assert_ok(insert_in(agent, key_at(3 * i, -1, 0), i % CF_SLOTS).status);
    ck_assert_uint_eq(census(here.m).inserting, 10);
    ck_assert_uint_eq(cf_sweep(here.m), 0);
    agent_kill(agent);
    ck_assert_uint_eq(cf_sweep(here.m), 10);
    assert_clean(0);
}
END_TEST

START_TEST(C3_a_dead_holders_lock_is_taken_over_and_its_record_freed)
{
    struct agent *agent = agent_start();
    assert_ok(agent_take(agent, "job", CACHIFY_NEVER).status);
    agent_kill(agent);
    ck_assert_uint_eq(query("job").state, CACHIFY_STATE_OWNER_DEAD);
    assert_ok(take("job", 0, &lease));
    ck_assert_int_eq(cachify_lease_origin(&lease, NULL), CACHIFY_OWNER_DIED);
    ck_assert_uint_eq(census(here.m).taken, 1);
    assert_ok(cachify_release(&lease));
    assert_clean(1);
}
END_TEST

/* C4, C5: number 0: noted only; 1: and taken out. */
static cachify_status_t act_remove_and_halt(struct agent_self *self,
                                            const struct agent_order *order,
                                            struct agent_answer *answer)
{
    uint32_t slot;
    cf_word w = word_of(order->key, &slot);
    (void)answer;
    cf_intent_begin(self->m, w);
    if (order->number != 0 && !cf_cas64(cf_slot_at(self->m, slot), w, 0))
        return CACHIFY_LOST;
    return CACHIFY_OK;
}

START_TEST(C4_a_remover_killed_before_its_CAS_changed_nothing)
{
    struct agent *agent = agent_start();
    struct agent_order order = {.act = act_remove_and_halt, .key = "job"};
    assert_ok(take("job", 0, &lease));
    assert_ok(agent_do(agent, &order).status);
    agent_kill(agent);
    ck_assert_uint_eq(cf_sweep(here.m), 0);
    ck_assert(cachify_lease_held(&lease));
    assert_ok(cachify_release(&lease));
    assert_clean(1);
}
END_TEST

START_TEST(C5_a_remover_killed_after_its_CAS_leaks_no_record_of_the_living)
{
    struct agent *agent = agent_start();
    struct agent_order order = {.act = act_remove_and_halt, .number = 1, .key = "job"};
    assert_ok(take("job", 0, &lease));
    assert_ok(agent_do(agent, &order).status);
    agent_kill(agent);
    ck_assert_uint_eq(census(here.m).unnamed, 1);
    ck_assert(!cachify_lease_held(&lease));
    ck_assert_uint_eq(cf_sweep(here.m), 1);
    ck_assert_uint_eq(cf_sweep(here.m), 0);
    assert_clean(0);
    assert_status(cachify_release(&lease), CACHIFY_LOST);
    assert_clean(0);
}
END_TEST

/* Whoever registers in the dead one's entry follows its intents first. */
START_TEST(C5_is_mended_too_when_the_removers_entry_is_used_again)
{
    struct agent_order order = {.act = act_remove_and_halt, .number = 1, .key = "job"};
    struct agent *agent = agent_start();
    uint32_t entry = cf_owner_entry(agent->owner);
    assert_ok(take("job", 0, &lease));
    assert_ok(agent_do(agent, &order).status);
    agent_kill(agent);
    for (unsigned i = 0; i < AGENTS - 5; i++) /* all alive, until all entries are taken */
        if (cf_owner_entry(agent_start()->owner) == entry)
            break;
    ck_assert_uint_eq(census(here.m).taken, 0);
}
END_TEST

/* C6: claimed, and the word not yet out. */
static cachify_status_t act_claim(struct agent_self *self, const struct agent_order *order,
                                  struct agent_answer *answer)
{
    (void)answer;
    return cf_record_claim(self->m, word_of(order->key, NULL)) ? CACHIFY_OK : CACHIFY_LOST;
}

START_TEST(C6_a_holder_killed_in_its_release_is_taken_over)
{
    struct agent *agent = agent_start();
    assert_ok(agent_take(agent, "job", CACHIFY_NEVER).status);
    assert_ok(agent_do(agent, &(struct agent_order){.act = act_claim, .key = "job"}).status);
    agent_kill(agent);
    if (_i == 0) {
        assert_ok(take("job", 0, &lease));
        ck_assert_int_eq(cachify_lease_origin(&lease, NULL), CACHIFY_OWNER_DIED);
        assert_ok(cachify_release(&lease));
    }
    cf_sweep(here.m);
    ck_assert(!is_locked("job"));
    assert_clean(_i == 0 ? 1 : 0);
}
END_TEST

START_TEST(idle_locks_of_the_dead_are_evicted_and_their_tokens_kept)
{
    struct agent *agent = agent_start();
    struct agent_answer answer = agent_take(agent, "job", 0);
    assert_ok(agent_release(agent).status);
    agent_kill(agent);
    ck_assert_uint_eq(census(here.m).idle, 1);
    ck_assert_uint_eq(cf_sweep(here.m), 1);
    assert_clean(0);
    ck_assert_uint_gt(pass("job"), answer.token);
}
END_TEST

/* ---- Sweepers ---- */

START_TEST(a_sweep_leaves_the_living_alone)
{
    struct agent *agent = agent_start();
    assert_ok(take("mine", CACHIFY_NEVER, &lease));
    assert_ok(agent_take(agent, "its", 60000).status);
    agent_stop(agent); /* stopped is alive */
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_uint_eq(cf_sweep(here.m), 0);
        ck_assert(is_locked("mine") && is_locked("its"));
    }
    agent_continue(agent);
    assert_ok(agent_release(agent).status);
    ck_assert_uint_eq(cf_sweep(here.m), 0);
    ck_assert_uint_eq(census(here.m).idle, 1);
}
END_TEST

START_TEST(a_sweep_ends_what_is_expired)
{
    cachify_lease_t leases[10];
    for (unsigned i = 0; i < 10; i++)
        assert_ok(take(numbered("job", i), 1, &leases[i]));
    EVENTUALLY(!is_locked("job-9"), LONG_MS);
    assert_ok(cachify_shm_sweep(here.cachify));
    assert_clean(0);
    for (unsigned i = 0; i < 10; i++) {
        ck_assert_uint_eq(query(numbered("job", i)).state, CACHIFY_STATE_FREE);
        assert_status(cachify_release(&leases[i]), CACHIFY_LOST);
    }
}
END_TEST

/* Leaves as many held locks as it is told, and dies. */
static void leave_held(unsigned n)
{
    struct agent *agent = agent_start();
    for (unsigned i = 0; i < n; i++) {
        struct agent_order order = {.act = act_take, .lease = i, .exp_ms = CACHIFY_NEVER};
        snprintf(order.key, sizeof order.key, "left-%u", i);
        ck_assert_int_eq(agent_do(agent, &order).status, CACHIFY_OK);
    }
    agent_kill(agent);
    agents_end();
}

static int64_t sweep_once(unsigned i, void *context)
{
    (void)i, (void)context;
    return cf_sweep(here.m);
}

static int64_t sweep_in_a_process(unsigned i, void *context)
{
    cachify_t *own;
    (void)i, (void)context;
    if (cachify_open(&here.config, &own) != CACHIFY_OK)
        return -1;
    return cf_sweep(mapping_of(own));
}

/* pitfall 39: each record comes free once, whoever frees it. */
/* A peer that scribbles may fill all places for the notes that a removal leaves.  They are waited for
 * once, not once for each lease. */
START_TEST(a_sweep_waits_once_for_room_to_note_removals)
{
    int64_t shortest = LONG_MS;
    cachify_config_t config = here.config;
    config.max_locks = 512;
    reopen_here(config);
    struct cf_process *self = &here.m->process_at[cf_owner_entry(cf_self(here.m))];
    for (unsigned i = 0; i < CF_INTENTS; i++)
        cf_store_relaxed(&self->intent[i], UINT64_MAX);
    for (unsigned tries = 0; tries < 3; tries++) {
        for (unsigned i = 0; i < 500; i++)
            assert_ok(take(numbered("job", i), 1, &lease));
        tick();
        tick();
        int64_t start = now_ms();
        ck_assert_uint_ge(cf_sweep(here.m), 400); /* a slow machine's acquires sweep, too */
        shortest = now_ms() - start < shortest ? now_ms() - start : shortest;
    }
    ck_assert_int_lt(shortest, SANITIZED || under_valgrind() ? 2000 : 100);
}
END_TEST

START_TEST(several_sweepers_at_once_free_each_record_once)
{
    for (unsigned round = 0; round < rounds(20); round++) {
        int64_t got[6], sum = 0;
        leave_held(60);
        if (round % 2 == 0)
            threads_together(6, sweep_once, NULL, got);
        else
            processes_together(6, sweep_in_a_process, NULL, got);
        for (unsigned i = 0; i < 6; i++) {
            ck_assert_int_ge(got[i], 0);
            sum += got[i];
        }
        ck_assert_int_eq(sum, 60);
        assert_clean(0);
    }
}
END_TEST

static int64_t take_one_of_the_left(unsigned i, void *context)
{
    cachify_lease_t mine;
    (void)context;
    if (i < 2)
        return cf_sweep(here.m), 0;
    for (unsigned k = 0; k < 60; k++) {
        cachify_status_t status = take(numbered("left", k), CACHIFY_NEVER, &mine);
        if (status == CACHIFY_OK)
            status = cachify_release(&mine);
        if (status != CACHIFY_OK && status != CACHIFY_LOCKED)
            return status;
    }
    return 0;
}

/* pitfall 71: the same keys are taken over while they are swept. */
START_TEST(sweepers_and_takers_at_once_lose_nothing)
{
    for (unsigned round = 0; round < rounds(20); round++) {
        int64_t got[4];
        leave_held(60);
        threads_together(4, take_one_of_the_left, NULL, got);
        for (unsigned i = 0; i < 4; i++)
            ck_assert_int_eq(got[i], 0);
        cf_sweep(here.m);
        assert_clean(0);
    }
}
END_TEST

static cachify_status_t act_sweep(struct agent_self *self, const struct agent_order *order,
                                  struct agent_answer *answer)
{
    (void)order;
    answer->number = cf_sweep(self->m);
    return CACHIFY_OK;
}

START_TEST(a_sweeper_killed_anywhere_leaves_what_the_next_mends)
{
    uint64_t state = seed();
    for (unsigned round = 0; round < rounds(60); round++) {
        leave_held(60);
        struct agent *agent = agent_start();
        agent_tell(agent, &(struct agent_order){.act = act_sweep});
        cf_nanosleep(chance(&state) % (CF_MS / 5));
        agent_kill(agent);
        agents_end();
        cf_sweep(here.m);
        assert_clean(0);
    }
}
END_TEST

/* ---- Many deaths ---- */

/* pitfall 39, pitfall 44 */
START_TEST(any_number_of_deaths_leaks_nothing)
{
    for (unsigned round = 0; round < rounds(300); round++) {
        pid_t pid = fork();
        if (pid == 0) {
            cachify_t *own;
            cachify_lease_t got[4];
            if (cachify_open(&here.config, &own) != CACHIFY_OK)
                _exit(1);
            for (unsigned i = 0; i < 4; i++)
                if (cachify_acquire(own, &(cachify_lock_t){.key = numbered("k", round % 7 + i)},
                                    &got[i]) != CACHIFY_OK)
                    _exit(2);
            cachify_release(&got[round % 4]);
            kill(getpid(), SIGKILL);
        }
        int status;
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_msg(WIFSIGNALED(status), "child ended with %d in round %u", WEXITSTATUS(status),
                      round);
    }
    tick();
    tick();
    cf_sweep(here.m);
    assert_clean(0);
}
END_TEST

START_TEST(many_dying_at_once_are_all_cleared)
{
    struct agent *agents[50];
    for (unsigned i = 0; i < 50; i++) {
        agents[i] = agent_start();
        assert_ok(agent_take(agents[i], numbered("job", i), CACHIFY_NEVER).status);
    }
    for (unsigned i = 0; i < 50; i++)
        send_signal(agents[i]->pid, SIGKILL);
    for (unsigned i = 0; i < 50; i++)
        agent_reap(agents[i]);
    ck_assert_uint_eq(cf_sweep(here.m), 50);
    assert_clean(0);
}
END_TEST

/* ---- Through the front door ---- */

START_TEST(sweep_says_what_it_cannot_do)
{
    assert_status(cachify_shm_sweep(NULL), CACHIFY_NOT_INITIALIZED);
    assert_ok(cachify_shm_sweep(here.cachify));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("sweep");
    TCase *t = group(s, "deaths at a step", setup_here, teardown_here);
    tcase_add_test(t, C1_a_record_in_hand_is_freed_by_a_sweep);
    tcase_add_loop_test(t, C2_a_dead_inserters_candidate_is_withdrawn_by_the_next_of_its_key, 0,
                        CF_SLOTS);
    tcase_add_test(t, C2_a_living_inserter_that_stands_still_is_no_obstacle_either);
    tcase_add_test(t, C2_candidates_of_the_dead_are_withdrawn_by_a_sweep);
    tcase_add_test(t, C3_a_dead_holders_lock_is_taken_over_and_its_record_freed);
    tcase_add_test(t, C4_a_remover_killed_before_its_CAS_changed_nothing);
    tcase_add_test(t, C5_a_remover_killed_after_its_CAS_leaks_no_record_of_the_living);
    tcase_add_test(t, C5_is_mended_too_when_the_removers_entry_is_used_again);
    tcase_add_loop_test(t, C6_a_holder_killed_in_its_release_is_taken_over, 0, 2);
    tcase_add_test(t, idle_locks_of_the_dead_are_evicted_and_their_tokens_kept);
    t = group(s, "sweepers", setup_here, teardown_here);
    tcase_add_test(t, a_sweep_leaves_the_living_alone);
    tcase_add_test(t, a_sweep_ends_what_is_expired);
    tcase_add_test(t, a_sweep_waits_once_for_room_to_note_removals);
    tcase_add_test(t, several_sweepers_at_once_free_each_record_once);
    tcase_add_test(t, sweepers_and_takers_at_once_lose_nothing);
    tcase_add_test(t, a_sweeper_killed_anywhere_leaves_what_the_next_mends);
    t = group(s, "many deaths", setup_here, teardown_here);
    tcase_add_test(t, any_number_of_deaths_leaks_nothing);
    tcase_add_test(t, many_dying_at_once_are_all_cleared);
    tcase_add_test(t, sweep_says_what_it_cannot_do);
    return run_suite(s);
}
