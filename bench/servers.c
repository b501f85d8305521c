/* Programs that peers need: servers on a socket in the run's directory, and processes that are
 * talked to.  They are children as others are, and so end with this process. */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define START_LOOKS 500 /* of 10 ms */

static bool can_run(const char *directory, size_t length, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%.*s/%s", (int)length, directory, name);
    return access(path, X_OK) == 0;
}

static bool is_installed(const char *program)
{
    if (strchr(program, '/') != NULL)
        return access(program, X_OK) == 0;
    for (const char *at = getenv("PATH"); at != NULL && *at != '\0';) {
        size_t length = strcspn(at, ":");
        if (can_run(at, length, program))
            return true;
        at += length + (at[length] == ':');
    }
    return false;
}

/* ---- Servers ---- */

static void silent_program(void *with)
{
    char *const *command = with;
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd <= 2; fd++)
        dup2(nothing, fd);
    execvp(command[0], command);
    _exit(127);
}

int connect_to(const char *socket_path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", socket_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

bool server_start(char *const command[], const char *socket_path)
{
    if (!is_installed(command[0]))
        return false;
    pid_t server = child_start(silent_program, (void *)command);
    for (int look = 0; look < START_LOOKS; look++) {
        int fd = connect_to(socket_path);
        if (fd >= 0) {
            close(fd);
            return true;
        }
        usleep(10000);
    }
    child_kill(server);
    child_reap(server);
    return false;
}

const char *redis_server_socket(void)
{
    static char path[108];
    snprintf(path, sizeof path, "%s/redis", room_path());
    return path;
}

const char *redis_server_start(void)
{
    static enum { NOT_YET, RUNS, MISSING } state;
    char *const command[] = {"redis-server",
                             "--port",
                             "0",
                             "--unixsocket",
                             (char *)redis_server_socket(),
                             "--save",
                             "",
                             "--appendonly",
                             "no",
                             "--dir",
                             (char *)room_path(),
                             NULL};
    if (state == NOT_YET)
        state = server_start(command, redis_server_socket()) ? RUNS : MISSING;
    return state == RUNS ? NULL : "redis-server (Debian: redis-server)";
}

/* ---- Processes that are talked to ---- */

struct talk {
    char *const *command;
    int in[2], out[2];
};

static void talking_program(void *with)
{
    const struct talk *t = with;
    int nothing = open("/dev/null", O_WRONLY | O_CLOEXEC);
    dup2(t->in[0], STDIN_FILENO);
    dup2(t->out[1], STDOUT_FILENO);
    dup2(nothing, STDERR_FILENO);
    execvp(t->command[0], t->command);
    _exit(127);
}

#define MAX_TALKS 8

static struct {
    FILE *to;
    pid_t pid;
} talks[MAX_TALKS];

bool coprocess_start(char *const command[], FILE **to, FILE **from)
{
    struct talk t = {.command = command};
    int place = 0;
    while (place < MAX_TALKS && talks[place].to != NULL)
        place++;
    if (place == MAX_TALKS || !is_installed(command[0]))
        return false;
    if (pipe2(t.in, O_CLOEXEC) != 0 || pipe2(t.out, O_CLOEXEC) != 0)
        fail("pipe: %s", strerror(errno));
    pid_t pid = child_start(talking_program, &t);
    close(t.in[0]);
    close(t.out[1]);
    *to = fdopen(t.in[1], "w");
    *from = fdopen(t.out[0], "r");
    if (*to == NULL || *from == NULL)
        fail("fdopen: %s", strerror(errno));
    talks[place].to = *to;
    talks[place].pid = pid;
    return true;
}

void coprocess_end(FILE *to, FILE *from)
{
    for (int i = 0; i < MAX_TALKS; i++)
        if (talks[i].to == to) {
            child_kill(talks[i].pid);
            child_reap(talks[i].pid);
            talks[i].to = NULL;
        }
    fclose(to);
    fclose(from);
}
