/* The pool of records: taking, giving back, claiming; spares; intents.  Rules R1 to R5 and R7 of
 * lib/shm/README.md, each record freed exactly once. */
#include <unistd.h>

#include <cachify/shm.h>

#include "agent.h"
#include "shm/lease_pool.h"
#include "shm/sweep.h"

static struct cf_spare spare;
static cachify_lease_t lease, second;

static void setup_pool(void)
{
    setup_here();
    spare = (struct cf_spare){0};
}

static cf_state state_of(uint64_t record)
{
    return cf_load_acquire(&cf_record_at(here.m, (uint32_t)record)->state);
}

/* ---- Records ---- */

START_TEST(a_record_is_taken_in_its_next_generation_and_given_back)
{
    ck_assert(cf_spare_in_hand(here.m, &spare, CF_FOR_LOCK));
    uint64_t r = spare.record - 1;
    cf_state s = state_of(r);
    ck_assert(cf_state_is_taken(s));
    ck_assert_uint_eq(cf_state_generation(s), spare.generation);
    ck_assert_uint_eq(cf_state_entry(s), cf_owner_entry(cf_self(here.m)));
    ck_assert_uint_eq(census(here.m).taken, 1);
    cf_spare_drop(here.m, &spare);
    ck_assert_uint_eq(state_of(r), cf_state_free(cf_state_generation(s)));
    cf_spare_drop(here.m, &spare); /* there is none: nothing happens */
    ck_assert_uint_eq(census(here.m).taken, 0);
}
END_TEST

START_TEST(every_attempt_uses_a_generation_never_used)
{
    ck_assert(cf_spare_in_hand(here.m, &spare, CF_FOR_LOCK));
    for (unsigned i = 0; i < 10; i++) {
        uint64_t before = spare.generation, r = spare.record;
        ck_assert(cf_spare_in_hand(here.m, &spare, CF_FOR_LOCK));
        ck_assert_uint_eq(spare.record, r);
        ck_assert_uint_eq(spare.generation, before + 1);
        ck_assert_uint_eq(cf_state_generation(state_of(r - 1)), spare.generation);
    }
    cf_spare_drop(here.m, &spare);
}
END_TEST

START_TEST(a_held_record_is_freed_exactly_once)
{
    assert_ok(take("job", 0, &lease));
    cf_word w = word_of("job", NULL);
    uint32_t r = cf_word_record(w);
    cf_record_free(here.m, w); /* R3: whoever took it out */
    ck_assert(!cf_state_is_taken(state_of(r)));
    /* The next user's is not freed by the first one's late free, nor claimed by its release. */
    spare.cursor = r;
    ck_assert(cf_spare_in_hand(here.m, &spare, CF_FOR_LOCK));
    ck_assert_uint_eq(spare.record, r + 1);
    cf_record_free(here.m, w);
    ck_assert(cf_state_is_taken(state_of(r)));
    ck_assert(!cf_record_claim(here.m, w));
    ck_assert_uint_eq(cf_state_generation(state_of(r)), spare.generation);
}
END_TEST

START_TEST(a_record_is_claimed_once_and_then_not_freed_by_others)
{
    assert_ok(take("job", 0, &lease));
    cf_word w = word_of("job", NULL);
    ck_assert(cf_record_claim(here.m, w)); /* R4 */
    ck_assert(!cf_record_claim(here.m, w));
    cf_record_free(here.m, w);
    ck_assert(cf_state_is_taken(state_of(cf_word_record(w))));
}
END_TEST

static cachify_status_t act_claim_anothers(struct agent_self *self, const struct agent_order *order,
                                           struct agent_answer *answer)
{
    answer->number = cf_record_claim(self->m, word_of(order->key, NULL));
    return CACHIFY_OK;
}

START_TEST(only_its_owner_claims_a_record)
{
    struct agent *agent = agent_start();
    assert_ok(take("job", 0, &lease));
    struct agent_answer answer =
        agent_do(agent, &(struct agent_order){.act = act_claim_anothers, .key = "job"});
    ck_assert_int_eq(answer.number, 0);
    assert_ok(cachify_release(&lease));
}
END_TEST

