/* Looking at the processes of a segment through a view: who is there, by what evidence, and with
 * what. */
#include <stdlib.h>
#include <unistd.h>

#include "agent.h"
#include "looking.h"
#include "shm/liveness.h"

static cachify_lease_t lease, second;

static cachify_shm_process_t seen[64];
static unsigned seen_count;

static int keep_process(void *context, const cachify_shm_process_t *process)
{
    (void)context;
    ck_assert_uint_lt(seen_count, 64);
    seen[seen_count++] = *process;
    return 0;
}

static unsigned list_processes(void)
{
    seen_count = 0;
    assert_ok(cachify_shm_processes(view, keep_process, NULL, NULL));
    return seen_count;
}

static const cachify_shm_process_t *process(pid_t pid)
{
    for (unsigned i = 0; i < seen_count; i++)
        if (seen[i].pid == pid)
            return &seen[i];
    ck_abort_msg("process %d is not listed", (int)pid);
}

START_TEST(listed_is_every_process_with_what_it_has)
{
    char command[16];
    struct agent *holds = agent_start();
    assert_ok(agent_take(holds, "its", 60000).status);
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    assert_ok(take("other", 0, &second));
    struct agent *waits = agent_in_line("job");
    ck_assert_uint_eq(list_processes(), 3);
    cf_command(command);
    const cachify_shm_process_t *me = process(getpid());
    ck_assert_uint_eq(me->evidence, CACHIFY_SHM_BYTE_LOCKED);
    ck_assert_uint_eq(me->leases, 2);
    ck_assert_uint_eq(me->waits, 0);
    ck_assert_str_eq(me->command, command);
    ck_assert_uint_eq(me->entry, cf_owner_entry(cf_self(here.m)));
    ck_assert_uint_eq(me->pid_namespace, cf_pid_namespace());
    ck_assert_int_ge(me->registered_ms, process(waits->pid)->registered_ms);
    ck_assert_int_lt(me->registered_ms, LONG_MS);
    ck_assert_uint_eq(process(holds->pid)->leases, 1);
    ck_assert_uint_eq(process(waits->pid)->leases, 0);
    ck_assert_uint_eq(process(waits->pid)->waits, 1);
}
END_TEST

START_TEST(the_dead_are_listed_with_what_they_left)
{
    struct agent *agent = agent_start();
    assert_ok(agent_take(agent, "left", CACHIFY_NEVER).status);
    pid_t pid = agent->pid;
    agent_kill(agent);
    ck_assert_uint_eq(list_processes(), 2);
    ck_assert_uint_eq(process(pid)->evidence, CACHIFY_SHM_BYTE_FREE);
    ck_assert_uint_eq(process(pid)->leases, 1);
    assert_ok(take("left", 0, &lease)); /* and it is proved dead by somebody who writes so */
    list_processes();
    ck_assert_uint_eq(process(pid)->leases, 0);
    ck_assert_uint_eq(process(getpid())->leases, 1);
}
END_TEST

START_TEST(a_successor_has_not_what_the_dead_one_left)
{
    struct agent *agent = agent_start();
    assert_ok(agent_take(agent, "left", CACHIFY_NEVER).status);
    uint32_t entry = cf_owner_entry(agent->owner);
    pid_t pid = agent->pid;
    agent_kill(agent);
    do
        agent = agent_start();
    while (cf_owner_entry(agent->owner) != entry);
    list_processes();
    ck_assert_uint_eq(process(agent->pid)->leases, 0);
    for (unsigned i = 0; i < seen_count; i++)
        ck_assert_int_ne(seen[i].pid, pid);
}
END_TEST

START_TEST(expired_leases_are_not_held)
{
    assert_ok(take("over", 1, &lease));
    EVENTUALLY(!is_locked("over"), LONG_MS);
    list_processes();
    ck_assert_uint_eq(process(getpid())->leases, 0);
}
END_TEST

START_TEST(nobody_lives_in_a_copy)
{
    char path[PATH_ROOM];
    assert_ok(take("job", 0, &lease));
    copy_segment(path);
    view_instead(path);
    ck_assert_uint_eq(list_processes(), 1);
    ck_assert_uint_eq(process(getpid())->evidence, CACHIFY_SHM_BYTE_FREE);
    ck_assert_uint_eq(process(getpid())->leases, 1);
}
END_TEST

static int second_ends(void *context, const cachify_shm_process_t *listed)
{
    (void)listed;
    return ++*(int *)context == 2 ? 17 : 0;
}

START_TEST(a_listing_ends_when_the_callback_says_so)
{
    int calls = 0, ended = -1;
    agent_start();
    agent_start();
    assert_ok(cachify_shm_processes(view, second_ends, &calls, &ended));
    ck_assert_int_eq(calls, 2);
    ck_assert_int_eq(ended, 17);
    assert_status(cachify_shm_processes(NULL, second_ends, &calls, NULL), CACHIFY_INVALID);
    assert_status(cachify_shm_processes(view, NULL, NULL, NULL), CACHIFY_INVALID);
}
END_TEST

START_TEST(nothing_is_written)
{
    struct agent *agent = agent_start();
    assert_ok(agent_take(agent, "left", 0).status);
    agent_kill(agent);
    uint8_t *before = malloc(here.m->size);
    ck_assert_ptr_nonnull(before);
    memcpy(before, here.m->base, here.m->size);
    list_processes();
    ck_assert_mem_eq(here.m->base, before, here.m->size);
    free(before);
}
END_TEST

/* Any bytes where entries, words, records and the line are. */
START_TEST(nonsense_is_listed_within_bounds)
{
    uint64_t state = seed();
    char path[PATH_ROOM];
    assert_ok(take("job", 0, &lease));
    for (unsigned i = rounds(30); i > 0; i--) {
        copy_segment(path);
        FILE *file = fopen(path, "r+e");
        ck_assert_ptr_nonnull(file);
        ck_assert_int_eq(fseek(file, CF_PAGE, SEEK_SET), 0);
        for (uint64_t at = CF_PAGE; at < here.m->size; at += 8) {
            uint64_t word = chance(&state) >> chance(&state) % 64;
            ck_assert_uint_eq(fwrite(&word, sizeof word, 1, file), 1);
        }
        fclose(file);
        view_instead(path);
        seen_count = 0;
        int counted = 0;
        assert_ok(cachify_shm_processes(view, second_ends, &counted, NULL));
        unlink(path);
    }
}
END_TEST

START_TEST(the_header_has_what_people_ask_for)
{
    cachify_shm_header_t header = {.size = sizeof header};
    assert_ok(cachify_shm_header(view, &header));
    ck_assert_uint_eq(header.max_waiters, here.m->waiters);
    ck_assert_uint_eq(header.record_size, here.m->record_size);
    ck_assert_uint_ne(header.format, 0);
    ck_assert_int_gt(header.created_ms, INT64_C(1700000000000));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("inspect, processes");
    TCase *t = group(s, "processes", setup_view, teardown_view);
    tcase_add_test(t, listed_is_every_process_with_what_it_has);
    tcase_add_test(t, the_dead_are_listed_with_what_they_left);
    tcase_add_test(t, a_successor_has_not_what_the_dead_one_left);
    tcase_add_test(t, expired_leases_are_not_held);
    tcase_add_test(t, nobody_lives_in_a_copy);
    tcase_add_test(t, a_listing_ends_when_the_callback_says_so);
    tcase_add_test(t, nothing_is_written);
    tcase_add_test(t, nonsense_is_listed_within_bounds);
    tcase_add_test(t, the_header_has_what_people_ask_for);
    return run_suite(s);
}
