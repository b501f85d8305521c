/* cachify-shm-inspect's views beside the locks: the tree of who waits, processes, counters, the
 * header; and its sources. */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"
#include "json.h"
#include "tool.h"

static cachify_lease_t lease, second;

/* Columns of one line. */
static char word[10][128];

static void split(unsigned line, int expected)
{
    ck_assert_uint_lt(line, ran.lines);
    int got = sscanf(ran.line[line], "%127s %127s %127s %127s %127s %127s %127s %127s %127s %127s",
                     word[0], word[1], word[2], word[3], word[4], word[5], word[6], word[7],
                     word[8], word[9]);
    ck_assert_msg(got == expected, "%d words in: %s", got, ran.line[line]);
}

/* ---- Who waits, as a tree ---- */

START_TEST(tree_has_each_lock_with_its_line_below)
{
    setenv("LC_ALL", "C", 1);
    struct agent *holds = agent_start();
    assert_ok(agent_take(holds, "b", 60000).status);
    assert_ok(take("a", CACHIFY_NEVER, &lease));
    assert_ok(take("nobody waits for it", CACHIFY_NEVER, &second));
    struct agent *first = agent_in_line("b"), *other = agent_in_line("a");
    struct agent *next = agent_in_line("b");
    RUN_HERE("--waiters");
    ck_assert_uint_eq(ran.lines, 6);
    split(0, 8);
    ck_assert_str_eq(word[0], "LOCK");
    ck_assert_str_eq(word[5], "SINCE");
    const struct {
        const char *label, *state, *left, *loop;
        pid_t pid;
    } expected[] = {
        {"a", "held", "never", "-", getpid()},  {"`-1", "waits", "-", "no", other->pid},
        {"b", "held", NULL, "-", holds->pid},   {"|-1", "waits", "-", "no", first->pid},
        {"`-2", "waits", "-", "no", next->pid},
    };
    for (unsigned i = 0; i < 5; i++) {
        split(1 + i, 8);
        ck_assert_str_eq(word[0], expected[i].label);
        ck_assert_str_eq(word[1], expected[i].state);
        ck_assert_int_eq(atol(word[2]), expected[i].pid);
        ck_assert_int_eq(atol(word[3]), expected[i].pid);
        ck_assert_int_eq(word[5][strlen(word[5]) - 1], 's');
        if (expected[i].left != NULL)
            ck_assert_str_eq(word[6], expected[i].left);
        ck_assert_str_eq(word[7], expected[i].loop);
    }
}
END_TEST

START_TEST(tree_is_drawn_where_the_terminal_can)
{
    assert_ok(take("a", CACHIFY_NEVER, &lease));
    agent_in_line("a");
    setenv("LC_ALL", "C.UTF-8", 1);
    RUN_HERE("--waiters", "-n", "-o", "LOCK");
    ck_assert_str_eq(ran.out, "a\n\xe2\x94\x94\xe2\x94\x80"
                              "1\n");
    RUN_HERE("--waiters", "-n", "-r", "-o", "LOCK,KEY,STATE"); /* not for programs */
    ck_assert_str_eq(ran.out, "a a held\na a waits\n");
}
END_TEST

START_TEST(tree_of_nobody_is_its_headings)
{
    assert_ok(take("a", CACHIFY_NEVER, &lease));
    RUN_HERE("--waiters");
    ck_assert_str_eq(ran.out, "LOCK STATE PID THREAD COMMAND SINCE LEFT LOOP\n");
}
END_TEST

START_TEST(tree_of_a_lock_that_is_between_two_holders)
{
    setenv("LC_ALL", "C", 1);
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    struct cf_waiter *w = agent_waiter(agent_in_line("job"));
    cf_store_relaxed(&w->hash, hash_of("a key that nobody holds"));
    RUN_HERE("--waiters", "-n", "-o", "LOCK,STATE,LEFT");
    ck_assert_uint_eq(ran.lines, 2);
    ck_assert_str_eq(ran.line[0], "-   free  -");
    ck_assert_str_eq(ran.line[1], "`-1 waits -");
}
END_TEST

START_TEST(tree_is_filtered_by_line)
{
    setenv("LC_ALL", "C", 1);
    assert_ok(take("a", CACHIFY_NEVER, &lease));
    assert_ok(take("b", CACHIFY_NEVER, &second));
    agent_in_line("a");
    agent_in_line("b");
    RUN_HERE("--waiters", "-n", "-o", "LOCK", "--key", "b");
    ck_assert_str_eq(ran.out, "b\n`-1\n");
    RUN("--waiters", "--sort", "PID");
    assert_fails(64, "--sort is given, but a tree has its own order");
}
END_TEST

