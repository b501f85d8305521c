/* Tokens: strictly increasing for a key over all its acquisitions, however its leases ended (I3); and the
 * generations of records that keep leases of one record apart. */
#include <unistd.h>

#include <cachify/shm.h>

#include "agent.h"

static cachify_lease_t lease;
static uint64_t last;

/* Taken, with a token beyond all before. */
#define assert_next(token)                                                                         \
    do {                                                                                           \
        uint64_t token_ = (token);                                                                 \
        ck_assert_uint_gt(token_, last);                                                           \
        last = token_;                                                                             \
    } while (0)

static uint64_t take_now(int64_t exp_ms)
{
    cachify_lease_t got;
    cachify_status_t status = CACHIFY_LOCKED;
    EVENTUALLY((status = take("job", exp_ms, &got)) != CACHIFY_LOCKED, LONG_MS);
    assert_ok(status);
    lease = got;
    return cachify_lease_token(&lease);
}

static void setup_tokens(void)
{
    setup_here();
    last = 0;
}

START_TEST(tokens_increase_when_the_lock_is_taken_again_in_place)
{
    for (unsigned i = 0; i < 100; i++)
        assert_next(pass("job"));
}
END_TEST

START_TEST(tokens_increase_when_others_had_it_in_between)
{
    struct agent *agents[3] = {agent_start(), agent_start(), agent_start()};
    for (unsigned i = 0; i < 30; i++) {
        struct agent *agent = agents[i % 3];
        assert_next(agent_take(agent, "job", 0).token);
        assert_ok(agent_release(agent).status);
        if (i % 4 == 0)
            assert_next(pass("job"));
    }
}
END_TEST

START_TEST(tokens_increase_when_the_key_left_the_table_in_between)
{
    for (unsigned i = 0; i < 50; i++) {
        assert_next(pass("job"));
        for (unsigned n = 0; n < i % 3; n++)
            ck_assert_uint_ne(pass(numbered("other", n)), 0); /* evicts the idle "job" */
    }
}
END_TEST

START_TEST(tokens_increase_over_release_by_force)
{
    for (unsigned i = 0; i < 20; i++) {
        for (unsigned n = 0; n < i % 4; n++)
            assert_next(pass("job")); /* in place: its token runs ahead of the group's */
        assert_next(take_now(0));
        assert_ok(cachify_release_key(here.cachify, "job"));
        ck_assert_uint_eq(word_of("job", NULL), 0);
    }
}
END_TEST

START_TEST(tokens_increase_over_expiry)
{
    for (unsigned i = 0; i < 20; i++) {
        assert_next(take_now(1));
        ck_assert_int_eq(cachify_lease_origin(&lease, NULL),
                         i > 0 ? CACHIFY_EXPIRED : CACHIFY_FRESH);
    }
}
END_TEST

START_TEST(tokens_increase_over_the_owners_death)
{
    for (unsigned i = 0; i < 10; i++) {
        struct agent *agent = agent_start();
        struct agent_answer answer;
        EVENTUALLY((answer = agent_take(agent, "job", CACHIFY_NEVER)).status == CACHIFY_OK,
                   LONG_MS);
        assert_next(answer.token);
        agent_kill(agent);
    }
    assert_next(take_now(0));
}
END_TEST

START_TEST(tokens_increase_over_a_sweep)
{
    for (unsigned i = 0; i < 10; i++) {
        struct agent *agent = agent_start();
        assert_next(agent_take(agent, "job", 0).token);
        assert_ok(agent_release(agent).status);
        assert_next(agent_take(agent, "job", CACHIFY_NEVER).token); /* in place */
        agent_kill(agent);
        assert_ok(cachify_shm_sweep(here.cachify));
        ck_assert_uint_eq(word_of("job", NULL), 0);
        assert_next(take_now(1));
        EVENTUALLY(!is_locked("job"), LONG_MS);
        assert_ok(cachify_shm_sweep(here.cachify));
        ck_assert_uint_eq(word_of("job", NULL), 0);
    }
}
END_TEST

