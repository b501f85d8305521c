/* The manuals of cachify-shm-inspect: their schema holds for what it prints, their examples run,
 * and the completion knows the same options. */
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"
#include "json.h"
#include "tool.h"

static cachify_lease_t lease, second;

static char manual[TOOL_ROOM];

/* ---- The schema ---- */

/* A line of a table in cachify-json(5). */
struct field {
    char name[32];
    char type[24];
};
static struct field fields[32];
static unsigned field_count;

/* The table under a heading of its own. */
static void read_schema(const char *heading)
{
    char wanted[64], line[128];
    snprintf(wanted, sizeof wanted, "\n.Ss %s\n.Bd -literal\n", heading);
    const char *at = strstr(manual, wanted);
    ck_assert_msg(at != NULL, "no table of %s in the manual", heading);
    at += strlen(wanted);
    for (field_count = 0; strncmp(at, ".Ed", 3) != 0; field_count++) {
        size_t len = strcspn(at, "\n");
        struct field *f = &fields[field_count];
        ck_assert_uint_lt(field_count, 32);
        snprintf(line, sizeof line, "%.*s", (int)len, at);
        char *type = line + strcspn(line, " ");
        type += strspn(type, " ");
        char *end = strstr(type, "  ");
        ck_assert_msg(end != NULL, "no type in: %s", line);
        *end = '\0';
        snprintf(f->type, sizeof f->type, "%s", type);
        ck_assert_int_eq(sscanf(line, "%31s", f->name), 1);
        at += len + 1;
    }
}

static bool is_number(const char *value, size_t len)
{
    return len > 0 && len <= 16 && strspn(value, "0123456789") >= len;
}

static bool is_digits(const char *value, size_t len)
{
    return len > 2 && value[0] == '"' && strspn(value + 1, "0123456789") == len - 2;
}

static bool is_word(const char *value, size_t len, const char *word)
{
    return len == strlen(word) && memcmp(value, word, len) == 0;
}

static bool is_of_type(const char *type, const char *value, size_t len)
{
    char base[24];
    sscanf(type, "%23s", base);
    if (is_word(value, len, "null"))
        return strstr(type, "or null") != NULL;
    if (strcmp(base, "string") == 0 || strcmp(base, "bytes") == 0)
        return value[0] == '"';
    if (strcmp(base, "number") == 0 || strcmp(base, "time") == 0)
        return is_number(value, len);
    if (strcmp(base, "digits") == 0)
        return is_digits(value, len);
    if (strcmp(base, "boolean") == 0)
        return is_word(value, len, "true") || is_word(value, len, "false");
    ck_assert_msg(strcmp(base, "any") == 0, "an unknown type: %s", type);
    return value[0] != '{' && value[0] != '[';
}

/* Each field of the table is there, of its type, and none besides. */
static void assert_object(const char *object)
{
    unsigned members = 0;
    size_t len;
    for (unsigned i = 0; i < field_count; i++) {
        char hex[40];
        const char *value = json_member(object, fields[i].name, &len);
        ck_assert_msg(value != NULL, "%s is not in %s", fields[i].name, object);
        ck_assert_msg(is_of_type(fields[i].type, value, len), "%s is no %s in %s", fields[i].name,
                      fields[i].type, object);
        snprintf(hex, sizeof hex, "%s_hex", fields[i].name);
        members += json_member(object, hex, &len) != NULL;
    }
    members += field_count;
    for (const char *at = object; (at = strstr(at, "\": ")) != NULL; at++)
        members--; /* no key and no note of these tests has that in it */
    ck_assert_msg(members == 0, "fields that the manual has not in %s", object);
}

static void assert_view(char *option, const char *array, unsigned least)
{
    size_t len;
    read_schema(array);
    RUN_HERE("-J", "--output-all", option);
    assert_json();
    assert_member(ran.out, "version", "1");
    ck_assert_ptr_nonnull(json_member(ran.out, "segment", &len));
    ck_assert_msg(json_member(ran.out, array, &len) != NULL, "no %s in %s", array, ran.out);
    ck_assert_uint_ge(ran.lines, 5 + least);
    for (unsigned i = 3; i + 2 < ran.lines; i++)
        assert_object(object_in(i));
}

START_TEST(the_schema_is_what_it_prints)
{
    tool_read_source("tools/cachify-json.5", manual, sizeof manual);
    struct agent *agent = agent_start();
    assert_ok(agent_take(agent, "left", CACHIFY_NEVER).status);
    assert_ok(take("job\xff", CACHIFY_NEVER, &lease));
    assert_ok(take("over", 1, &second));
    agent_in_line("job\xff");
    agent_kill(agent);
    assert_view("--notruncate", "locks", 3);
    assert_view("--waiters-list", "waiters", 1);
    assert_view("--processes", "processes", 3);
    assert_view("--stats", "stats", 10);
    assert_view("--header", "header", 10);
    RUN_HERE("-J", "--check");
    assert_json();
    assert_member(ran.out, "version", "1");
    assert_member(ran.out, "findings", "[]");
}
END_TEST

