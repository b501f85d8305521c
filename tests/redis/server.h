/* A server of the test's own: on a Unix socket in a directory of its own, gone with the test. */
#ifndef REDIS_TESTS_SERVER_H
#define REDIS_TESTS_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

#define SERVER_ARGS 16

struct server {
    char directory[64];
    char path[96];                 /* its socket */
    char url[128];                 /* unix://PATH */
    pid_t pid;                     /* 0: none */
    const char *args[SERVER_ARGS]; /* beside the usual ones; ends with NULL */
};

/* Whether there is a redis-server to be started. */
bool server_is_there(void);

/* Start it, with its data as there was none; returns when it answers.  False: it does not. */
bool server_start(struct server *server, const char *const *args);
bool server_restart(struct server *server); /* after a kill; empty */
void server_kill(struct server *server);
void server_stop(struct server *server); /* SIGSTOP: returns when it stands */
void server_continue(struct server *server);
/* Kill it and remove its directory. */
void server_end(struct server *server);

/* One command, by a connection of its own; its answer as text (an integer's digits, "" for nil, an
 * error's words, elements with blanks between), valid until the next; NULL: no answer. */
const char *server_ask(const struct server *server, const char *format, ...);

#endif