START_TEST(tokens_increase_when_the_table_was_full_in_between)
{
    cachify_lease_t others[64];
    for (unsigned round = 0; round < 5; round++) {
        assert_next(take_now(1));
        EVENTUALLY(!is_locked("job"), LONG_MS);
        for (unsigned i = 0; i < 64; i++) /* the last of them takes its room */
            assert_ok(take(numbered("other", i), 0, &others[i]));
        ck_assert_uint_eq(word_of("job", NULL), 0);
        for (unsigned i = 0; i < 64; i++)
            assert_ok(cachify_release(&others[i]));
    }
}
END_TEST

START_TEST(tokens_increase_wherever_the_slot_lies)
{
    cachify_lease_t others[8];
    uint32_t home = cf_home(here.m, hash_of("job")), slot;
    assert_next(pass("job"));
    for (unsigned i = 0; i < 8; i++)
        assert_ok(take(key_at(home, -1, 100 + i), 0, &others[i]));
    assert_next(take_now(0));
    word_of("job", &slot);
    ck_assert_uint_ne(slot / 8, home); /* its home was full */
    assert_ok(cachify_release(&lease));
    for (unsigned i = 0; i < 8; i++)
        assert_ok(cachify_release(&others[i]));
    ck_assert_uint_ne(pass("another"), 0);
    assert_next(take_now(0));
    word_of("job", &slot);
    ck_assert_uint_eq(slot / 8, home);
}
END_TEST

START_TEST(tokens_stay_over_extends)
{
    assert_next(take_now(60000));
    for (unsigned i = 0; i < 10; i++) {
        assert_ok(cachify_extend(&lease, 60000));
        ck_assert_uint_eq(cachify_lease_token(&lease), last);
        ck_assert_uint_eq(query("job").token, last);
    }
    assert_ok(cachify_release(&lease));
    assert_next(pass("job"));
}
END_TEST

/* A walk through all of it by chance, over three keys of one home. */
static void step(struct agent *agent, const char *key, uint64_t what, uint64_t *token)
{
    struct agent_answer answer = agent_take(agent, key, what % 5 == 0 ? 1 : 60000);
    if (answer.status == CACHIFY_OK) {
        ck_assert_uint_gt(answer.token, *token);
        *token = answer.token;
    }
    switch (what / 8 % 6) {
    case 0:
    case 1:
        agent_release(agent);
        break;
    case 2:
        agent_force(agent, key);
        break;
    case 3:
        agent_extend(agent, 1);
        break;
    case 4:
        assert_ok(cachify_shm_sweep(here.cachify));
        break;
    default: /* left to expire, or to be lost */
        break;
    }
}

START_TEST(tokens_increase_whatever_happens)
{
    uint64_t state = seed(), tokens[3] = {0};
    struct agent *agents[3] = {agent_start(), agent_start(), agent_start()};
    for (unsigned i = 0; i < rounds(3000); i++) {
        uint64_t what = chance(&state);
        unsigned a = (unsigned)(what >> 32) % 3, k = (unsigned)(what >> 40) % 3;
        step(agents[a], key_at(5, -1, k), what, &tokens[k]);
        if ((what >> 48) % 64 == 0) {
            agent_kill(agents[a]);
            agents[a] = agent_start();
        }
        if ((what >> 54) % 16 == 0)
            for (unsigned n = 0; n < 3; n++)
                assert_ok(cachify_release_key(here.cachify, key_at(5, -1, n)));
    }
    assert_sound(here.m);
}
END_TEST

/* Threads at once: in the order of acquisition, which each of them notes while it holds. */
struct log {
    _Atomic unsigned n;
    uint64_t token[40000];
};

