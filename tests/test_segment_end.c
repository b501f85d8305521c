/* A segment's end: unlinked or replaced while in use, or left over from another boot. */
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cachify/shm.h>

#include "agent.h"
#include "pending.h"
#include "shm/segment.h"

static cachify_lease_t lease, second;

static ino_t inode_of(const char *path)
{
    struct stat st;
    ck_assert_int_eq(stat(path, &st), 0);
    return st.st_ino;
}

/* ---- Unlinked, replaced (pitfall 55) ---- */

static void assert_all_gone(void)
{
    bool locked;
    cachify_info_t info = {0};
    cachify_lease_t got;
    cachify_lock_t wait = {.key = "other", .wait = true};
    assert_status(take("other", 0, &got), CACHIFY_GONE);
    assert_says(here.path);
    assert_status(cachify_acquire(here.cachify, &wait, &got), CACHIFY_GONE);
    assert_status(cachify_is_locked(here.cachify, "job", &locked), CACHIFY_GONE);
    assert_status(cachify_query(here.cachify, "job", &info), CACHIFY_GONE);
    assert_status(cachify_release_key(here.cachify, "job"), CACHIFY_GONE);
    assert_status(cachify_shm_sweep(here.cachify), CACHIFY_GONE);
    ck_assert(!cachify_lease_held(&lease));
    ck_assert_int_eq(cachify_lease_remaining_ms(&lease), 0);
    assert_status(cachify_extend(&lease, 60000), CACHIFY_GONE);
    assert_status(cachify_release(&lease), CACHIFY_GONE);
    assert_ok(cachify_release(&lease)); /* it is empty */
}

START_TEST(unlinked_is_GONE_on_every_call_within_about_100_ms)
{
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    ck_assert_int_eq(unlink(here.path), 0);
    int64_t start = now_ms();
    EVENTUALLY(!cachify_lease_held(&lease), 1100);
    ck_assert_int_le(now_ms() - start, 1100);
    assert_all_gone();
}
END_TEST

START_TEST(unlinked_is_noticed_on_the_fast_path_too)
{
    unsigned passed = 0;
    ck_assert_uint_ne(pass("job"), 0);
    ck_assert_int_eq(unlink(here.path), 0);
    for (int64_t until = now_ms() + 1100; pass("job") != 0; passed++)
        ck_assert_int_lt(now_ms(), until);
    assert_status(take("job", 0, &lease), CACHIFY_GONE);
}
END_TEST

/* ---- Cut short (pitfall 53) ---- */

/* The kernel was asked longer ago than that, so the next call asks before it touches anything. */
static void let_100_ms_pass(void)
{
    int64_t until = now_ms() + 150;
    EVENTUALLY(now_ms() > until, LONG_MS);
}

static const off_t lengths[] = {0, CF_PAGE, (off_t)3 * CF_PAGE};

START_TEST(cut_short_is_GONE_for_who_was_not_at_work)
{
    cachify_t *another;
    ck_assert_uint_ne(pass("idle"), 0);
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    let_100_ms_pass();
    ck_assert_int_eq(truncate(here.path, lengths[_i]), 0);
    assert_all_gone();
    assert_status(cachify_open(&here.config, &another), CACHIFY_CORRUPT);
    assert_says("bytes");
}
END_TEST

/* Each touches the segment if it does not ask first. */
START_TEST(cut_short_hurts_no_first_call)
{
    bool locked;
    cachify_info_t info = {0};
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    let_100_ms_pass();
    ck_assert_int_eq(truncate(here.path, 0), 0);
    switch (_i) {
    case 0:
        assert_status(take("other", 0, &second), CACHIFY_GONE);
        break;
    case 1:
        assert_status(cachify_release(&lease), CACHIFY_GONE);
        break;
    case 2:
        assert_status(cachify_extend(&lease, 60000), CACHIFY_GONE);
        break;
    case 3:
        ck_assert(!cachify_lease_held(&lease));
        break;
    case 4:
        assert_status(cachify_query(here.cachify, "job", &info), CACHIFY_GONE);
        break;
    case 5:
        assert_status(cachify_is_locked(here.cachify, "job", &locked), CACHIFY_GONE);
        break;
    case 6:
        assert_status(cachify_release_key(here.cachify, "job"), CACHIFY_GONE);
        break;
    case 7:
        assert_status(cachify_shm_sweep(here.cachify), CACHIFY_GONE);
        break;
    default:
        ck_abort();
    }
}
END_TEST

