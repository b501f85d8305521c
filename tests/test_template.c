/* Key templates: what they make of arguments, and what is said of those that make nothing.  (lock-reference:
 * "@lock('my_lock_key-{arg}', nowait=True)".) */
#include <locale.h>
#include <math.h>
#include <stdlib.h>

#include "support.h"

static void nothing(const cachify_call_t *call)
{
    (void)call;
}

static const char *const names[] = {"a", "b", "_c3"};

static cachify_status_t wrap(const char *template, uint32_t count, cachify_wrapped_t **wrapped)
{
    cachify_lock_t lock = {.key = template};
    cachify_wrap_options_t options = {
        .function = nothing, .parameters = names, .parameter_count = count, .lock = &lock};
    return cachify_wrap(NULL, &options, wrapped);
}

/* The key, without its suffix, of a template with two parameters, a and b. */
static const char *filled(const char *template, cachify_arg_t a, cachify_arg_t b)
{
    static char key[4200];
    size_t len = sizeof key;
    cachify_arg_t args[] = {a, b};
    cachify_wrapped_t *wrapped;
    assert_ok(wrap(template, 2, &wrapped));
    assert_ok(cachify_wrap_key(wrapped, args, 2, key, &len));
    ck_assert_uint_eq(len, strlen(key));
    ck_assert_str_eq(key + len - 5, "-lock");
    key[len - 5] = '\0';
    assert_ok(cachify_wrap_free(wrapped));
    return key;
}

#define FILLED(template, a, b, expected) ck_assert_str_eq(filled(template, a, b), expected)

/* ---- Fields ---- */

START_TEST(fields_are_names_numbers_or_the_next)
{
    cachify_arg_t a = cachify_string("x"), b = cachify_int(7);
    FILLED("order-{a}", a, b, "order-x");
    FILLED("{b}{a}{b}", a, b, "7x7");
    FILLED("{1}-{0}", a, b, "7-x");
    FILLED("{}-{}", a, b, "x-7");
    FILLED("{}", a, b, "x");
    FILLED("{a}{1}", a, b, "x7");
    FILLED("{}{b}", a, b, "x7");
    FILLED("{01}", a, b, "7");
    FILLED("{a!s}", a, b, "x");
    FILLED("", a, b, "");
    FILLED("none", a, b, "none");
}
END_TEST

START_TEST(doubled_braces_are_braces)
{
    cachify_arg_t a = cachify_string("x"), b = cachify_int(7);
    FILLED("{{}}", a, b, "{}");
    FILLED("{{a}}", a, b, "{a}");
    FILLED("{{{a}}}", a, b, "{x}");
    FILLED("}}{{", a, b, "}{");
    FILLED("{a}{{", cachify_string("{b}}"), b, "{b}}{");
}
END_TEST

struct bad {
    const char *template;
    const char *field; /* as the message names it */
};

START_TEST(a_field_that_no_argument_fills_is_refused_with_template_field_and_parameters)
{
    static const struct bad bad[] = {
        {"k-{x}", "{x}"},
        {"{aa}", "{aa}"},
        {"{2}", "{2}"},
        {"{}{}{}", "{}"},
        {"{ a}", "{ a}"},
        {"{A}", "{A}"},
        {"{-1}", "{-1}"},
        {"{1x}", "{1x}"},
        {"{a.b}", "{a.b}"},
        {"{a[0]}", "{a[0]}"},
        {"{a:>5}", "{a:>5}"},
        {"{a!x}", "{a!x}"},
        {"{a!}", "{a!}"},
        {"{a!rr}", "{a!rr}"},
        {"{}{0}", "{0}"},
        {"{0}{}", "{}"},
        {"{a!r:3}", "{a!r:3}"},
        {"{99999999999999999999}", "{99999999999999999999}"},
        {"{4294967296}", "{4294967296}"},
    };
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cachify_wrapped_t *wrapped = NULL;
        assert_status(wrap(bad[i].template, 2, &wrapped), CACHIFY_INVALID);
        ck_assert_ptr_null(wrapped);
        assert_says(bad[i].template);
        assert_says(bad[i].field);
        assert_says("(a, b)");
    }
    cachify_wrapped_t *wrapped;
    assert_status(wrap("{}", 0, &wrapped), CACHIFY_INVALID);
    assert_says("parameters are ()");
}
END_TEST