/* ---- The segment's format ---- */

START_TEST(the_header_lies_where_the_manual_says)
{
#define FIELD(name)                                                                                \
    {                                                                                              \
#name, offsetof(struct cf_header, name), sizeof(((struct cf_header *)0)->name)             \
    }
    static const struct {
        const char *name;
        size_t offset, size;
    } expected[] = {
        FIELD(magic),
        FIELD(version),
        FIELD(format),
        FIELD(size),
        FIELD(max_locks),
        FIELD(records),
        FIELD(groups),
        FIELD(processes),
        FIELD(waiters),
        FIELD(key_max),
        FIELD(value_max),
        FIELD(record_size),
        FIELD(processes_offset),
        FIELD(waiters_offset),
        FIELD(groups_offset),
        FIELD(records_offset),
        FIELD(hash_seed),
        FIELD(created_realtime_ns),
        FIELD(created_ns),
        FIELD(time_namespace),
        FIELD(boot_id),
        FIELD(checksum),
    };
    char line[64];
    tool_read_source("tools/cachify-json.5", manual, sizeof manual);
    for (unsigned i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        snprintf(line, sizeof line, "\n%6zu %6zu  %s", expected[i].offset, expected[i].size,
                 expected[i].name);
        ck_assert_msg(strstr(manual, line) != NULL, "the manual lacks:%s", line);
    }
    snprintf(line, sizeof line, "version              %u\n", CF_LAYOUT_VERSION);
    ck_assert_ptr_nonnull(strstr(manual, line));
}
END_TEST

/* ---- Examples ---- */

/* A directory with the tool under its name, which takes this test's segment for the user's own;
 * the examples run there. */
static char directory[PATH_ROOM];

static void make_directory(void)
{
    char path[PATH_ROOM + 32], real[512];
    const char *given = getenv("CACHIFY_INSPECT");
    new_directory(directory);
    ck_assert_ptr_nonnull(realpath(given != NULL ? given : "tools/cachify-shm-inspect", real));
    snprintf(path, sizeof path, "%s/cachify-shm-inspect", directory);
    FILE *file = fopen(path, "we");
    ck_assert_ptr_nonnull(file);
    fprintf(file,
            "#!/bin/sh\n"
            "case \" $* \" in *' --name '* | *' --all '*) ;; *) set -- --path %s \"$@\" ;; esac\n"
            "exec %s \"$@\"\n",
            here.path, real);
    fclose(file);
    ck_assert_int_eq(chmod(path, 0700), 0);
}

