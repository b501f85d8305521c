/* Looking at a segment through a view (cachify/shm.h): what it lists and counts, and that it
 * changes nothing. */
#include <grp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"
#include "looking.h"

#define SOMEBODY 12345

static cachify_lease_t lease, second;

/* ---- What is listed ---- */

START_TEST(listed_is_every_held_lock_with_its_holder)
{
    struct agent *agents[3];
    uint64_t tokens[3];
    for (unsigned i = 0; i < 3; i++) {
        agents[i] = agent_start();
        tokens[i] = agent_take(agents[i], numbered("job", i), 60000).token;
    }
    assert_ok(take("mine", CACHIFY_NEVER, &lease));
    ck_assert_uint_eq(list(), 4);
    for (unsigned i = 0; i < 3; i++) {
        const cachify_info_t *info = listed(numbered("job", i));
        ck_assert_int_eq(info->state, CACHIFY_STATE_HELD);
        ck_assert_int_eq(info->pid, agents[i]->pid);
        ck_assert_int_eq(info->thread, agents[i]->pid);
        ck_assert_uint_eq(info->token, tokens[i]);
        ck_assert_int_gt(info->remaining_ms, 60000 - LONG_MS);
        ck_assert_int_le(info->remaining_ms, 60000);
        ck_assert_int_lt(info->held_ms, LONG_MS);
        ck_assert_uint_eq(info->waiters, 0);
    }
    ck_assert_int_eq(listed("mine")->pid, getpid());
    ck_assert_int_eq(listed("mine")->remaining_ms, CACHIFY_NEVER);
    char command[16];
    cf_command(command);
    ck_assert_str_eq(listed("mine")->command, command);
}
END_TEST

START_TEST(listed_is_what_query_says)
{
    struct agent *agent = agent_start();
    assert_ok(agent_take(agent, "job", 60000).status);
    list();
    const cachify_info_t asked = query("job"), *info = &seen_at(0)->info;
    ck_assert_uint_eq(info->state, asked.state);
    ck_assert_int_eq(info->pid, asked.pid);
    ck_assert_int_eq(info->thread, asked.thread);
    ck_assert_uint_eq(info->token, asked.token);
    ck_assert_str_eq(info->command, asked.command);
    ck_assert_int_le(info->held_ms, asked.held_ms);
    ck_assert_int_ge(info->remaining_ms, asked.remaining_ms);
}
END_TEST

START_TEST(listed_is_nothing_that_was_released)
{
    ck_assert_uint_eq(list(), 0);
    ck_assert_uint_ne(pass("job"), 0);
    ck_assert_uint_eq(count().idle, 1);
    ck_assert_uint_eq(list(), 0);
}
END_TEST

START_TEST(listed_are_expired_and_dead_ones_as_such)
{
    struct agent *dies = agent_start();
    assert_ok(agent_take(dies, "dead", 60000).status);
    pid_t pid = dies->pid;
    assert_ok(take("over", 1, &lease));
    assert_ok(take("mine", 0, &second));
    EVENTUALLY(!is_locked("over"), LONG_MS);
    agent_kill(dies);
    ck_assert_uint_eq(list(), 3);
    ck_assert_int_eq(listed("over")->state, CACHIFY_STATE_EXPIRED);
    ck_assert_int_eq(listed("over")->remaining_ms, 0);
    ck_assert_int_eq(listed("dead")->state, CACHIFY_STATE_OWNER_DEAD);
    ck_assert_int_eq(listed("dead")->pid, pid);
    ck_assert_int_eq(listed("mine")->state, CACHIFY_STATE_HELD);
}
END_TEST

START_TEST(listed_is_no_successor_for_a_dead_holder)
{
    struct agent *agent = agent_start();
    assert_ok(agent_take(agent, "dead", 60000).status);
    uint32_t entry = cf_owner_entry(agent->owner);
    pid_t pid = agent->pid;
    agent_kill(agent);
    do
        agent = agent_start();
    while (cf_owner_entry(agent->owner) != entry);
    assert_ok(agent_take(agent, "job", 0).status);
    list();
    ck_assert_int_eq(listed("dead")->state, CACHIFY_STATE_OWNER_DEAD);
    ck_assert_int_eq(listed("dead")->pid, pid);
    ck_assert_str_eq(listed("dead")->command, "");
    ck_assert_int_eq(listed("job")->pid, agent->pid);
    ck_assert_str_ne(listed("job")->command, "");
}
END_TEST

START_TEST(listed_are_waiters_by_key_and_not_the_dead_ones)
{
    struct agent *waits[3];
    assert_ok(take("job", 0, &lease));
    assert_ok(take("lonely", 0, &second));
    for (unsigned i = 0; i < 3; i++) {
        waits[i] = agent_start();
        ck_assert_int_eq(agent_wait(waits[i], "job", 0, 0).verdict, WOULD_BLOCK);
    }
    list();
    ck_assert_uint_eq(listed("job")->waiters, 3);
    ck_assert_uint_eq(listed("lonely")->waiters, 0);
    ck_assert_uint_eq(count().waiters, 3);
    agent_kill(waits[1]);
    list();
    ck_assert_uint_eq(listed("job")->waiters, 2);
    ck_assert_uint_eq(count().waiters, 2);
}
END_TEST

