/* cachify-shm-inspect --prometheus: what it says, and that it is the text format 0.0.4. */
#include <ctype.h>
#include <stdlib.h>
#include <unistd.h>

#include "../tools/text.h"
#include "agent.h"
#include "tool.h"

static cachify_lease_t lease, second;

/* ---- A checker of the format ---- */

#define SERIES 4000

/* What one metric has shown so far: its samples lie together, behind one HELP and one TYPE. */
struct exposition {
    char name[64];      /* of the metric under way */
    char names[64][64]; /* of those before, and this one */
    unsigned metrics;
    bool typed;
    char (*series)[512]; /* names with labels */
    unsigned samples;
};

static bool is_name(const char *from, size_t len, bool metric)
{
    for (size_t i = 0; i < len; i++) {
        bool letter = isalpha((unsigned char)from[i]) || from[i] == '_';
        bool good =
            letter || (metric && from[i] == ':') || (i > 0 && isdigit((unsigned char)from[i]));
        if (!good)
            return false;
    }
    return len > 0;
}

/* Behind the label's value, whose quote is at `at`; NULL: it is none. */
static const char *label_value(const char *at)
{
    if (*at != '"')
        return NULL;
    for (at++; *at != '"'; at++) {
        if (*at == '\0')
            return NULL;
        if (*at == '\\' && strchr("\\\"n", *++at) == NULL)
            return NULL;
    }
    return at + 1;
}

/* Behind the closing brace; NULL: they are none, or one name comes twice. */
static const char *labels(const char *at)
{
    char names[8][32];
    unsigned count = 0;
    while (*at != '}') {
        size_t len = strcspn(at, "=");
        if (!is_name(at, len, false) || strncmp(at, "__", 2) == 0 || len >= 32 || count == 8)
            return NULL;
        memcpy(names[count], at, len);
        names[count][len] = '\0';
        for (unsigned i = 0; i < count; i++)
            if (strcmp(names[i], names[count]) == 0)
                return NULL;
        count++;
        at = at[len] == '=' ? label_value(at + len + 1) : NULL;
        if (at == NULL)
            return NULL;
        at += *at == ',';
    }
    return at + 1;
}

static const char *bad_sample(struct exposition *e, const char *line)
{
    char *end;
    size_t len = strcspn(line, "{ ");
    const char *at = line + len;
    if (!is_name(line, len, true))
        return "no metric's name";
    if (strlen(e->name) != len || memcmp(e->name, line, len) != 0 || !e->typed)
        return "a sample away from its metric's TYPE";
    if (*at == '{' && (at = labels(at + 1)) == NULL)
        return "bad labels";
    if (*at != ' ')
        return "no blank before the value";
    for (unsigned i = 0; i < e->samples; i++)
        if (strlen(e->series[i]) == (size_t)(at - line) &&
            memcmp(e->series[i], line, (size_t)(at - line)) == 0)
            return "a series twice";
    ck_assert_uint_lt(e->samples, SERIES);
    snprintf(e->series[e->samples++], 512, "%.*s", (int)(at - line), line);
    if (strcmp(at + 1, "+Inf") == 0 || strcmp(at + 1, "-Inf") == 0 || strcmp(at + 1, "NaN") == 0)
        return NULL;
    strtod(at + 1, &end);
    return end == at + 1 || *end != '\0' ? "no number, or more behind it" : NULL;
}

static const char *bad_head(struct exposition *e, const char *line)
{
    char kind[8], name[64], type[16];
    if (sscanf(line, "# %7s %63s %15s", kind, name, type) != 3)
        return "a comment that is neither HELP nor TYPE";
    if (strcmp(kind, "HELP") == 0) {
        for (unsigned i = 0; i < e->metrics; i++)
            if (strcmp(e->names[i], name) == 0)
                return "a metric twice";
        ck_assert_uint_lt(e->metrics, 64);
        snprintf(e->names[e->metrics++], 64, "%s", name);
        snprintf(e->name, sizeof e->name, "%s", name);
        e->typed = false;
        return NULL;
    }
    if (strcmp(kind, "TYPE") != 0 || strcmp(name, e->name) != 0 || e->typed)
        return "a TYPE that does not follow its HELP";
    e->typed = true;
    return strcmp(type, "gauge") == 0 || strcmp(type, "counter") == 0 ? NULL : "an unknown type";
}

/* What is wrong in a text, and in which line; NULL: nothing. */
static const char *bad_exposition(const char *text, unsigned *line)
{
    struct exposition e = {.series = calloc(SERIES, sizeof *e.series)};
    const char *bad = NULL;
    ck_assert_ptr_nonnull(e.series);
    if (!utf8_valid(text, strlen(text)))
        bad = "no UTF-8";
    else if (text[0] != '\0' && text[strlen(text) - 1] != '\n')
        bad = "no end of the last line";
    *line = 0;
    for (const char *at = text; bad == NULL && *at != '\0'; ++*line) {
        size_t len = strcspn(at, "\n");
        char *copy = strndup(at, len);
        bad = copy[0] == '#' ? bad_head(&e, copy) : bad_sample(&e, copy);
        free(copy);
        at += len + 1;
    }
    free(e.series);
    return bad;
}

static void assert_exposition(void)
{
    unsigned line;
    const char *bad = bad_exposition(ran.out, &line);
    ck_assert_msg(bad == NULL, "%s in line %u of: %s", bad, line, ran.out);
}

