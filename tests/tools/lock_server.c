#include "lock_server.h"

#include <stdlib.h>

struct server server;

void setup_server(void)
{
    unsetenv("CACHIFY_CLIENT");
    ck_assert(server_start(&server, NULL));
}

void teardown_server(void)
{
    server_continue(&server);
    lock_teardown();
    server_end(&server);
}

int run_server_suite(Suite *suite)
{
    if (server_is_there())
        return run_suite(suite);
    printf("skipped: there is no redis-server (Debian: redis-server)\n"
           "100%%: Checks: 1, Failures: 0, Errors: 0\n");
    return EXIT_SUCCESS;
}

const char *server_answer(const char *answer)
{
    ck_assert_msg(answer != NULL, "the server does not answer");
    return answer;
}

bool server_has(const char *key)
{
    return strcmp(SERVER("EXISTS %s", key), "1") == 0;
}

int64_t server_left(const char *key)
{
    return atoll(SERVER("PTTL %s", key));
}

const char *server_who(const char *key, const char *name)
{
    LOCK_ON_SERVER("--who", (char *)key);
    ck_assert_str_eq(ran.error, "");
    size_t len = strlen(name);
    for (char *at = ran.out, *end; (end = strchr(at, '\n')) != NULL; at = end + 1) {
        *end = '\0';
        if (strncmp(at, name, len) == 0 && at[len] == '=')
            return at + len + 1;
    }
    return "";
}

pid_t command_of(struct started *s)
{
    pid_t pid = (pid_t)atol(lock_line(s));
    ck_assert_int_gt(pid, 1);
    return pid;
}
