/* cachify-lock on a server of the test's own. */
#ifndef CF_TESTS_LOCK_SERVER_H
#define CF_TESTS_LOCK_SERVER_H

#include "../lock_tool.h"
#include "../redis/server.h"

extern struct server server;

void setup_server(void);
void teardown_server(void);

/* Runs the suite, or says that there is no server to start.  What main returns. */
int run_server_suite(Suite *suite);

/* Its answer, which has to come; valid until the next. */
#define SERVER(...) server_answer(server_ask(&server, __VA_ARGS__))
const char *server_answer(const char *answer);

/* Whether there is a value under the key; how long it is there, in ms. */
bool server_has(const char *key);
int64_t server_left(const char *key);

#define SERVER_ARGUMENTS(...)                                                                      \
    (char *[])                                                                                     \
    {                                                                                              \
        "cachify-lock", "--client", server.url, "--prefix", "", __VA_ARGS__, NULL                  \
    }
#define BEGIN_ON_SERVER(...) lock_begin(SERVER_ARGUMENTS(__VA_ARGS__))
#define LOCK_ON_SERVER(...) lock_end(BEGIN_ON_SERVER(__VA_ARGS__))

/* What --who says behind this name and "="; "" if it does not. */
const char *server_who(const char *key, const char *name);

/* The first line of a command's output: its process. */
pid_t command_of(struct started *s);

#endif
