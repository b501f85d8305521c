/* cachify-shm-inspect --waiters-list, run as a process: its table and its JSON. */
#include <stdlib.h>
#include <unistd.h>

#include "agent.h"
#include "json.h"
#include "tool.h"

static cachify_lease_t lease, second;

/* ---- The table ---- */

/* Column by column: key, pid, thread, command, waited, loop, holder, holder's command. */
static char word[8][128];

static void split(unsigned line)
{
    ck_assert_uint_lt(line, ran.lines);
    ck_assert_int_eq(sscanf(ran.line[line], "%127s %127s %127s %127s %127s %127s %127s %127s %*s",
                            word[0], word[1], word[2], word[3], word[4], word[5], word[6], word[7]),
                     8);
}

static void assert_line(unsigned line, const char *key, pid_t pid, const char *loop, pid_t holder)
{
    char command[16];
    cf_command(command);
    split(line);
    ck_assert_str_eq(word[0], key);
    ck_assert_int_eq(atol(word[1]), pid);
    ck_assert_int_eq(atol(word[2]), pid);
    ck_assert_str_eq(word[3], command);
    ck_assert_ptr_nonnull(strchr(word[4], '.'));
    ck_assert_int_eq(word[4][strlen(word[4]) - 1], 's');
    ck_assert_str_eq(word[5], loop);
    ck_assert_int_eq(atol(word[6]), holder);
    ck_assert_str_eq(word[7], command);
}

START_TEST(table_has_a_line_for_each_who_waits_by_key_and_as_they_came)
{
    assert_ok(take("b", CACHIFY_NEVER, &lease));
    assert_ok(take("a", CACHIFY_NEVER, &second));
    struct agent *first = agent_in_line("b"), *other = agent_in_line("a");
    struct agent *next = agent_in_line("b");
    RUN_HERE("--waiters-list", "--noheadings");
    ck_assert_uint_eq(ran.lines, 3);
    assert_line(0, "a", other->pid, "no", getpid());
    assert_line(1, "b", first->pid, "no", getpid());
    assert_line(2, "b", next->pid, "no", first->pid);
}
END_TEST

START_TEST(table_says_who_is_an_event_loop)
{
    cachify_async_t *async;
    cachify_lock_t lock = {.key = "job", .wait = true};
    struct agent *agent = agent_start();
    assert_ok(agent_take(agent, "job", CACHIFY_NEVER).status);
    assert_ok(cachify_acquire_start(here.cachify, &lock, &async));
    RUN_HERE("-Wn");
    ck_assert_uint_eq(ran.lines, 1);
    assert_line(0, "job", getpid(), "yes", agent->pid);
    assert_ok(cachify_async_cancel(async));
}
END_TEST

START_TEST(table_of_nobody_is_its_headings)
{
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    RUN_HERE("-W");
    ck_assert_str_eq(ran.out, "KEY PID THREAD COMMAND WAITED LOOP HOLDER HOLDER-COMMAND\n");
    RUN_HERE("-W", "-n");
    ck_assert_str_eq(ran.out, "");
}
END_TEST

START_TEST(table_is_aligned_under_its_headings)
{
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    assert_ok(take("a-job-with-a-longer-name", CACHIFY_NEVER, &second));
    agent_in_line("job");
    agent_in_line("a-job-with-a-longer-name");
    RUN_HERE("-W");
    ck_assert_uint_eq(ran.lines, 3);
    for (const char *heading = "COMMAND\0LOOP\0HOLDER-COMMAND\0"; *heading != '\0';
         heading += strlen(heading) + 1) {
        const char *at = strstr(ran.line[0], heading);
        ck_assert_ptr_nonnull(at);
        for (unsigned i = 0; i < 3; i++) {
            ck_assert_int_eq(ran.line[i][at - ran.line[0] - 1], ' ');
            ck_assert_int_ne(ran.line[i][at - ran.line[0]], ' ');
        }
    }
}
END_TEST

START_TEST(table_lets_nothing_at_the_terminal)
{
    const char *key = "\x1b[2J\n\xff\x7f\\x41\xe2\x80\xae";
    assert_ok(take(key, CACHIFY_NEVER, &lease));
    agent_in_line(key);
    RUN_HERE("-nW");
    ck_assert_uint_eq(ran.lines, 1);
    split(0);
    ck_assert_str_eq(word[0], "\\x1b[2J\\x0a\\xff\\x7f\\x5cx41\\xe2\\x80\\xae");
}
END_TEST