START_TEST(tree_for_programs_is_the_list)
{
    char list[512];
    assert_ok(take("a", CACHIFY_NEVER, &lease));
    agent_in_line("a");
    RUN_HERE("-J", "--waiters", "-o", "KEY,PID,HOLDER");
    snprintf(list, sizeof list, "%.500s", ran.out);
    RUN_HERE("-J", "--waiters-list", "-o", "KEY,PID,HOLDER");
    ck_assert_str_eq(ran.out, list);
}
END_TEST

/* ---- Processes ---- */

START_TEST(processes_are_alive_or_dead_by_evidence)
{
    char command[16];
    struct agent *agent = agent_start();
    assert_ok(take("job", 0, &lease));
    assert_ok(agent_take(agent, "left", CACHIFY_NEVER).status);
    pid_t pid = agent->pid;
    agent_kill(agent);
    cf_command(command);
    RUN_HERE("--processes");
    ck_assert_uint_eq(ran.lines, 3);
    split(0, 7);
    ck_assert_str_eq(word[3], "EVIDENCE");
    RUN_HERE("--processes", "-n", "--state", "alive");
    split(0, 7);
    ck_assert_int_eq(atol(word[0]), getpid());
    ck_assert_str_eq(word[1], command);
    ck_assert_str_eq(word[2], "alive");
    ck_assert_str_eq(word[3], "byte-locked");
    ck_assert_str_eq(word[5], "1");
    ck_assert_str_eq(word[6], "0");
    RUN_HERE("--processes", "-n", "--state", "dead", "-o", "PID,STATE,EVIDENCE,LEASES,ENTRY");
    split(0, 5);
    ck_assert_int_eq(atol(word[0]), pid);
    ck_assert_str_eq(word[2], "byte-free");
    ck_assert_str_eq(word[3], "1");
    RUN_HERE("--processes", "-J", "--output-all");
    assert_json();
    assert_member(object_in(3), "state", "\"alive\"");
}
END_TEST

/* ---- Counters and header ---- */

/* The value of a fact. */
static const char *fact(const char *name)
{
    for (unsigned i = 0; i < ran.lines; i++)
        if (sscanf(ran.line[i], "%127s %127s", word[0], word[1]) == 2 && strcmp(word[0], name) == 0)
            return word[1];
    ck_abort_msg("no %s in: %s", name, ran.out);
}

START_TEST(stats_count_with_units)
{
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    assert_ok(take("over", 1, &second));
    struct agent *agent = agent_in_line("job");
    EVENTUALLY(!is_locked("over"), LONG_MS);
    (void)agent;
    RUN_HERE("--stats");
    ck_assert_ptr_eq(strstr(ran.out, "NAME"), ran.out);
    ck_assert_str_eq(fact("locks_held"), "1");
    ck_assert_str_eq(fact("locks_expired"), "1");
    ck_assert_str_eq(fact("locks_max"), "64");
    ck_assert_str_eq(fact("waiters"), "1");
    ck_assert_str_eq(fact("processes"), "2");
    ck_assert_ptr_nonnull(strchr(fact("longest_held"), 's'));
    ck_assert_ptr_nonnull(strstr(ran.out, " bytes "));
    RUN_HERE("--stats", "-J");
    assert_json();
    assert_member(object_in(3), "name", "\"locks_held\"");
    assert_member(object_in(3), "value", "1");
    assert_member(object_in(3), "unit", "\"locks\"");
    RUN_HERE("--stats", "-nr", "-o", "NAME,UNIT,MEANING");
    ck_assert_str_eq(ran.line[0], "locks_held locks that\\x20somebody\\x20holds");
}
END_TEST

START_TEST(header_has_the_geometry)
{
    char number[32];
    RUN_HERE("--header");
    snprintf(number, sizeof number, "%llu", (unsigned long long)here.m->size);
    ck_assert_str_eq(fact("size"), number);
    ck_assert_str_eq(fact("max_locks"), "64");
    ck_assert_str_eq(fact("key_max"), "64");
    ck_assert_str_eq(fact("value_max"), "64");
    ck_assert_str_eq(fact("layout_version"), "2");
    ck_assert_str_eq(fact("library"), cachify_version());
    ck_assert_str_eq(fact("other_boot"), "no");
    ck_assert_ptr_nonnull(strchr(fact("age"), 's'));
    ck_assert_uint_eq(strlen(fact("created")), 20);
    RUN_HERE("--header", "-J", "-o", "NAME,VALUE");
    assert_json();
    ck_assert_ptr_nonnull(strstr(ran.out, "{\"name\": \"other_boot\", \"value\": false}"));
    ck_assert_ptr_nonnull(strstr(ran.out, "{\"name\": \"max_locks\", \"value\": 64}"));
    RUN("--header", "--key", "a");
    assert_fails(64, "--key is given, but the view of header has nothing");
}
END_TEST

/* ---- Sources ---- */

