/* cachify_shm_check: names what is wrong in a segment, each thing once, and nothing that
 * processes do, have under way, or leave when they die. */
#include <signal.h>
#include <stdlib.h>

#include "agent.h"
#include "json.h"
#include "looking.h"
#include "shm/lease_pool.h"
#include "shm/path.h"
#include "tool.h"

static cachify_lease_t mine, other;
static const char *key; /* of mine */
static uint32_t slot;   /* its place, word and record */
static cf_word word;
static struct cf_record *record;
static uint8_t *whole; /* the segment before it was damaged */

static struct {
    unsigned count;
    char text[256]; /* the last */
} found;

static int note(void *context, const char *finding)
{
    ck_assert_ptr_eq(context, &found);
    found.count++;
    snprintf(found.text, sizeof found.text, "%s", finding);
    return 0;
}

static uint64_t check(void)
{
    uint64_t findings = 99;
    found.count = 0;
    found.text[0] = '\0';
    assert_ok(cachify_shm_check(view, note, &found, &findings));
    ck_assert_uint_eq(findings, found.count);
    return findings;
}

#define assert_sane()                                                                              \
    ck_assert_msg(check() == 0, "%u findings, the last: %s", found.count, found.text)

static void assert_finds(const char *text)
{
    ck_assert_msg(check() == 1, "%u findings, the last: %s; expected: %s", found.count, found.text,
                  text);
    ck_assert_msg(strstr(found.text, text) != NULL, "\"%s\" is not in \"%s\"", text, found.text);
}

/* A lease that is mine, one of an agent with the same home and tag, an idle lock, an expired
 * lease, one of a dead process, and a waiter. */
static void setup_check(void)
{
    setup_view();
    struct agent *agent = agent_start(), *dead = agent_start(), *waiter = agent_start();
    key = key_at(3, 7, 0);
    assert_ok(take(key, CACHIFY_NEVER, &mine));
    assert_ok(agent_take(agent, key_at(3, 7, 1), CACHIFY_NEVER).status);
    assert_ok(take("over", 1, &other));
    ck_assert_uint_ne(pass("idle"), 0);
    assert_ok(agent_take(dead, "dead", CACHIFY_NEVER).status);
    agent_kill(dead);
    ck_assert_int_eq(agent_wait(waiter, key, 0, 0).verdict, WOULD_BLOCK);
    agent_settle(waiter); /* else it looks, and takes what is made free */
    word = word_of(key, &slot);
    record = cf_record_at(here.m, cf_word_record(word));
    whole = malloc(here.m->size);
    ck_assert_ptr_nonnull(whole);
    assert_sane();
    memcpy(whole, here.m->base, here.m->size);
}

static void teardown_check(void)
{
    agents_end();
    free(whole);
    teardown_view();
}

/* ---- What is wrong ---- */

static uint32_t empty_slot(uint32_t group)
{
    for (uint32_t place = 0; place < CF_SLOTS; place++)
        if (cf_load_relaxed(cf_slot_at(here.m, cf_slot_number(group, place))) == 0)
            return cf_slot_number(group, place);
    ck_abort_msg("group %u is full", group);
}

static void set_word(cf_word w)
{
    cf_store_relaxed(cf_slot_at(here.m, slot), w);
}

static void empty_but_not_0(void)
{
    set_word(cf_word_with_state(word, CF_EMPTY));
}

static void names_no_record(void)
{
    set_word((word & ~(CF_RECORDS_LIMIT - 1)) | here.m->records);
}

static void idle_names_no_record(void)
{
    set_word(cf_word_with_state(word | (CF_RECORDS_LIMIT - 1), CF_IDLE));
}

static void record_free(void)
{
    cf_store_relaxed(&record->state, cf_state_free(cf_word_generation(word)));
}

static void record_two_ahead(void)
{
    cf_store_relaxed(&record->state, cf_state_taken(cf_word_generation(word) + 2, cf_self(here.m)));
}

static void record_behind(void)
{
    cf_store_relaxed(&record->state, cf_state_taken(cf_word_generation(word) - 1, cf_self(here.m)));
}

/* Only a held word's record may be claimed. */
static void idle_claimed(void)
{
    cf_word idle = word_of("idle", NULL);
    struct cf_record *r = cf_record_at(here.m, cf_word_record(idle));
    cf_store_relaxed(&r->state, cf_state_taken(cf_word_generation(idle) + 1, cf_self(here.m)));
}