START_TEST(cut_short_hurts_no_close)
{
    ck_assert_uint_ne(pass("idle"), 0);
    ck_assert_int_eq(truncate(here.path, 0), 0);
    assert_ok(cachify_close(here.cachify));
    here.cachify = NULL;
}
END_TEST

static _Atomic int step;

static int64_t pass_and_end(unsigned i, void *context)
{
    uint64_t token = i == 0 ? pass("idle") : 1;
    (void)context;
    if (i == 0) {
        step = 1;
        while (step != 2)
            tick();
        return token != 0;
    }
    while (step != 1)
        tick();
    int result = truncate(here.path, 0);
    step = 2;
    return result == 0;
}

START_TEST(cut_short_hurts_no_thread_that_ends)
{
    int64_t results[2];
    threads_together(2, pass_and_end, NULL, results);
    ck_assert(results[0] == 1 && results[1] == 1);
}
END_TEST

/* An agent asleep looks again when its poll interval is over, or its time, and its watch when the
 * holder has died: both long after the file was cut, for who is at work in it just then has SIGBUS. */
START_TEST(cut_short_is_GONE_for_who_waits)
{
    struct agent *agent = agent_start();
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    ck_assert_int_eq(agent_wait(agent, "job", 3000, 0).verdict, WOULD_BLOCK);
    agent_settle(agent);
    await_watch_of(agent->pid);
    ck_assert_int_eq(truncate(here.path, 0), 0);
    struct agent_answer answer = agent_finish(agent);
    ck_assert_int_eq(answer.verdict, ANSWERED);
    ck_assert_int_eq(answer.status, CACHIFY_GONE);
    let_100_ms_pass();
}
END_TEST

START_TEST(replaced_is_GONE)
{
    char other[PATH_ROOM];
    cachify_t *instance;
    new_path(other);
    assert_ok(cachify_open(&(cachify_config_t){.path = other, .max_locks = 8}, &instance));
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    ck_assert_int_eq(rename(other, here.path), 0);
    EVENTUALLY(!cachify_lease_held(&lease), 1100);
    assert_all_gone();
    assert_ok(cachify_close(instance));
}
END_TEST

/* The kernel says so of the file; a name that cannot be looked up says nothing. */
START_TEST(renamed_away_is_not_gone_as_long_as_nothing_stands_there)
{
    char other[PATH_ROOM];
    new_path(other);
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    ck_assert_int_eq(rename(here.path, other), 0);
    STAYS(cachify_lease_held(&lease), 300);
    ck_assert_int_eq(rename(other, here.path), 0);
    assert_ok(cachify_release(&lease));
}
END_TEST

/* pitfall 6: the new one's tokens go on. */
START_TEST(the_next_to_open_makes_a_new_one_whose_tokens_go_on)
{
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    uint64_t token = cachify_lease_token(&lease);
    ck_assert_int_eq(unlink(here.path), 0);
    struct agent *agent = agent_start();
    struct agent_answer answer = agent_take(agent, "job", 0);
    ck_assert_int_eq(answer.status, CACHIFY_OK);
    ck_assert_uint_gt(answer.token, token);
    EVENTUALLY(!cachify_lease_held(&lease), 1100);
    assert_status(cachify_release(&lease), CACHIFY_GONE);
    assert_ok(cachify_close(here.cachify));
    assert_ok(cachify_open(&here.config, &here.cachify));
    here.m = mapping_of(here.cachify);
    assert_status(take("job", 0, &lease), CACHIFY_LOCKED);
}
END_TEST

/* ---- Of another boot (pitfall 30, pitfall 48) ---- */

/* Close here's, and make its file one that another boot left. */
static void leave_to_another_boot(uint64_t last_token)
{
    uint64_t size = here.m->size;
    size_t groups = (size_t)((uint8_t *)here.m->group_at - here.m->base);
    assert_ok(cachify_close(here.cachify));
    here.cachify = NULL;
    int fd = open(here.path, O_RDWR | O_CLOEXEC);
    uint8_t *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ck_assert_ptr_ne(base, MAP_FAILED);
    struct cf_header *header = (struct cf_header *)(void *)base;
    header->boot_id[3] ^= 0x40;
    header->checksum = cf_header_checksum(header);
    if (last_token != 0)
        cf_store_relaxed(&((struct cf_group *)(void *)(base + groups))->token, last_token);
    munmap(base, size);
    close(fd);
}