START_TEST(a_stray_brace_is_refused_and_shown)
{
    static const struct bad bad[] = {
        {"k-{a", "'{' at byte 2"}, {"k}", "'}' at byte 1"},     {"{", "'{' at byte 0"},
        {"}", "'}' at byte 0"},    {"{a{b}}", "'{' at byte 0"}, {"{a}}", "'}' at byte 3"},
        {"{{a}", "'}' at byte 3"}, {"{a", "'{' at byte 0"},     {"{{{", "'{' at byte 2"},
    };
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cachify_wrapped_t *wrapped = NULL;
        assert_status(wrap(bad[i].template, 2, &wrapped), CACHIFY_INVALID);
        ck_assert_ptr_null(wrapped);
        assert_says(bad[i].template);
        assert_says(bad[i].field);
    }
}
END_TEST

/* ---- Values, as Python 3 writes them ---- */

START_TEST(numbers_are_written_as_python_writes_them)
{
    cachify_arg_t none = cachify_bool(false);
    FILLED("{a}", cachify_int(INT64_MIN), none, "-9223372036854775808");
    FILLED("{a}", cachify_int(INT64_MAX), none, "9223372036854775807");
    FILLED("{a}", cachify_int(0), none, "0");
    FILLED("{a}", cachify_uint(UINT64_MAX), none, "18446744073709551615");
    FILLED("{a}{b}", cachify_bool(true), none, "TrueFalse");
    FILLED("{a!r}{b!r}", cachify_int(1), cachify_bool(true), "1True");
}
END_TEST

START_TEST(doubles_are_written_as_python_writes_them)
{
    static const struct {
        double d;
        const char *text;
    } doubles[] = {
        {0.1, "0.1"},
        {1, "1.0"},
        {-0.0, "-0.0"},
        {0, "0.0"},
        {100, "100.0"},
        {2.5, "2.5"},
        {1.0 / 3, "0.3333333333333333"},
        {2.0 / 3, "0.6666666666666666"},
        {1e15, "1000000000000000.0"},
        {1e16, "1e+16"},
        {9999999999999998.0, "9999999999999998.0"},
        {123456789012345678.0, "1.2345678901234568e+17"},
        {1e-4, "0.0001"},
        {0.00012345, "0.00012345"},
        {1e-5, "1e-05"},
        {1.5e300, "1.5e+300"},
        {-1.7976931348623157e308, "-1.7976931348623157e+308"},
        {5e-324, "5e-324"},
        {2.2250738585072014e-308, "2.2250738585072014e-308"},
        {9007199254740992.0, "9007199254740992.0"},
        {INFINITY, "inf"},
        {-INFINITY, "-inf"},
        {NAN, "nan"},
    };
    for (unsigned i = 0; i < sizeof doubles / sizeof doubles[0]; i++)
        FILLED("{a}", cachify_double(doubles[i].d), cachify_int(0), doubles[i].text);
}
END_TEST

/* Any double is read back as it was. */
START_TEST(doubles_lose_nothing)
{
    uint64_t state = seed();
    for (unsigned i = 0; i < rounds(20000); i++) {
        uint64_t bits = chance(&state);
        double d;
        memcpy(&d, &bits, sizeof d);
        if (isfinite(d))
            ck_assert_msg(strtod(filled("{a}", cachify_double(d), cachify_int(0)), NULL) == d,
                          "bits %016llx", (unsigned long long)bits);
    }
}
END_TEST

START_TEST(the_locale_changes_nothing)
{
    static const char *const locales[] = {"de_DE.UTF-8", "de_DE", "fr_FR.UTF-8", "C.UTF-8"};
    for (unsigned i = 0; i < sizeof locales / sizeof locales[0]; i++)
        if (setlocale(LC_ALL, locales[i]) != NULL)
            FILLED("{a}", cachify_double(1234.5), cachify_int(0), "1234.5");
    setlocale(LC_ALL, "C");
}
END_TEST

