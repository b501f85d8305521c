/* What cachify-shm-inspect changes when it is asked to, what it says of it, and with which exit
 * status. */
#include <stdlib.h>
#include <unistd.h>

#include "agent.h"
#include "tool.h"

static cachify_lease_t lease, second;

#define ACT(...) RUN("--path", here.path, __VA_ARGS__)

static void assert_did(int status, const char *says)
{
    ck_assert_msg(ran.status == status, "exit status %d: %s%s", ran.status, ran.error, ran.out);
    ck_assert_msg(strstr(ran.out, says) != NULL, "\"%s\" is not in \"%s\"", says, ran.out);
    ck_assert_uint_eq(ran.lines, 1);
    ck_assert_str_eq(ran.error, "");
}

/* ---- Release ---- */

START_TEST(release_frees_the_lock_and_says_whose_it_was)
{
    char expected[128], command[16];
    cf_command(command);
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    struct agent *waits = agent_in_line("job");
    ACT("--release", "job", "--dry-run");
    snprintf(expected, sizeof expected, "would release job: held by process %d (%s) for ",
             (int)getpid(), command);
    assert_did(0, expected);
    snprintf(expected, sizeof expected, ", token %llu; waited for by 1\n",
             (unsigned long long)cachify_lease_token(&lease));
    ck_assert_ptr_nonnull(strstr(ran.out, expected));
    ck_assert(cachify_lease_held(&lease));
    ACT("--release", "job");
    assert_did(0, "released job: held by process ");
    ck_assert_int_eq(agent_finish(waits).status, CACHIFY_OK);
    ck_assert(!cachify_lease_held(&lease));
}
END_TEST

START_TEST(release_of_what_is_not_held_is_2)
{
    ACT("--release", "job");
    assert_did(2, "job: not held\n");
    assert_ok(take("job", 1, &lease));
    EVENTUALLY(!is_locked("job"), LONG_MS);
    ACT("--release=job", "--dry-run");
    assert_did(2, "job: not held, but expired\n");
}
END_TEST

START_TEST(release_is_of_the_whole_key)
{
    assert_ok(take("job", 0, &lease));
    ACT("--release", "jo");
    assert_did(2, "jo: not held\n");
    ACT("--release", "*");
    assert_did(2, "*: not held\n");
    ck_assert(cachify_lease_held(&lease));
}
END_TEST

/* ---- Sweep ---- */

START_TEST(sweep_clears_what_the_dead_left)
{
    char expected[PATH_ROOM + 64];
    struct agent *agent = agent_start();
    assert_ok(agent_take(agent, "left", CACHIFY_NEVER).status);
    assert_ok(take("over", 1, &lease));
    assert_ok(take("mine", 0, &second));
    agent_kill(agent);
    EVENTUALLY(!is_locked("over"), LONG_MS);
    ACT("--sweep", "--dry-run");
    snprintf(expected, sizeof expected, "would sweep %s: 1 expired, 1 of dead processes\n",
             here.path);
    assert_did(0, expected);
    ck_assert_uint_eq(census(here.m).held, 3);
    ACT("--sweep");
    assert_did(0, expected + strlen("would sweep "));
    ck_assert_ptr_eq(strstr(ran.out, "swept "), ran.out);
    ck_assert_uint_eq(census(here.m).held, 1);
    ck_assert(cachify_lease_held(&second));
    ACT("--sweep");
    assert_did(2, ": 0 expired, 0 of dead processes\n");
}
END_TEST

/* ---- Unlink ---- */

START_TEST(unlink_is_refused_while_somebody_uses_it)
{
    ACT("--unlink");
    assert_fails(1, "is in use by 1 process, whose locks would exclude nobody else");
    ck_assert_ptr_nonnull(strstr(ran.error, "--force"));
    ck_assert_int_eq(access(here.path, F_OK), 0);
    ACT("--unlink", "--dry-run");
    assert_fails(1, "is in use by 1 process");
    ACT("--unlink", "--force", "--dry-run");
    assert_did(0, "would remove ");
    ck_assert_int_eq(access(here.path, F_OK), 0);
    ACT("--unlink", "--force");
    assert_did(0, "removed ");
    ck_assert_int_eq(access(here.path, F_OK), -1);
}
END_TEST

START_TEST(unlink_removes_what_nobody_uses)
{
    char path[PATH_ROOM];
    cachify_t *other;
    cachify_config_t config = here.config;
    new_path(path);
    config.path = path;
    assert_ok(cachify_open(&config, &other));
    assert_ok(cachify_close(other));
    RUN("--path", path, "--unlink", "--dry-run");
    assert_did(0, "would remove ");
    ck_assert_int_eq(access(path, F_OK), 0);
    RUN("--path", path, "--unlink");
    assert_did(0, ": in use by 0, 0 locks in it\n");
    ck_assert_int_eq(access(path, F_OK), -1);
    RUN("--path", path, "--unlink");
    assert_fails(1, path);
}
END_TEST

START_TEST(what_is_no_segment_is_left_alone)
{
    char path[PATH_ROOM];
    new_path(path);
    FILE *file = fopen(path, "we");
    ck_assert_ptr_nonnull(file);
    fputs("precious", file);
    fclose(file);
    RUN("--path", path, "--unlink", "--force");
    assert_fails(1, path);
    RUN("--path", path, "--sweep");
    assert_fails(1, path);
    ck_assert_int_eq(access(path, F_OK), 0);
    unlink(path);
    RUN("--path", path, "--release", "job");
    assert_fails(1, path);
    ck_assert_int_eq(access(path, F_OK), -1); /* and none is made */
}
END_TEST

/* ---- Calling it ---- */

START_TEST(wrong_calls_are_64)
{
    ACT("--dry-run");
    assert_fails(64, "--dry-run is given; expected --release, --sweep or --unlink with it");
    ACT("--sweep", "--unlink");
    assert_fails(64, "both --unlink and --sweep");
    RUN("--all", "--sweep");
    assert_fails(64, "both --all and --sweep are given; expected one segment");
    ACT("--sweep", "--force");
    assert_fails(64, "--force is given; expected --unlink");
    ACT("--release", "job", "-J");
    assert_fails(64, "--release shows nothing");
    ACT("--sweep", "--key", "job");
    assert_fails(64, "--sweep shows nothing");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("inspect, what the tool changes");
    TCase *t = group(s, "release", setup_here, teardown_here);
    tcase_add_test(t, release_frees_the_lock_and_says_whose_it_was);
    tcase_add_test(t, release_of_what_is_not_held_is_2);
    tcase_add_test(t, release_is_of_the_whole_key);
    t = group(s, "sweep", setup_here, teardown_here);
    tcase_add_test(t, sweep_clears_what_the_dead_left);
    t = group(s, "unlink", setup_here, teardown_here);
    tcase_add_test(t, unlink_is_refused_while_somebody_uses_it);
    tcase_add_test(t, unlink_removes_what_nobody_uses);
    tcase_add_test(t, what_is_no_segment_is_left_alone);
    t = group(s, "calls", setup_here, teardown_here);
    tcase_add_test(t, wrong_calls_are_64);
    return run_suite(s);
}