static void open_again(void)
{
    assert_ok(cachify_open(&here.config, &here.cachify));
    here.m = mapping_of(here.cachify);
}

START_TEST(of_another_boot_is_built_anew)
{
    ino_t before = inode_of(here.path);
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    uint64_t token = cachify_lease_token(&lease);
    leave_to_another_boot(0);
    open_again();
    ck_assert_uint_ne(inode_of(here.path), before);
    struct census c = census(here.m);
    ck_assert_uint_eq(c.held + c.idle + c.taken, 0);
    ck_assert(!is_locked("job"));
    assert_ok(take("job", 0, &second));
    ck_assert_int_eq(cachify_lease_origin(&second, NULL), CACHIFY_FRESH);
    ck_assert_uint_gt(cachify_lease_token(&second), token);
}
END_TEST

START_TEST(of_another_boot_its_tokens_go_on_even_from_the_future)
{
    uint64_t future = cf_realtime_ns() + 1000000 * CF_SECOND; /* the clock was set back since */
    leave_to_another_boot(future);
    open_again();
    for (unsigned i = 0; i < 20; i++)
        ck_assert_uint_gt(pass(numbered("job", i)), future);
}
END_TEST

/* Whoever has a high token in a record only: it was handed out, so it counts. */
START_TEST(of_another_boot_tokens_in_records_count_too)
{
    uint64_t future = cf_realtime_ns() + 1000000 * CF_SECOND;
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    cf_store_relaxed(&cf_record_at(here.m, cf_word_record(word_of("job", NULL)))->token, future);
    leave_to_another_boot(0);
    open_again();
    ck_assert_uint_gt(pass("job"), future);
}
END_TEST

/* The new one has two names, PATH and PATH.BOOT; losing the first is what counts. */
START_TEST(of_another_boot_the_new_one_is_GONE_when_unlinked)
{
    leave_to_another_boot(0);
    open_again();
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    ck_assert_int_eq(unlink(here.path), 0);
    EVENTUALLY(!cachify_lease_held(&lease), 1100);
    assert_all_gone();
}
END_TEST