START_TEST(all_lists_every_segment_and_says_which)
{
    char path[PATH_ROOM], other[PATH_ROOM], expected[2 * PATH_ROOM];
    cachify_config_t config = here.config;
    cachify_t *more;
    cachify_lock_t lock = {.key = "in another"};
    new_path(other);
    config.path = other;
    assert_ok(cachify_open(&config, &more));
    assert_ok(cachify_acquire(more, &lock, &second));
    assert_ok(take("in this", 0, &lease));
    new_path(path); /* what is no segment is passed over */
    FILE *file = fopen(path, "we");
    ck_assert_ptr_nonnull(file);
    fputs("this is no segment", file);
    fclose(file);
    RUN("--all", "-n", "-o", "SEGMENT,KEY", "--key", "in *");
    ck_assert_int_eq(ran.status, 0);
    ck_assert_str_eq(ran.error, "");
    snprintf(expected, sizeof expected, "%s in this\n", here.path);
    ck_assert_ptr_nonnull(strstr(ran.out, expected));
    snprintf(expected, sizeof expected, "%s in another\n", other);
    ck_assert_ptr_nonnull(strstr(ran.out, expected));
    ck_assert_ptr_null(strstr(ran.out, path));
    RUN("--all", "--key", "in *");
    ck_assert_ptr_eq(strstr(ran.out, "SEGMENT "), ran.out);
    RUN("--all", "-J", "--key", "in *");
    assert_json();
    snprintf(expected, sizeof expected, "\"%s\"", other);
    ck_assert_ptr_nonnull(strstr(ran.out, expected));
    RUN("--all", "--name", "x");
    assert_fails(64, "both --all and --name x");
    assert_ok(cachify_release(&second));
    assert_ok(cachify_close(more));
    unlink(other);
    unlink(path);
}
END_TEST

START_TEST(a_copy_is_listed_with_nobody_alive)
{
    char path[PATH_ROOM];
    assert_ok(take("job", 0, &lease));
    new_path(path);
    FILE *file = fopen(path, "we");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(here.m->base, here.m->size, 1, file), 1);
    fclose(file);
    RUN("--path", path, "-n", "-o", "KEY,STATE");
    ck_assert_str_eq(ran.out, "job owner-dead\n");
    RUN("--path", path, "-n", "--processes", "-o", "STATE,EVIDENCE");
    ck_assert_str_eq(ran.out, "dead byte-free\n");
    unlink(path);
}
END_TEST

/* By somebody who may read it, and does not own it. */
START_TEST(another_users_segment_is_listed_if_it_may_be_read)
{
    static char said[1 << 16]; /* a counting build has much to say of files that it may not write */
    char command[1024];
    const char *given = getenv("CACHIFY_INSPECT");
    if (geteuid() != 0 || system("command -v setpriv >/dev/null") != 0)
        SKIP("needs root and setpriv");
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    snprintf(command, sizeof command,
             "setpriv --reuid 12345 --regid 12345 --clear-groups %s --path %s -n -o KEY,STATE",
             given != NULL ? given : "tools/cachify-shm-inspect", here.path);
    ck_assert_int_eq(chmod(here.path, 0444), 0);
    FILE *out = popen(command, "re");
    ck_assert_ptr_nonnull(out);
    said[fread(said, 1, sizeof said - 1, out)] = '\0';
    int status = pclose(out) >> 8;
    if (status == 126 || status == 127)
        SKIP("the tool lies where others may not run it");
    ck_assert_str_eq(said, "job held\n");
    ck_assert_int_eq(chmod(here.path, 0600), 0);
    char loud[sizeof command + 8];
    snprintf(loud, sizeof loud, "%s 2>&1", command);
    out = popen(loud, "re");
    ck_assert_ptr_nonnull(out);
    said[fread(said, 1, sizeof said - 1, out)] = '\0';
    ck_assert_int_eq(pclose(out) >> 8, 1);
    ck_assert_ptr_nonnull(strstr(said, "ermission"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("inspect, the tool's views");
    TCase *t = group(s, "tree", setup_here, teardown_here);
    tcase_add_test(t, tree_has_each_lock_with_its_line_below);
    tcase_add_test(t, tree_is_drawn_where_the_terminal_can);
    tcase_add_test(t, tree_of_nobody_is_its_headings);
    tcase_add_test(t, tree_of_a_lock_that_is_between_two_holders);
    tcase_add_test(t, tree_is_filtered_by_line);
    tcase_add_test(t, tree_for_programs_is_the_list);
    t = group(s, "processes", setup_here, teardown_here);
    tcase_add_test(t, processes_are_alive_or_dead_by_evidence);
    t = group(s, "facts", setup_here, teardown_here);
    tcase_add_test(t, stats_count_with_units);
    tcase_add_test(t, header_has_the_geometry);
    t = group(s, "sources", setup_here, teardown_here);
    tcase_add_test(t, all_lists_every_segment_and_says_which);
    tcase_add_test(t, a_copy_is_listed_with_nobody_alive);
    tcase_add_test(t, another_users_segment_is_listed_if_it_may_be_read);
    return run_suite(s);
}