/* ---- Spares (R7) ---- */

START_TEST(a_thread_keeps_one_spare_at_most)
{
    cachify_lease_t leases[20];
    for (unsigned i = 0; i < 20; i++)
        assert_ok(take(numbered("job", i), 0, &leases[i]));
    ck_assert_uint_eq(census(here.m).taken, 20);
    for (unsigned i = 0; i < 20; i++)
        assert_ok(cachify_release(&leases[i]));
    ck_assert_uint_eq(census(here.m).taken, 1);
    assert_ok(cachify_extend(take("a", 0, &lease) == CACHIFY_OK ? &lease : NULL, 1000));
    assert_ok(cachify_extend(&lease, 1000));
    ck_assert_uint_le(census(here.m).taken, 2);
    assert_ok(cachify_release(&lease));
    ck_assert_uint_le(census(here.m).taken, 1);
}
END_TEST

static int64_t pass_some(unsigned i, void *context)
{
    (void)context;
    for (unsigned k = 0; k < 5; k++)
        if (pass(numbered(numbered("t", i), k)) == 0)
            return 1;
    return 0;
}

START_TEST(a_thread_that_ends_gives_its_spare_back)
{
    int64_t got[30];
    for (unsigned round = 0; round < 3; round++) {
        threads_together(30, pass_some, NULL, got);
        for (unsigned i = 0; i < 30; i++)
            ck_assert_int_eq(got[i], 0);
        struct census c = census(here.m);
        ck_assert_uint_eq(c.taken, 0);
        ck_assert_uint_eq(c.held + c.idle + c.inserting, 0);
    }
}
END_TEST

START_TEST(an_instance_that_is_closed_gives_all_back)
{
    cachify_t *instance;
    assert_ok(cachify_open(&here.config, &instance));
    assert_ok(cachify_acquire(instance, &(cachify_lock_t){.key = "a"}, &lease));
    assert_ok(cachify_acquire(instance, &(cachify_lock_t){.key = "b"}, &second));
    assert_ok(cachify_release(&lease));
    assert_ok(cachify_release(&second));
    assert_ok(cachify_close(instance));
    struct census c = census(here.m);
    ck_assert_uint_eq(c.taken, 0);
    ck_assert_uint_eq(c.entries, 1);
}
END_TEST

START_TEST(a_failed_acquire_keeps_no_record_but_the_spare)
{
    struct agent *agent = agent_start();
    assert_ok(agent_take(agent, "job", 0).status);
    for (unsigned i = 0; i < 100; i++)
        assert_status(take("job", 0, &lease), CACHIFY_LOCKED);
    ck_assert_uint_le(census(here.m).taken, 2);
}
END_TEST

/* ---- Intents (R5) ---- */

START_TEST(an_intent_is_noted_and_struck_out)
{
    const struct cf_process *p = &here.m->process_at[cf_owner_entry(cf_self(here.m))];
    cf_word w = cf_word_make(CF_HELD, 1, 2, 3);
    unsigned place = cf_intent_begin(here.m, w);
    ck_assert_uint_lt(place, CF_INTENTS);
    ck_assert_uint_eq(cf_load_relaxed(&p->intent[place]), w);
    cf_intent_end(here.m, place);
    ck_assert_uint_eq(cf_load_relaxed(&p->intent[place]), 0);
}
END_TEST

START_TEST(an_intent_whose_word_still_stands_changes_nothing)
{
    struct agent *agent = agent_start();
    assert_ok(agent_take(agent, "job", 0).status);
    cf_word w = word_of("job", NULL);
    unsigned place = cf_intent_begin(here.m, w); /* crash C4 */
    ck_assert(!cf_intent_follow(here.m, w));
    assert_ok(cachify_shm_sweep(here.cachify));
    ck_assert(agent_look(agent).held);
    cf_intent_end(here.m, place);
}
END_TEST