START_TEST(of_another_boot_is_built_with_the_sizes_now_asked_for)
{
    leave_to_another_boot(0);
    here.config.max_locks = 128;
    here.config.mode = 0640;
    open_again();
    ck_assert_uint_eq(here.m->max_locks, 128);
    struct stat st;
    ck_assert_int_eq(stat(here.path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0640);
}
END_TEST

START_TEST(whoever_still_has_the_old_ones_mapping_is_told)
{
    struct agent *agent = agent_start();
    assert_ok(agent_take(agent, "job", CACHIFY_NEVER).status);
    leave_to_another_boot(0);
    open_again();
    EVENTUALLY(!agent_look(agent).held, 1100);
    ck_assert_int_eq(agent_release(agent).status, CACHIFY_GONE);
    assert_ok(take("job", 0, &lease));
}
END_TEST

struct race {
    _Atomic unsigned opened;
    unsigned n;
};

/* Opens, then says which file it has, when all have opened. */
static int64_t open_and_tell(unsigned i, void *context)
{
    struct race *race = context;
    cachify_t *instance;
    (void)i;
    cachify_status_t status = cachify_open(&here.config, &instance);
    atomic_fetch_add(&race->opened, 1);
    for (int64_t until = now_ms() + LONG_MS; race->opened < race->n && now_ms() < until;)
        tick();
    if (status != CACHIFY_OK)
        return -(int64_t)status;
    for (int64_t until = now_ms() + 150; now_ms() < until; tick()) { /* a look at the file */
        bool locked;
        if (cachify_is_locked(instance, "job", &locked) != CACHIFY_OK)
            return -100;
    }
    return (int64_t)mapping_of(instance)->inode;
}

START_TEST(of_another_boot_many_openers_at_once_get_one_new_segment)
{
    struct race *race = shared(sizeof *race);
    race->n = 12;
    for (unsigned round = 0; round < rounds(10); round++) {
        int64_t inodes[12];
        reopen_here(here.config);
        leave_to_another_boot(0);
        race->opened = 0;
        processes_together(race->n, open_and_tell, race, inodes);
        for (unsigned i = 0; i < race->n; i++)
            ck_assert_int_eq(inodes[i], (int64_t)inode_of(here.path));
        open_again();
    }
}
END_TEST

START_TEST(of_another_boot_but_unreadable_is_still_refused)
{
    leave_to_another_boot(0);
    int fd = open(here.path, O_RDWR | O_CLOEXEC);
    const off_t at = offsetof(struct cf_header, created_ns);
    unsigned char byte;
    ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
    byte ^= 1;
    ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
    close(fd);
    ino_t before = inode_of(here.path);
    assert_status(cachify_open(&here.config, &here.cachify), CACHIFY_CORRUPT);
    ck_assert_uint_eq(inode_of(here.path), before);
}
END_TEST

static void remove_beside(const char *path)
{
    glob_t found;
    char pattern[PATH_ROOM + 4];
    snprintf(pattern, sizeof pattern, "%s.*", path);
    if (glob(pattern, 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++)
            unlink(found.gl_pathv[i]);
        globfree(&found);
    }
}

/* pitfall 50: nobody waits for an initialiser that is stopped. */
START_TEST(of_another_boot_a_killed_rebuilder_is_no_obstacle)
{
    uint64_t state = seed();
    for (unsigned round = 0; round < rounds(40); round++) {
        reopen_here(here.config);
        leave_to_another_boot(0);
        struct agent *agent = agent_start_idle();
        agent_tell(agent, &(struct agent_order){.act = act_open});
        cf_nanosleep(chance(&state) % (2 * CF_MS));
        agent_kill(agent);
        open_again();
        ck_assert_uint_ne(pass("job"), 0);
        agents_end();
        remove_beside(here.path); /* it may have left a link, PATH.RANDOM */
    }
}
END_TEST

/* A memfd goes with its last user, so it is of no other boot. */
START_TEST(a_memfd_is_never_gone)
{
    int fd = memfd_create("cachify-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    cachify_close(here.cachify);
    here.config = (cachify_config_t){.fd = fd, .max_locks = 8, .prefix = ""};
    open_again();
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    close(fd);
    STAYS(cachify_lease_held(&lease), 250);
    assert_ok(cachify_release(&lease));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("segment_end");
    TCase *t = group(s, "unlinked or replaced", setup_here, teardown_here);
    tcase_add_test(t, unlinked_is_GONE_on_every_call_within_about_100_ms);
    tcase_add_test(t, unlinked_is_noticed_on_the_fast_path_too);
    tcase_add_test(t, replaced_is_GONE);
    tcase_add_loop_test(t, cut_short_is_GONE_for_who_was_not_at_work, 0, 3);
    tcase_add_loop_test(t, cut_short_hurts_no_first_call, 0, 8);
    tcase_add_test(t, cut_short_hurts_no_close);
    tcase_add_test(t, cut_short_hurts_no_thread_that_ends);
    tcase_add_test(t, cut_short_is_GONE_for_who_waits);
    tcase_add_test(t, renamed_away_is_not_gone_as_long_as_nothing_stands_there);
    tcase_add_test(t, the_next_to_open_makes_a_new_one_whose_tokens_go_on);
    tcase_add_test(t, a_memfd_is_never_gone);
    t = group(s, "of another boot", setup_here, teardown_here);
    tcase_add_test(t, of_another_boot_is_built_anew);
    tcase_add_test(t, of_another_boot_its_tokens_go_on_even_from_the_future);
    tcase_add_test(t, of_another_boot_tokens_in_records_count_too);
    tcase_add_test(t, of_another_boot_the_new_one_is_GONE_when_unlinked);
    tcase_add_test(t, of_another_boot_is_built_with_the_sizes_now_asked_for);
    tcase_add_test(t, whoever_still_has_the_old_ones_mapping_is_told);
    tcase_add_test(t, of_another_boot_many_openers_at_once_get_one_new_segment);
    tcase_add_test(t, of_another_boot_but_unreadable_is_still_refused);
    tcase_add_test(t, of_another_boot_a_killed_rebuilder_is_no_obstacle);
    return run_suite(s);
}
