#include "server.h"

#include <errno.h>
#include <hiredis.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

bool server_is_there(void)
{
    return system("command -v redis-server >/dev/null 2>&1") == 0;
}

/* ---- Asking ---- */

static char answer[65536];

static void write_answer(const redisReply *reply, size_t *at)
{
    int n = 0;
    if (reply->type == REDIS_REPLY_INTEGER)
        n = snprintf(answer + *at, sizeof answer - *at, "%lld", reply->integer);
    else if (reply->str != NULL)
        n = snprintf(answer + *at, sizeof answer - *at, "%s", reply->str);
    *at += (size_t)n < sizeof answer - *at ? (size_t)n : 0;
    for (size_t i = 0; i < reply->elements; i++) {
        if (i > 0 && *at < sizeof answer - 1)
            answer[(*at)++] = ' ';
        write_answer(reply->element[i], at);
    }
    answer[*at] = '\0';
}

const char *server_ask(const struct server *server, const char *format, ...)
{
    struct timeval limit = {.tv_sec = 5};
    redisContext *c = redisConnectUnixWithTimeout(server->path, limit);
    redisReply *reply = NULL;
    size_t at = 0;
    va_list args;
    va_start(args, format);
    if (c != NULL && c->err == 0) {
        redisSetTimeout(c, limit);
        reply = redisvCommand(c, format, args);
    }
    va_end(args);
    if (reply != NULL) {
        answer[0] = '\0';
        write_answer(reply, &at);
        freeReplyObject(reply);
    }
    if (c != NULL)
        redisFree(c);
    return reply != NULL ? answer : NULL;
}

/* ---- Its life ---- */

static _Noreturn void be_server(const struct server *server, pid_t parent)
{
    const char *args[SERVER_ARGS + 16] = {
        "redis-server",
        "--port",
        "0",
        "--unixsocket",
        server->path,
        "--dir",
        server->directory,
        "--save",
        "",
        "--appendonly",
        "no",
        "--daemonize",
        "no",
    };
    unsigned n = 13;
    for (unsigned i = 0; i < SERVER_ARGS && server->args[i] != NULL; i++)
        args[n++] = server->args[i];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    char log[80];
    snprintf(log, sizeof log, "%s/log", server->directory);
    if (freopen(log, "a", stdout) == NULL || freopen("/dev/null", "r", stdin) == NULL)
        _exit(1);
    dup2(1, 2);
    execvp(args[0], (char *const *)(void *)args);
    _exit(127);
}

/* Any answer will do: it may want a password first. */
static bool answers(const struct server *server)
{
    for (unsigned i = 0; i < 2000; i++) {
        const char *said = server_ask(server, "PING");
        if (said != NULL && strncmp(said, "LOADING", 7) != 0)
            return true;
        if (waitpid(server->pid, NULL, WNOHANG) != 0)
            return false;
        usleep(5000);
    }
    return false;
}

bool server_restart(struct server *server)
{
    pid_t parent = getpid();
    fflush(NULL);
    server->pid = fork();
    if (server->pid == 0)
        be_server(server, parent);
    return server->pid > 0 && answers(server);
}

bool server_start(struct server *server, const char *const *args)
{
    const char *room = getenv("TMPDIR");
    *server = (struct server){0};
    snprintf(server->directory, sizeof server->directory, "%.40s/server.XXXXXX",
             room != NULL ? room : "/tmp");
    if (mkdtemp(server->directory) == NULL)
        return false;
    snprintf(server->path, sizeof server->path, "%s/socket", server->directory);
    snprintf(server->url, sizeof server->url, "unix://%s", server->path);
    for (unsigned i = 0; args != NULL && args[i] != NULL && i < SERVER_ARGS - 1; i++)
        server->args[i] = args[i];
    return server_restart(server);
}

void server_kill(struct server *server)
{
    if (server->pid <= 0)
        return;
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
    server->pid = 0;
}

void server_stop(struct server *server)
{
    if (server->pid <= 0)
        return;
    kill(server->pid, SIGSTOP);
    waitpid(server->pid, NULL, WUNTRACED);
}

void server_continue(struct server *server)
{
    if (server->pid > 0)
        kill(server->pid, SIGCONT);
}

void server_end(struct server *server)
{
    static const char *const files[] = {"socket", "log", "dump.rdb", "nodes.conf", NULL};
    char path[128];
    server_kill(server);
    for (unsigned i = 0; files[i] != NULL; i++) {
        snprintf(path, sizeof path, "%s/%s", server->directory, files[i]);
        unlink(path);
    }
    rmdir(server->directory);
}
