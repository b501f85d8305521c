/* cachify-lock --client: what is said before any server is asked. */
#include <stdlib.h>
#include <unistd.h>

#include "../../tools/client.h"
#include "../lock_tool.h"

static void setup(void)
{
    unsetenv("CACHIFY_CLIENT");
    setup_here();
}

static void teardown(void)
{
    lock_teardown();
    teardown_here();
}

/* With no option that names a segment. */
#define PLAIN(...) lock_end(lock_begin((char *[]){"cachify-lock", __VA_ARGS__, NULL}))

START_TEST(a_segment_and_a_server_are_one_too_many)
{
    PLAIN("k", "--client", "redis://me:secret@host", "--path", here.path, "true");
    assert_ran(64, "", "both --client, a server, and --path ");
    ck_assert_ptr_null(strstr(ran.error, "secret"));
    PLAIN("k", "--name", "x", "--client", "redis://host", "--who");
    assert_ran(64, "", "and --name x, a segment, are given; expected one of them");
}
END_TEST

START_TEST(an_option_comes_before_the_environment)
{
    setenv("CACHIFY_CLIENT", "unix:///no/such/socket", 1);
    LOCK("k", SHELL("echo \"$CACHIFY_SEGMENT $CACHIFY_CLIENT\""));
    ck_assert_int_eq(ran.status, 0);
    ck_assert_ptr_nonnull(strstr(ran.out, here.path));
    ck_assert_ptr_nonnull(strstr(ran.out, "unix:///no/such/socket")); /* it was inherited */
    PLAIN("--who", "cachify-test-no-such-key");
    ck_assert_int_eq(ran.status, 69);
    PLAIN("--who", "--client", "", "cachify-test-no-such-key"); /* none: the user's own segment */
    assert_ran(1, "", "");
    setenv("CACHIFY_CLIENT", "", 1);
    PLAIN("--is-locked", "cachify-test-no-such-key");
    assert_ran(1, "", "");
}
END_TEST

START_TEST(what_is_no_client_is_said)
{
    PLAIN("k", "--client", "unix:///no/such/socket", "--", "true");
#ifdef WITH_REDIS
    assert_ran(69, "", "cannot connect to the server at /no/such/socket");
    PLAIN("k", "--client", "http://host/", "true");
    assert_ran(64, "", "expected redis://, rediss:// or unix://");
    PLAIN("k", "--client", "redis://me:sec@ret@host/", "true");
    ck_assert_int_ne(ran.status, 0);
    ck_assert_ptr_null(strstr(ran.error, "ret"));
    PLAIN("k", "--client", "redis://host/", "--exp", "0.5", "true");
    assert_ran(64, "", "expected 1000ms or more on a server");
#else
    assert_ran(69, "", "this build has no Redis client; install hiredis");
    ck_assert_ptr_nonnull(strstr(ran.error, "./configure --with-redis"));
    PLAIN("k", "--client", "redis://host", "--release");
    assert_ran(69, "", "this build has no Redis client");
#endif
}
END_TEST

/* ---- What of a URL may be shown ---- */

static const struct {
    const char *url;
    const char *shown;
} urls[] = {
    {"redis://host", "redis://host"},
    {"redis://:secret@host:6380/2", "redis://host:6380/2"},
    {"rediss://me:secret@host/?db=2&x=secret", "rediss://host/"},
    {"redis://me:a@secret@host", "redis://host"},
    {"unix://:secret@/run/s?db=1", "unix:///run/s"},
    {"unix:///run/s", "unix:///run/s"},
    {"me:secret@host", "host"},
    {"redis://host/#secret", "redis://host/"},
    {"", ""},
};

START_TEST(no_password_is_shown)
{
    char shown[64];
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        client_show(shown, sizeof shown, urls[i].url);
        ck_assert_str_eq(shown, urls[i].shown);
    }
    client_show(shown, 8, "redis://host");
    ck_assert_str_eq(shown, "redis:/");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("lock, the tool: a client");
    TCase *t = group(s, "client", setup, teardown);
    tcase_add_test(t, a_segment_and_a_server_are_one_too_many);
    tcase_add_test(t, an_option_comes_before_the_environment);
    tcase_add_test(t, what_is_no_client_is_said);
    tcase_add_test(t, no_password_is_shown);
    return run_suite(s);
}