START_TEST(listed_are_key_and_note_byte_by_byte)
{
    const char *key = "\x01\x1b[2J\n\xff\xc3\xa9 \"\\x\x7f";
    const char note[] = {0, 1, '\n', (char)0xff, 'x', 0, 0, 'y', 'z'};
    cachify_lock_t lock = {.key = key, .value = note, .value_len = sizeof note};
    assert_ok(cachify_acquire(here.cachify, &lock, &lease));
    ck_assert_uint_eq(list(), 1);
    ck_assert_str_eq(seen_at(0)->key, key);
    ck_assert_uint_eq(seen_at(0)->key_len, strlen(key));
    ck_assert_uint_eq(seen_at(0)->info.value_len, sizeof note);
    ck_assert_mem_eq(seen_at(0)->info.value, note, sizeof note);
}
END_TEST

/* As if its lock had come free and another had been taken with it while the walk looked. */
START_TEST(no_slot_is_left_out_because_another_has_named_its_record)
{
    uint32_t slot;
    assert_ok(take("job", 0, &lease));
    assert_ok(take("other", 0, &second));
    cf_word other = word_of("other", &slot);
    cf_store_release(cf_slot_at(here.m, slot), word_of("job", NULL));
    ck_assert_uint_eq(list(), 2);
    ck_assert_str_eq(seen_at(0)->key, "job");
    ck_assert_str_eq(seen_at(1)->key, "job");
    cf_store_release(cf_slot_at(here.m, slot), other);
    ck_assert_uint_eq(list(), 2);
    ck_assert_uint_eq(listed("other")->token, cachify_lease_token(&second));
}
END_TEST

static int third_ends(void *context, const cachify_shm_lease_t *listed)
{
    (void)listed;
    return ++*(int *)context == 3 ? 17 : 0;
}

START_TEST(a_listing_ends_when_the_callback_says_so)
{
    cachify_lease_t leases[10];
    int calls = 0, ended = -1;
    for (unsigned i = 0; i < 10; i++)
        assert_ok(take(numbered("job", i), 0, &leases[i]));
    assert_ok(cachify_shm_leases(view, third_ends, &calls, &ended));
    ck_assert_int_eq(calls, 3);
    ck_assert_int_eq(ended, 17);
    assert_ok(cachify_shm_leases(view, keep, NULL, &ended));
    ck_assert_int_eq(ended, 0);
}
END_TEST

/* ---- Counts ---- */

START_TEST(counts_are_those_of_a_census)
{
    cachify_lease_t leases[40];
    struct agent *agent = agent_start();
    for (unsigned i = 0; i < 40; i++)
        assert_ok(take(numbered("job", i), 0, &leases[i]));
    ck_assert_uint_eq(agent_take(agent, "idle", 0).status, CACHIFY_OK);
    assert_ok(agent_release(agent).status);
    struct census c = census(here.m);
    cachify_shm_counts_t counts = count();
    ck_assert_uint_eq(counts.held, 40);
    ck_assert_uint_eq(counts.held, c.held);
    ck_assert_uint_eq(counts.idle, c.idle);
    ck_assert_uint_eq(counts.inserting, c.inserting);
    ck_assert_uint_eq(counts.taken, c.taken);
    ck_assert_uint_eq(counts.overflowing, c.overflowing);
    ck_assert_uint_eq(counts.processes, 2);
    agent_kill(agent);
    ck_assert_uint_eq(count().processes, 1);
}
END_TEST

START_TEST(counts_the_longest_path_around_the_end)
{
    ck_assert_uint_eq(count().longest_path, 1);
    cf_store_relaxed(&here.m->group_at[7].control, 1);
    cf_store_relaxed(&here.m->group_at[here.m->groups - 1].control, 3);
    cf_store_relaxed(&here.m->group_at[0].control, 1);
    ck_assert_uint_eq(count().longest_path, 3);
    ck_assert_uint_eq(count().overflowing, 3);
    for (uint32_t g = 0; g < here.m->groups; g++)
        cf_store_relaxed(&here.m->group_at[g].control, 1);
    ck_assert_uint_eq(count().longest_path, here.m->groups);
}
END_TEST