static void wrong_slot(void)
{
    cf_store_relaxed(&record->slot, slot + 1);
}

static void no_key(void)
{
    cf_store_relaxed(&record->key_len, 0);
}

static void long_key(void)
{
    cf_store_relaxed(&record->key_len, (uint16_t)(here.m->key_max + 1));
}

static void long_note(void)
{
    cf_store_relaxed(&record->value_len, (uint16_t)(here.m->value_max + 1));
}

static void wrong_text(void)
{
    cf_store_relaxed(&record->text[0], cf_load_relaxed(&record->text[0]) ^ 1);
}

static void wrong_tag(void)
{
    set_word(word ^ UINT64_C(1) << CF_TAG_SHIFT);
}

static void move_to(uint32_t group)
{
    set_word(0);
    slot = empty_slot(group);
    set_word(word);
    cf_store_relaxed(&record->slot, slot);
}

static void off_path(void)
{
    move_to(5);
}

/* The gap in the middle, and around the end of the table. */
static void gap_in_path(void)
{
    for (uint32_t g = 0; g < here.m->groups; g++)
        if (g != here.m->groups - 1)
            cf_store_relaxed(&here.m->group_at[g].control, CF_OVERFLOW);
    move_to(1);
}

static void owner_beyond(void)
{
    cf_store_relaxed(&record->owner, cf_owner_make(here.m->processes, 1));
}

static void owner_to_come(void)
{
    cf_store_relaxed(&record->owner, cf_self(here.m) + 0x10000);
}

static void owner_another(void)
{
    cf_word its = word_of(key_at(3, 7, 1), NULL);
    struct cf_record *r = cf_record_at(here.m, cf_word_record(its));
    cf_store_relaxed(&record->owner, cf_load_relaxed(&r->owner));
}

static void two_keys(void)
{
    cf_word its = word_of(key_at(3, 7, 1), NULL);
    struct cf_record *r = cf_record_at(here.m, cf_word_record(its));
    cf_store_relaxed(&r->hash, cf_load_relaxed(&record->hash));
    cf_store_relaxed(&r->key_len, cf_load_relaxed(&record->key_len));
    for (unsigned i = 0; i < 8; i++)
        cf_store_relaxed(&r->text[i], cf_load_relaxed(&record->text[i]));
}

static void taken_by_nobody(void)
{
    cf_store_relaxed(&cf_record_at(here.m, 60)->state,
                     cf_state_taken(5, cf_owner_make(here.m->processes, 1)));
}

static void odd_note_of_removal(void)
{
    cf_store_relaxed(&here.m->process_at[9].intent[2], cf_word_with_state(word, CF_IDLE));
}

static void far_note_of_removal(void)
{
    cf_store_relaxed(&here.m->process_at[9].intent[3], word | (CF_RECORDS_LIMIT - 1));
}

static void odd_waiter(void)
{
    cf_store_relaxed(&here.m->waiter_at[5].owner, cf_owner_make(here.m->processes, 1));
}

static void damaged_header(void)
{
    here.m->base[offsetof(struct cf_header, hash_seed)] ^= 1;
}

static const struct {
    void (*damage)(void);
    const char *says;
} wrong[] = {
    {empty_but_not_0, "says empty and is not 0"},
    {names_no_record, "the held word names record 320, of 320"},
    {idle_names_no_record, "the idle word names record 8388607, of 320"},
    {record_free, "is not taken in the word's generation"},
    {record_two_ahead, "is not taken in the word's generation"},
    {record_behind, "is not taken in the word's generation"},
    {idle_claimed, "of the idle word is not taken in the word's generation"},
    {wrong_slot, "says that it lies in another slot"},
    {no_key, "has a key whose length is out of range"},
    {long_key, "has a key whose length is out of range"},
    {long_note, "has a note whose length is out of range"},
    {wrong_text, "has a hash that is not its key's"},
    {wrong_tag, "has a hash that does not fit the word's tag"},
    {off_path, "has a key whose path does not lead here"},
    {gap_in_path, "has a key whose path does not lead here"},
    {owner_beyond, "has an owner beyond the table of processes"},
    {owner_to_come, "has an owner that never registered"},
    {owner_another, "is held by one process and taken by another"},
    {two_keys, "of group 3 have one key"},
    {taken_by_nobody, "record 60 is taken by an entry beyond the table of processes"},
    {odd_note_of_removal, "process entry 9: its note 2 of a removal names no lease"},
    {far_note_of_removal, "process entry 9: its note 3 of a removal names no lease"},
    {odd_waiter, "waiter 5 has an owner beyond the table of processes"},
    {damaged_header, "the header is damaged"},
};
#define WRONG (sizeof wrong / sizeof wrong[0])