START_TEST(the_checker_tells_good_from_bad)
{
    unsigned line;
#define HEAD "# HELP a_b what\n# TYPE a_b gauge\n"
    const char *const good[] = {"", HEAD, HEAD "a_b 1\n",
                                HEAD "a_b{x=\"1\",y=\"\\\\ \\\" \\n\"} 0.5\na_b{x=\"2\"} +Inf\n",
                                HEAD "# HELP c d\n# TYPE c counter\nc 1e9\n"};
    const char *const bad[] = {"a_b 1\n",
                               HEAD "a_b 1",
                               HEAD "a_b\n",
                               HEAD "a_b x\n",
                               HEAD "a_b{x=1} 1\n",
                               HEAD "a_b{x=\"\\q\"} 1\n",
                               HEAD "a_b{x=\"1\",x=\"2\"} 1\n",
                               HEAD "a_b 1\na_b 2\n",
                               HEAD "1ab 1\n",
                               HEAD HEAD,
                               HEAD "a_b{x=\"\xff\"} 1\n",
                               "# TYPE a_b gauge\n",
                               HEAD "a_b{x=\"1\" 1\n",
                               HEAD "# HELP c d\n# TYPE c gauge\na_b 1\n",
                               HEAD "a_b{1x=\"\"} 1\n"};
    for (unsigned i = 0; i < sizeof good / sizeof good[0]; i++)
        ck_assert_msg(bad_exposition(good[i], &line) == NULL, "good %u is bad", i);
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(bad_exposition(bad[i], &line) != NULL, "bad %u is good", i);
}
END_TEST

/* ---- What it says ---- */

static void assert_sample(const char *metric, const char *more_labels, const char *value)
{
    char expected[PATH_ROOM + 256];
    snprintf(expected, sizeof expected, "\n%s{segment=\"%s\"%s} %s\n", metric, here.path,
             more_labels, value);
    ck_assert_msg(strstr(ran.out, expected) != NULL, "%s is not in: %s", expected, ran.out);
}

START_TEST(counters_have_the_segment_as_their_only_label)
{
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    agent_in_line("job");
    RUN_HERE("--prometheus");
    assert_exposition();
    assert_sample("cachify_locks_held", "", "1");
    assert_sample("cachify_waiters", "", "1");
    assert_sample("cachify_processes", "", "2");
    assert_sample("cachify_locks_max", "", "64");
    ck_assert_ptr_nonnull(strstr(ran.out, "\ncachify_longest_held_seconds{"));
    ck_assert_ptr_nonnull(strstr(ran.out, "\ncachify_size_bytes{"));
    ck_assert_ptr_null(strstr(ran.out, "key="));
    ck_assert_ptr_null(strstr(ran.out, "pid="));
}
END_TEST

START_TEST(of_each_lock_only_if_asked_for)
{
    assert_ok(take("job", CACHIFY_NEVER, &lease));
    assert_ok(take("other", 60000, &second));
    agent_in_line("job");
    RUN_HERE("--prometheus", "--per-key");
    assert_exposition();
    assert_sample("cachify_lock_waiters", ",key=\"job\",state=\"held\"", "1");
    assert_sample("cachify_lock_left_seconds", ",key=\"job\",state=\"held\"", "+Inf");
    assert_sample("cachify_lock_waiters", ",key=\"other\",state=\"held\"", "0");
    RUN_HERE("--prometheus", "--per-key", "--key", "o*");
    assert_exposition();
    ck_assert_ptr_null(strstr(ran.out, "key=\"job\""));
}
END_TEST

START_TEST(labels_are_good_for_any_key)
{
    uint64_t state = seed();
    for (unsigned i = rounds(20); i > 0; i--) {
        char key[64];
        size_t len = 1 + chance(&state) % 63;
        const char few[] = "a\"\\\n{}=,#\xc3\xa9 \x7f";
        for (size_t at = 0; at < len; at++)
            key[at] = (char)(i % 2 != 0 ? 1 + (int)(chance(&state) % 255)
                                        : few[chance(&state) % (sizeof few - 1)]);
        key[len] = '\0';
        assert_ok(take(key, CACHIFY_NEVER, &lease));
        RUN_HERE("--prometheus", "--per-key");
        assert_exposition();
        assert_ok(cachify_release(&lease));
    }
}
END_TEST

START_TEST(all_segments_are_one_exposition)
{
    char other[PATH_ROOM];
    cachify_config_t config = here.config;
    cachify_t *more;
    new_path(other);
    config.path = other;
    assert_ok(cachify_open(&config, &more));
    RUN("--all", "--prometheus");
    ck_assert_int_eq(ran.status, 0);
    assert_sample("cachify_locks_held", "", "0");
    assert_exposition();
    ck_assert_ptr_nonnull(strstr(ran.out, other));
    assert_ok(cachify_close(more));
    unlink(other);
}
END_TEST

START_TEST(wrong_calls_are_64)
{
    RUN("--per-key");
    assert_fails(64, "--per-key is given; expected --prometheus with it");
    RUN("--prometheus", "--stats");
    assert_fails(64, "--prometheus has a form of its own");
    RUN("--prometheus", "--key", "a");
    assert_fails(64, "expected --per-key with what chooses locks");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("inspect, the tool's metrics");
    TCase *t = group(s, "checker", NULL, NULL);
    tcase_add_test(t, the_checker_tells_good_from_bad);
    t = group(s, "metrics", setup_here, teardown_here);
    tcase_add_test(t, counters_have_the_segment_as_their_only_label);
    tcase_add_test(t, of_each_lock_only_if_asked_for);
    tcase_add_test(t, labels_are_good_for_any_key);
    tcase_add_test(t, all_segments_are_one_exposition);
    tcase_add_test(t, wrong_calls_are_64);
    return run_suite(s);
}