START_TEST(text_is_as_it_is_and_quoted_on_demand)
{
    cachify_arg_t some = {.type = CACHIFY_ARG_STRING, .len = 2, .as.s = "abc"};
    FILLED("{a}", cachify_string(""), some, "");
    FILLED("{b}", cachify_string(""), some, "ab");
    FILLED("{a!r}{b!r}", cachify_string(""), some, "'''ab'");
    FILLED("{a}", cachify_string("a\n\x7f\xc3\xa9"), some, "a\n\x7f\xc3\xa9");
    FILLED("{a!r}", cachify_string("a\n\r\t\x01\x7f\xc3\xa9\\"), some,
           "'a\\n\\r\\t\\x01\\x7f\xc3\xa9\\\\'");
    FILLED("{a!r}", cachify_string("it's"), some, "\"it's\"");
    FILLED("{a!r}", cachify_string("\"so\""), some, "'\"so\"'");
    FILLED("{a!r}", cachify_string("it's \"so\""), some, "'it\\'s \"so\"'");
}
END_TEST

/* Of text alone, two lists of arguments may have one key; quoted, never. */
START_TEST(quoted_no_two_lists_of_arguments_have_one_key)
{
    cachify_arg_t x = cachify_string("x"), yz = cachify_string("y-z");
    cachify_arg_t xy = cachify_string("x-y"), z = cachify_string("z");
    char first[64];
    snprintf(first, sizeof first, "%s", filled("{a}-{b}", x, yz));
    FILLED("{a}-{b}", xy, z, first); /* as is documented */
    static const char *const texts[] = {"",    "'",  "\"",  "-",  "'-'", "\\",   "\\'",  "1",
                                        "'1'", "\n", "\\n", "1-", "-1",  "True", "a'-'b"};
    enum { N = sizeof texts / sizeof texts[0], M = N + 2 };
    static char keys[M * M][80];
    cachify_arg_t args[M];
    unsigned n = 0;
    for (unsigned i = 0; i < N; i++)
        args[i] = cachify_string(texts[i]);
    args[N] = cachify_int(1);
    args[N + 1] = cachify_bool(true);
    for (unsigned i = 0; i < M; i++)
        for (unsigned k = 0; k < M; k++)
            snprintf(keys[n++], sizeof keys[0], "%s", filled("{a!r}-{b!r}", args[i], args[k]));
    for (unsigned i = 0; i < n; i++)
        for (unsigned k = 0; k < i; k++)
            ck_assert_str_ne(keys[i], keys[k]);
}
END_TEST

/* ---- Arguments that cannot be right ---- */

START_TEST(arguments_that_are_too_few_or_too_many_are_refused)
{
    cachify_wrapped_t *wrapped;
    char key[64] = "as it was";
    size_t len = sizeof key;
    cachify_arg_t args[] = {cachify_int(1), cachify_int(2), cachify_int(3)};
    assert_ok(wrap("k-{b}", 2, &wrapped));
    for (uint32_t count = 0; count < 4; count++) {
        if (count == 2)
            continue;
        assert_status(cachify_wrap_key(wrapped, args, count, key, &len), CACHIFY_INVALID);
        assert_says("k-{b}");
        assert_says("expected 2, for (a, b)");
    }
    assert_status(cachify_wrap_key(wrapped, NULL, 2, key, &len), CACHIFY_INVALID);
    ck_assert_str_eq(key, "as it was");
    ck_assert_uint_eq(len, sizeof key);
    assert_ok(cachify_wrap_free(wrapped));
}
END_TEST

/* Even those that no field shows: they are the function's. */
START_TEST(arguments_that_are_not_what_their_type_says_are_refused)
{
    cachify_wrapped_t *wrapped;
    char key[64];
    size_t len = sizeof key;
    cachify_arg_t bad[] = {{.type = 0},
                           {.type = 6},
                           {.type = CACHIFY_ARG_STRING, .as.s = NULL},
                           {.type = CACHIFY_ARG_STRING, .len = 3, .as.s = "a\0b"}};
    const char *said[] = {"type 0", "type 6", "NULL string", "NUL byte at 1 of 3"};
    assert_ok(wrap("k-{a}", 2, &wrapped));
    for (unsigned i = 0; i < 4; i++) {
        cachify_arg_t args[] = {cachify_int(1), bad[i]};
        assert_status(cachify_wrap_key(wrapped, args, 2, key, &len), CACHIFY_INVALID);
        assert_says(said[i]);
        assert_says("argument b");
        assert_says("k-{a}");
    }
    assert_ok(cachify_wrap_free(wrapped));
}
END_TEST