/* ---- JSON ---- */

static void assert_number(const char *object, const char *name, int64_t number)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)number);
    assert_member(object, name, text);
}

START_TEST(json_has_typed_fields)
{
    char command[16], quoted[20];
    size_t len;
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    struct agent *first = agent_in_line("job"), *next = agent_in_line("job");
    cf_command(command);
    snprintf(quoted, sizeof quoted, "\"%s\"", command);
    RUN_HERE("--waiters-list", "--json");
    assert_json();
    ck_assert_ptr_null(json_member(ran.out, "locks", &len));
    for (unsigned i = 0; i < 2; i++) {
        const char *object = object_in(3 + i);
        pid_t pid = i == 0 ? first->pid : next->pid;
        assert_member(object, "key", "\"job\"");
        assert_number(object, "pid", pid);
        assert_number(object, "thread", pid);
        assert_member(object, "command", quoted);
        assert_member(object, "event_loop", "false");
        assert_number(object, "holder_pid", i == 0 ? getpid() : first->pid);
        assert_member(object, "holder_command", quoted);
        const char *waited = json_member(object, "waited_ms", &len);
        ck_assert_ptr_nonnull(waited);
        ck_assert_int_gt(atol(waited), 0);
        ck_assert_int_lt(atol(waited), LONG_MS);
    }
}
END_TEST

START_TEST(json_says_who_is_an_event_loop)
{
    cachify_async_t *async;
    cachify_lock_t lock = {.key = "job", .wait = true};
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    assert_ok(cachify_acquire_start(here.cachify, &lock, &async));
    RUN_HERE("-WJ");
    assert_json();
    assert_member(object_in(3), "event_loop", "true");
    assert_ok(cachify_async_cancel(async));
    RUN_HERE("-WJ");
    assert_json();
    assert_member(ran.out, "waiters", "[]");
}
END_TEST

START_TEST(json_is_valid_for_any_bytes_and_says_them_exactly)
{
    uint64_t state = seed();
    for (unsigned i = rounds(6); i > 0; i--) {
        char key[64];
        size_t len = 1 + chance(&state) % 63;
        for (size_t at = 0; at < len; at++)
            key[at] = (char)(1 + (int)(chance(&state) % 255));
        key[len] = '\0';
        assert_ok(take(key, CACHIFY_NEVER, &lease));
        struct agent *agent = agent_in_line(key);
        RUN_HERE("-JW");
        assert_json();
        assert_bytes(object_in(3), "key", key, len);
        agent_kill(agent);
        assert_ok(cachify_release(&lease));
    }
}
END_TEST

/* ---- What is not known ---- */

START_TEST(what_is_not_known_is_a_dash_and_null)
{
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    struct cf_waiter *w = agent_waiter(agent_in_line("job"));
    cf_store_relaxed(&w->hash, hash_of("a key that nobody holds"));
    cf_store_relaxed(&w->awaited, 0);
    RUN_HERE("-Wn");
    split(0);
    ck_assert_str_eq(word[0], "-");
    ck_assert_str_eq(word[6], "-");
    ck_assert_str_eq(word[7], "-");
    RUN_HERE("-WJ");
    assert_json();
    assert_member(object_in(3), "key", "null");
    assert_member(object_in(3), "holder_pid", "null");
    assert_member(object_in(3), "holder_command", "null");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("inspect, the tool on who waits");
    TCase *t = group(s, "table", setup_here, teardown_here);
    tcase_add_test(t, table_has_a_line_for_each_who_waits_by_key_and_as_they_came);
    tcase_add_test(t, table_says_who_is_an_event_loop);
    tcase_add_test(t, table_of_nobody_is_its_headings);
    tcase_add_test(t, table_is_aligned_under_its_headings);
    tcase_add_test(t, table_lets_nothing_at_the_terminal);
    t = group(s, "JSON", setup_here, teardown_here);
    tcase_add_test(t, json_has_typed_fields);
    tcase_add_test(t, json_says_who_is_an_event_loop);
    tcase_add_test(t, json_is_valid_for_any_bytes_and_says_them_exactly);
    t = group(s, "not known", setup_here, teardown_here);
    tcase_add_test(t, what_is_not_known_is_a_dash_and_null);
    return run_suite(s);
}