START_TEST(the_header_has_the_segments_numbers)
{
    cachify_shm_header_t header = {.size = sizeof header};
    assert_ok(cachify_shm_header(view, &header));
    ck_assert_uint_eq(header.version, CF_LAYOUT_VERSION);
    ck_assert_uint_eq(header.bytes, here.m->size);
    ck_assert_uint_eq(header.max_locks, 64);
    ck_assert_uint_eq(header.key_max, 64);
    ck_assert_uint_eq(header.max_processes, here.m->processes);
    ck_assert_uint_eq(header.records, here.m->records);
    ck_assert_uint_eq(header.groups, here.m->groups);
    ck_assert_int_lt(header.age_ms, LONG_MS);
    ck_assert_uint_eq(header.other_boot, 0);
    ck_assert_str_eq(cachify_shm_path(view), here.path);
}
END_TEST

/* ---- Looking only ---- */

START_TEST(a_view_changes_nothing_not_even_for_the_dead)
{
    struct agent *dies = agent_start(), *waits = agent_start();
    assert_ok(agent_take(dies, "dead", 0).status);
    assert_ok(take("mine", 0, &lease));
    ck_assert_int_eq(agent_wait(waits, "mine", 0, 0).verdict, WOULD_BLOCK);
    agent_kill(waits);
    agent_kill(dies);
    uint8_t *before = malloc(here.m->size);
    ck_assert_ptr_nonnull(before);
    memcpy(before, here.m->base, here.m->size);
    list();
    count();
    ck_assert_mem_eq(here.m->base, before, here.m->size);
    free(before);
    ck_assert_int_eq(listed("dead")->state, CACHIFY_STATE_OWNER_DEAD);
}
END_TEST

/* How this process maps the file at path: "r--s" and the like, the last mapping of it. */
static void mapped_how(const char *path, char how[5])
{
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "re");
    ck_assert_ptr_nonnull(maps);
    how[0] = '\0';
    while (fgets(line, sizeof line, maps) != NULL)
        if (strstr(line, path) != NULL)
            sscanf(line, "%*s %4s", how);
    fclose(maps);
}

START_TEST(a_view_maps_read_only)
{
    char path[PATH_ROOM], how[5];
    copy_segment(path);
    view_instead(path);
    mapped_how(path, how);
    ck_assert_str_eq(how, "r--s");
}
END_TEST

static cachify_status_t act_list_as_somebody(struct agent_self *self,
                                             const struct agent_order *order,
                                             struct agent_answer *answer)
{
    (void)self;
    if (setgroups(0, NULL) != 0 || setgid(SOMEBODY) != 0 || setuid(SOMEBODY) != 0)
        return CACHIFY_PENDING;
    view = NULL;
    cachify_status_t status = cachify_shm_open(NULL, order->key, &view);
    if (status == CACHIFY_OK)
        answer->number = list() == 1 && seen_at(0)->info.state == CACHIFY_STATE_HELD;
    return status;
}

static struct agent_answer list_as_somebody(void)
{
    struct agent_order order = {.act = act_list_as_somebody};
    snprintf(order.key, sizeof order.key, "%s", here.path);
    return agent_do(agent_start_idle(), &order);
}

START_TEST(another_users_segment_is_listed_if_it_may_be_read)
{
    if (geteuid() != 0)
        SKIP("needs root");
    assert_ok(take("job", 0, &lease));
    ck_assert_int_eq(chmod(here.path, 0444), 0);
    struct agent_answer answer = list_as_somebody();
    ck_assert_msg(answer.status == CACHIFY_OK, "%s", answer.error);
    ck_assert_int_eq(answer.number, 1);
    ck_assert_int_eq(chmod(here.path, 0600), 0);
    answer = list_as_somebody();
    ck_assert_int_eq(answer.status, CACHIFY_PERMISSION);
    ck_assert_ptr_nonnull(strstr(answer.error, here.path));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("inspect");
    TCase *t = group(s, "leases", setup_view, teardown_view);
    tcase_add_test(t, listed_is_every_held_lock_with_its_holder);
    tcase_add_test(t, listed_is_what_query_says);
    tcase_add_test(t, listed_is_nothing_that_was_released);
    tcase_add_test(t, listed_are_expired_and_dead_ones_as_such);
    tcase_add_test(t, listed_is_no_successor_for_a_dead_holder);
    tcase_add_test(t, listed_are_waiters_by_key_and_not_the_dead_ones);
    tcase_add_test(t, listed_are_key_and_note_byte_by_byte);
    tcase_add_test(t, no_slot_is_left_out_because_another_has_named_its_record);
    tcase_add_test(t, a_listing_ends_when_the_callback_says_so);
    t = group(s, "counts", setup_view, teardown_view);
    tcase_add_test(t, counts_are_those_of_a_census);
    tcase_add_test(t, counts_the_longest_path_around_the_end);
    tcase_add_test(t, the_header_has_the_segments_numbers);
    t = group(s, "looking only", setup_view, teardown_view);
    tcase_add_test(t, a_view_changes_nothing_not_even_for_the_dead);
    tcase_add_test(t, a_view_maps_read_only);
    tcase_add_test(t, another_users_segment_is_listed_if_it_may_be_read);
    return run_suite(s);
}