START_TEST(a_key_of_more_than_4096_bytes_is_too_long)
{
    static char text[4200], key[4200];
    cachify_wrapped_t *wrapped;
    memset(text, 'x', sizeof text);
    assert_ok(wrap("{a}{b}", 2, &wrapped));
    for (uint32_t n = 4085; n < 4095; n++) {
        cachify_arg_t args[] = {{.type = CACHIFY_ARG_STRING, .len = n, .as.s = text},
                                cachify_int(1)};
        size_t len = sizeof key;
        cachify_status_t status = cachify_wrap_key(wrapped, args, 2, key, &len);
        ck_assert_int_eq(status, n + 6 <= 4096 ? CACHIFY_OK : CACHIFY_KEY_TOO_LONG);
        if (status == CACHIFY_OK)
            ck_assert_uint_eq(len, n + 6);
        else
            assert_says("{a}{b}");
    }
    assert_ok(cachify_wrap_free(wrapped));
}
END_TEST

START_TEST(key_says_how_much_room_it_needs_and_touches_nothing)
{
    cachify_wrapped_t *wrapped;
    cachify_arg_t a = cachify_int(17);
    char key[16] = "as it was";
    assert_ok(wrap("k-{a}", 1, &wrapped));
    for (size_t room = 0; room < 12; room++) {
        size_t len = room;
        cachify_status_t status = cachify_wrap_key(wrapped, &a, 1, key, &len);
        ck_assert_int_eq(status, room < 10 ? CACHIFY_INVALID : CACHIFY_OK);
        ck_assert_str_eq(key, room < 10 ? "as it was" : "k-17-lock");
        ck_assert_uint_eq(len, room < 10 ? room : 9);
    }
    assert_status(cachify_wrap_key(wrapped, &a, 1, NULL, &(size_t){5}), CACHIFY_INVALID);
    assert_status(cachify_wrap_key(wrapped, &a, 1, key, NULL), CACHIFY_INVALID);
    assert_status(cachify_wrap_key(NULL, &a, 1, key, &(size_t){5}), CACHIFY_INVALID);
    assert_ok(cachify_wrap_free(wrapped));
}
END_TEST

/* Whatever the bytes of a template: an answer. */
START_TEST(any_template_is_taken_or_refused)
{
    static const char alphabet[] = "{}{}{}ab_0129!rs:. ";
    uint64_t state = seed();
    for (unsigned i = 0; i < rounds(50000); i++) {
        char template[16];
        size_t n = chance(&state) % (sizeof template - 1);
        for (size_t k = 0; k < n; k++)
            template[k] = alphabet[chance(&state) % (sizeof alphabet - 1)];
        template[n] = '\0';
        cachify_wrapped_t *wrapped;
        cachify_status_t status = wrap(template, 2, &wrapped);
        if (status == CACHIFY_OK) {
            char key[200];
            size_t len = sizeof key;
            cachify_arg_t args[] = {cachify_int(1), cachify_string("two")};
            assert_ok(cachify_wrap_key(wrapped, args, 2, key, &len));
            assert_ok(cachify_wrap_free(wrapped));
        } else {
            ck_assert_int_eq(status, CACHIFY_INVALID);
        }
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("template");
    TCase *t = group(s, "fields", NULL, NULL);
    tcase_add_test(t, fields_are_names_numbers_or_the_next);
    tcase_add_test(t, doubled_braces_are_braces);
    tcase_add_test(t, a_field_that_no_argument_fills_is_refused_with_template_field_and_parameters);
    tcase_add_test(t, a_stray_brace_is_refused_and_shown);
    tcase_add_test(t, any_template_is_taken_or_refused);
    t = group(s, "values", NULL, NULL);
    tcase_add_test(t, numbers_are_written_as_python_writes_them);
    tcase_add_test(t, doubles_are_written_as_python_writes_them);
    tcase_add_test(t, doubles_lose_nothing);
    tcase_add_test(t, the_locale_changes_nothing);
    tcase_add_test(t, text_is_as_it_is_and_quoted_on_demand);
    tcase_add_test(t, quoted_no_two_lists_of_arguments_have_one_key);
    t = group(s, "arguments", NULL, NULL);
    tcase_add_test(t, arguments_that_are_too_few_or_too_many_are_refused);
    tcase_add_test(t, arguments_that_are_not_what_their_type_says_are_refused);
    tcase_add_test(t, a_key_of_more_than_4096_bytes_is_too_long);
    tcase_add_test(t, key_says_how_much_room_it_needs_and_touches_nothing);
    return run_suite(s);
}