static int64_t note_tokens(unsigned i, void *context)
{
    struct log *log = context;
    cachify_lease_t mine;
    cachify_lock_t lock = {.key = "job", .wait = true, .exp_ms = CACHIFY_NEVER};
    (void)i;
    for (unsigned n = 0; n < rounds(5000); n++) {
        if (cachify_acquire(here.cachify, &lock, &mine) != CACHIFY_OK)
            return -1;
        log->token[atomic_fetch_add(&log->n, 1)] = cachify_lease_token(&mine);
        if (cachify_release(&mine) != CACHIFY_OK)
            return -2;
        if (n % 16 == 0 && pass(numbered(numbered("other", i), n)) == 0)
            return -3;
    }
    return 0;
}

START_TEST(tokens_increase_in_the_order_of_acquisition)
{
    int64_t got[4];
    struct log *log = shared(sizeof *log);
    threads_together(4, note_tokens, log, got);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_int_eq(got[i], 0);
    for (unsigned i = 1; i < log->n; i++)
        ck_assert_uint_gt(log->token[i], log->token[i - 1]);
}
END_TEST

/* ---- Generations (pitfall 6) ---- */

static void set_generations(uint64_t generation)
{
    for (uint32_t r = 0; r < here.m->records; r++)
        cf_store_relaxed(&cf_record_at(here.m, r)->state, cf_state_free(generation));
}

START_TEST(generations_run_round_without_harm)
{
    struct agent *agent = agent_start();
    set_generations(CF_GENERATION_MASK - 3);
    for (unsigned i = 0; i < 8; i++) {
        cachify_lease_t copy;
        assert_next(take_now(60000));
        copy = lease;
        assert_ok(cachify_extend(&lease, 60000));
        ck_assert_int_eq(agent_take(agent, "job", 0).status, CACHIFY_LOCKED);
        assert_ok(cachify_release(&lease));
        assert_next(take_now(60000));
        assert_status(cachify_release(&copy), CACHIFY_LOST);
        ck_assert(cachify_lease_held(&lease));
        assert_ok(cachify_release(&lease));
    }
    ck_assert_uint_le(census(here.m).taken, 2);
    assert_sound(here.m);
}
END_TEST

START_TEST(a_record_released_65536_times_is_exchanged_for_another)
{
    uint32_t first = 0;
    unsigned i = 0;
    do {
        ck_assert_uint_lt(i, 2 * 65536u + 2);
        assert_next(take_now(60000));
        uint32_t r = cf_word_record(word_of("job", NULL));
        assert_ok(cachify_release(&lease));
        if (i++ == 0)
            first = r;
        if (r != first)
            break;
    } while (true);
    ck_assert_uint_le(census(here.m).taken, 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("token");
    TCase *t = group(s, "strictly increasing", setup_tokens, teardown_here);
    tcase_add_test(t, tokens_increase_when_the_lock_is_taken_again_in_place);
    tcase_add_test(t, tokens_increase_when_others_had_it_in_between);
    tcase_add_test(t, tokens_increase_when_the_key_left_the_table_in_between);
    tcase_add_test(t, tokens_increase_over_release_by_force);
    tcase_add_test(t, tokens_increase_over_expiry);
    tcase_add_test(t, tokens_increase_over_the_owners_death);
    tcase_add_test(t, tokens_increase_over_a_sweep);
    tcase_add_test(t, tokens_increase_when_the_table_was_full_in_between);
    tcase_add_test(t, tokens_increase_wherever_the_slot_lies);
    tcase_add_test(t, tokens_stay_over_extends);
    tcase_add_test(t, tokens_increase_whatever_happens);
    tcase_add_test(t, tokens_increase_in_the_order_of_acquisition);
    t = group(s, "generations", setup_tokens, teardown_here);
    tcase_add_test(t, generations_run_round_without_harm);
    tcase_add_test(t, a_record_released_65536_times_is_exchanged_for_another);
    return run_suite(s);
}