/* Its exit status; what it printed is in ran.out. */
static int run_example(const char *command, size_t len)
{
    char line[1024];
    const char *jobs = strstr(command, "--name jobs");
    ck_assert_uint_lt(len, 600);
    if (jobs != NULL && jobs < command + len)
        snprintf(line, sizeof line, "cd %s && PATH=.:$PATH && %.*s--name %s%.*s 2>&1", directory,
                 (int)(jobs - command), command, here.path + strlen("/dev/shm/"),
                 (int)(command + len - jobs - 11), jobs + 11);
    else
        snprintf(line, sizeof line, "cd %s && PATH=.:$PATH && %s%.*s 2>&1", directory,
                 memmem(command, len, " -w", 3) != NULL ? "timeout 1 " : "", (int)len, command);
    FILE *out = popen(line, "re");
    ck_assert_ptr_nonnull(out);
    ran.out[fread(ran.out, 1, sizeof ran.out - 1, out)] = '\0';
    int status = pclose(out);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Words of one line are those of another, whatever is between them. */
static bool same_words(const char *a, const char *b)
{
    for (;;) {
        a += strspn(a, " ");
        b += strspn(b, " ");
        size_t n = strcspn(a, " \n"), m = strcspn(b, " \n");
        if (n != m || memcmp(a, b, n) != 0)
            return false;
        if (n == 0)
            return true;
        a += n;
        b += n;
    }
}

START_TEST(the_examples_run)
{
    tool_read_source("tools/cachify-shm-inspect.1", manual, sizeof manual);
    make_directory();
    bool has_jq = system("command -v jq >/dev/null") == 0;
    struct agent *agent = agent_start();
    assert_ok(agent_take(agent, "left", CACHIFY_NEVER).status);
    assert_ok(take("PYC-order-17", 5000, &lease));
    agent_in_line("PYC-order-17");
    agent_kill(agent);
    unsigned run = 0;
    char *examples = strstr(manual, "\n.Sh EXAMPLES");
    ck_assert_ptr_nonnull(examples);
    *strstr(examples, "\n.Sh SEE ALSO") = '\0';
    for (const char *at = examples; (at = strstr(at, "$ cachify-shm-inspect")) != NULL;) {
        const char *command = at + 2;
        size_t len = strcspn(command, "\n");
        bool in_line = at[-1] == ' '; /* .Dl; else what it prints follows */
        at = command + len;
        if (memmem(command, len, "jq ", 3) != NULL && !has_jq)
            continue;
        int status = run_example(command, len);
        bool endless = memmem(command, len, " -w", 3) != NULL;
        ck_assert_msg(status == (endless ? 124 : 0), "%.*s: exit status %d: %s", (int)len, command,
                      status, ran.out);
        ck_assert_msg(in_line || same_words(at + 1, ran.out), "%.*s: other headings than in: %s",
                      (int)len, command, ran.out);
        run++;
    }
    ck_assert_uint_ge(run, 11);
    ck_assert(!cachify_lease_held(&lease)); /* one of them released it */
    char path[PATH_ROOM + 32];
    const char *const made[] = {"cachify-shm-inspect", "cachify.prom"};
    for (unsigned i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", directory, made[i]);
        ck_assert_int_eq(unlink(path), 0);
    }
    rmdir(directory);
}
END_TEST

/* ---- Around them ---- */

START_TEST(the_manuals_are_clean)
{
    static char names[2][512];
    const char *const files[] = {"cachify-shm-inspect.1", "cachify-json.5"};
    const char *here_at = strstr(__FILE__, "tests/test_inspect_tool_manual.c");
    char command[1400];
    if (system("command -v mandoc >/dev/null") != 0)
        SKIP("needs mandoc");
    for (unsigned i = 0; i < 2; i++)
        snprintf(names[i], sizeof names[i], "%.*stools/%s", (int)(here_at - __FILE__), __FILE__,
                 files[i]);
    /* Pages that refer to each other are not found before they are installed. */
    snprintf(command, sizeof command,
             "mandoc -Tlint %s %s 2>&1 | grep -v -e mandoc.db -e 'not found: Xr'", names[0],
             names[1]);
    FILE *out = popen(command, "re");
    ck_assert_ptr_nonnull(out);
    ran.out[fread(ran.out, 1, sizeof ran.out - 1, out)] = '\0';
    pclose(out);
    ck_assert_str_eq(ran.out, "");
}
END_TEST

START_TEST(the_completion_knows_every_option)
{
    char word[32], expected[40];
    unsigned found = 0;
    tool_read_source("tools/completion/cachify-shm-inspect", manual, sizeof manual);
    for (char *at = manual; *at != '\0'; at++)
        if (*at == '\n' || *at == '\'')
            *at = ' ';
    RUN("--help");
    for (unsigned i = 0; i < ran.lines; i++)
        for (const char *at = ran.line[i]; (at = strstr(at, " --")) != NULL; at += 3) {
            ck_assert_int_eq(sscanf(at, " --%31[a-z-]", word), 1);
            snprintf(expected, sizeof expected, " --%s ", word);
            ck_assert_msg(strstr(manual, expected) != NULL, "the completion lacks%s", expected);
            found++;
        }
    ck_assert_uint_eq(found, 32);
}
END_TEST

/* What bash would offer. */
static void complete(const char *words)
{
    char command[2048];
    const char *here_at = strstr(__FILE__, "tests/test_inspect_tool_manual.c");
    const char *given = getenv("CACHIFY_INSPECT");
    snprintf(command, sizeof command,
             "bash -c '. %.*stools/completion/cachify-shm-inspect; COMP_WORDS=(%s); "
             "COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _cachify_shm_inspect %s; "
             "echo \"${COMPREPLY[*]}\"' 2>&1",
             (int)(here_at - __FILE__), __FILE__, words,
             given != NULL ? given : "tools/cachify-shm-inspect");
    FILE *out = popen(command, "re");
    ck_assert_ptr_nonnull(out);
    ran.out[fread(ran.out, 1, sizeof ran.out - 1, out)] = '\0';
    pclose(out);
}

START_TEST(the_completion_completes)
{
    char words[PATH_ROOM + 64];
    if (system("command -v bash >/dev/null") != 0)
        SKIP("needs bash");
    complete("cachify-shm-inspect --wait");
    ck_assert_str_eq(ran.out, "--waiters --waiters-list\n");
    complete("cachify-shm-inspect --processes -o +PID,EV");
    ck_assert_str_eq(ran.out, "+PID,EVIDENCE\n");
    complete("cachify-shm-inspect --sort -HE");
    ck_assert_str_eq(ran.out, "-HELD\n");
    assert_ok(take("PYC-order-17", CACHIFY_NEVER, &lease));
    snprintf(words, sizeof words, "cachify-shm-inspect --path %s --release PYC", here.path);
    complete(words);
    ck_assert_str_eq(ran.out, "PYC-order-17\n");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("inspect, the tool's manuals");
    TCase *t = group(s, "manuals", setup_here, teardown_here);
    tcase_add_test(t, the_schema_is_what_it_prints);
    tcase_add_test(t, the_header_lies_where_the_manual_says);
    tcase_add_test(t, the_examples_run);
    tcase_add_test(t, the_manuals_are_clean);
    tcase_add_test(t, the_completion_knows_every_option);
    tcase_add_test(t, the_completion_completes);
    return run_suite(s);
}