START_TEST(what_is_wrong_is_named_once)
{
    wrong[_i].damage();
    assert_finds(wrong[_i].says);
    memcpy(here.m->base, whole, here.m->size);
    assert_sane();
}
END_TEST

/* And the record says that it lies in the other slot. */
START_TEST(two_words_of_one_record_are_named)
{
    cf_store_relaxed(cf_slot_at(here.m, empty_slot(9)), word_of("idle", NULL));
    ck_assert_uint_eq(check(), 2);
    ck_assert_msg(strstr(found.text, "have one record") != NULL, "%s", found.text);
    memcpy(here.m->base, whole, here.m->size);
    assert_sane();
}
END_TEST

static int stop(void *context, const char *finding)
{
    (void)finding;
    return ++*(unsigned *)context == 2;
}

START_TEST(all_faults_are_counted_until_it_is_told_to_stop)
{
    unsigned told = 0;
    uint64_t findings = 0;
    odd_waiter();
    wrong_tag();
    taken_by_nobody();
    ck_assert_uint_eq(check(), 3);
    assert_ok(cachify_shm_check(view, stop, &told, &findings));
    ck_assert_uint_eq(told, 2);
    ck_assert_uint_eq(findings, 2);
    assert_ok(cachify_shm_check(view, NULL, NULL, &findings));
    ck_assert_uint_eq(findings, 3);
    assert_status(cachify_shm_check(NULL, note, &found, &findings), CACHIFY_INVALID);
    memcpy(here.m->base, whole, here.m->size);
}
END_TEST

/* ---- What is not ---- */

static void far_deadline(void)
{
    cf_store_relaxed(&record->deadline, UINT64_MAX - 1);
}

static void in_hand(void)
{
    cf_store_relaxed(&cf_record_at(here.m, 60)->state, cf_state_taken(5, cf_self(here.m)));
}

static void claimed(void)
{
    cf_store_relaxed(&record->state, cf_state_taken(cf_word_generation(word) + 1, cf_self(here.m)));
}

static void all_overflow(void)
{
    for (uint32_t g = 0; g < here.m->groups; g++)
        cf_store_relaxed(&here.m->group_at[g].control, CF_OVERFLOW);
    move_to(1);
}

/* Placed, and not yet said so along its path. */
static void candidate(void)
{
    move_to(5);
    set_word(cf_word_with_state(word, CF_INSERTING));
}

static void removal_under_way(void)
{
    cf_store_relaxed(&here.m->process_at[9].intent[0], word);
}

static void seen_in_the_future(void)
{
    cf_store_relaxed(&here.m->process_at[cf_owner_entry(cf_self(here.m))].seen_alive, UINT64_MAX);
}

static void (*const right[])(void) = {
    far_deadline, in_hand, claimed, all_overflow, candidate, removal_under_way, seen_in_the_future};
#define RIGHT (sizeof right / sizeof right[0])

START_TEST(what_may_be_is_no_finding)
{
    right[_i]();
    assert_sane();
    memcpy(here.m->base, whole, here.m->size);
}
END_TEST

/* Fewer slots than keys: paths overflow, and words move all the time.  number: ms. */
static cachify_status_t act_churn(struct agent_self *self, const struct agent_order *order,
                                  struct agent_answer *answer)
{
    int64_t until = now_ms() + order->number;
    (void)answer;
    for (unsigned i = 0; now_ms() < until; i++) {
        char name[16];
        snprintf(name, sizeof name, "k%u", (i * 7 + order->lease) % 48);
        cachify_lock_t lock = {.key = name, .exp_ms = i % 5 == 0 ? 1 : 60000};
        if (cachify_acquire(self->cachify, &lock, &self->lease[0]) != CACHIFY_OK)
            continue;
        if (i % 3 == 0)
            cachify_extend(&self->lease[0], 60000);
        if (i % 16 == 0)
            cachify_release_key(self->cachify, name);
        if (i % 7 != 0)
            cachify_release(&self->lease[0]);
    }
    return CACHIFY_OK;
}