START_TEST(an_intent_whose_word_is_gone_frees_the_record_once)
{
    struct agent *agent = agent_start();
    uint32_t slot;
    assert_ok(agent_take(agent, "job", 0).status);
    cf_word w = word_of("job", &slot);
    ck_assert(cf_cas64(cf_slot_at(here.m, slot), w, 0)); /* crash C5: taken out, not freed */
    ck_assert(cf_intent_follow(here.m, w));
    ck_assert(!cf_intent_follow(here.m, w));
    ck_assert(!cf_state_is_taken(state_of(cf_word_record(w))));
    ck_assert_int_eq(agent_release(agent).status, CACHIFY_LOST);
    ck_assert_uint_eq(census(here.m).taken, 0);
}
END_TEST

START_TEST(an_intent_that_is_nonsense_is_ignored)
{
    const cf_word nonsense[] = {cf_word_make(CF_HELD, 0, 0, (1u << CF_RECORD_BITS) - 1),
                                cf_word_make(CF_HELD, 5, CF_GENERATION_MASK, 2),
                                cf_word_make(CF_INSERTING, 5, 0, 2),
                                cf_word_make(CF_IDLE, 5, 0, 2),
                                UINT64_MAX,
                                1};
    assert_ok(take("job", 0, &lease));
    struct census before = census(here.m);
    for (unsigned i = 0; i < sizeof nonsense / sizeof nonsense[0]; i++)
        ck_assert(!cf_intent_follow(here.m, nonsense[i]));
    struct census after = census(here.m);
    ck_assert_mem_eq(&after, &before, sizeof after);
}
END_TEST

/* Who goes without a place has waited for one: those that had them all did not run, as happens
 * where threads are many and slow. */
static int64_t begin_and_end(unsigned i, void *context)
{
    unsigned n = *(unsigned *)context;
    unsigned had = 0;
    for (unsigned k = 0; k < n; k++) {
        uint64_t before = cf_monotonic_ns();
        unsigned place = cf_intent_begin(here.m, cf_word_make(CF_HELD, 0, k, 100 + i));
        if (place >= CF_INTENTS && cf_monotonic_ns() - before < CF_INTENT_WAIT_NS)
            return 1;
        had += place < CF_INTENTS;
        cf_intent_end(here.m, place);
    }
    return had == 0;
}

START_TEST(more_threads_than_places_share_them)
{
    int64_t got[12];
    unsigned n = rounds(20000);
    threads_together(12, begin_and_end, &n, got);
    for (unsigned i = 0; i < 12; i++)
        ck_assert_int_eq(got[i], 0);
    const struct cf_process *p = &here.m->process_at[cf_owner_entry(cf_self(here.m))];
    for (unsigned i = 0; i < CF_INTENTS; i++)
        ck_assert_uint_eq(cf_load_relaxed(&p->intent[i]), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pool");
    TCase *t = group(s, "records", setup_pool, teardown_here);
    tcase_add_test(t, a_record_is_taken_in_its_next_generation_and_given_back);
    tcase_add_test(t, every_attempt_uses_a_generation_never_used);
    tcase_add_test(t, a_held_record_is_freed_exactly_once);
    tcase_add_test(t, a_record_is_claimed_once_and_then_not_freed_by_others);
    tcase_add_test(t, only_its_owner_claims_a_record);
    t = group(s, "spares", setup_pool, teardown_here);
    tcase_add_test(t, a_thread_keeps_one_spare_at_most);
    tcase_add_test(t, a_thread_that_ends_gives_its_spare_back);
    tcase_add_test(t, an_instance_that_is_closed_gives_all_back);
    tcase_add_test(t, a_failed_acquire_keeps_no_record_but_the_spare);
    t = group(s, "intents", setup_pool, teardown_here);
    tcase_add_test(t, an_intent_is_noted_and_struck_out);
    tcase_add_test(t, an_intent_whose_word_still_stands_changes_nothing);
    tcase_add_test(t, an_intent_whose_word_is_gone_frees_the_record_once);
    tcase_add_test(t, an_intent_that_is_nonsense_is_ignored);
    tcase_add_test(t, more_threads_than_places_share_them);
    return run_suite(s);
}