#define CHURNERS 3

static void churn(bool kill_them)
{
    struct agent *agents[CHURNERS];
    for (unsigned i = 0; i < CHURNERS; i++) {
        agents[i] = agent_start();
        agent_tell(agents[i],
                   &(struct agent_order){.act = act_churn, .number = rounds(600), .lease = i});
    }
    int64_t until = now_ms() + (kill_them ? 30 : rounds(500));
    do {
        for (unsigned i = 0; i < 20; i++)
            assert_sane();
    } while (now_ms() < until);
    for (unsigned i = 0; i < CHURNERS; i++)
        if (kill_them)
            agent_kill(agents[i]);
        else
            ck_assert_int_eq(agent_finish(agents[i]).verdict, ANSWERED);
}

static void setup_small(void)
{
    setup_view();
    cachify_config_t config = here.config;
    config.max_locks = 16;
    reopen_here(config);
    view_instead(here.path);
}

START_TEST(under_churn_there_is_no_finding)
{
    churn(false);
    assert_sane();
}
END_TEST

/* Killed at any instruction, again and again, without anybody who clears up. */
START_TEST(what_the_killed_leave_is_no_finding)
{
    for (unsigned i = rounds(30); i > 0; i--) {
        churn(true);
        assert_sane();
    }
    assert_ok(cachify_shm_sweep(here.cachify));
    assert_sane();
}
END_TEST

/* ---- The tool ---- */

START_TEST(the_tool_says_nothing_of_what_is_whole)
{
    RUN_HERE("--check");
    ck_assert_str_eq(ran.out, "");
    RUN_HERE("--check", "-J");
    ck_assert_msg(strstr(ran.out, "\"findings\": []\n") != NULL, "%s", ran.out);
    ck_assert(json_valid(ran.out, strlen(ran.out), &(size_t){0}));
}
END_TEST

START_TEST(the_tool_prints_a_line_for_each_finding)
{
    odd_waiter();
    wrong_tag();
    RUN("--check", "--path", here.path);
    ck_assert_int_eq(ran.status, 1);
    ck_assert_str_eq(ran.error, "");
    ck_assert_msg(strstr(ran.out, "waiter 5 has an owner beyond the table of processes\n") != NULL,
                  "%s", ran.out);
    ck_assert_msg(strstr(ran.out, "does not fit the word's tag\n") != NULL, "%s", ran.out);
    ck_assert_uint_eq(ran.lines, 2);
    RUN("--check", "--path", here.path, "--json");
    ck_assert_int_eq(ran.status, 1);
    ck_assert(json_valid(ran.out, strlen(ran.out), &(size_t){0}));
    ck_assert_msg(strstr(ran.out, "\"waiter 5 has") != NULL, "%s", ran.out);
    memcpy(here.m->base, whole, here.m->size);
}
END_TEST

START_TEST(the_tool_refuses_what_nobody_can_open)
{
    damaged_header();
    RUN("--check", "--path", here.path);
    assert_fails(1, "damaged header");
    memcpy(here.m->base, whole, here.m->size);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("check");
    TCase *t = group(s, "wrong", setup_check, teardown_check);
    tcase_add_loop_test(t, what_is_wrong_is_named_once, 0, (int)WRONG);
    tcase_add_test(t, two_words_of_one_record_are_named);
    tcase_add_test(t, all_faults_are_counted_until_it_is_told_to_stop);
    t = group(s, "right", setup_check, teardown_check);
    tcase_add_loop_test(t, what_may_be_is_no_finding, 0, (int)RIGHT);
    t = group(s, "live", setup_small, teardown_view);
    tcase_add_test(t, under_churn_there_is_no_finding);
    tcase_add_test(t, what_the_killed_leave_is_no_finding);
    t = group(s, "tool", setup_check, teardown_check);
    tcase_add_test(t, the_tool_says_nothing_of_what_is_whole);
    tcase_add_test(t, the_tool_prints_a_line_for_each_finding);
    tcase_add_test(t, the_tool_refuses_what_nobody_can_open);
    return run_suite(s);
}
