#include "tool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../tools/text.h"
#include "json.h"

struct ran ran;

void tool_read(int fd, char *to, size_t room)
{
    size_t used = 0;
    ssize_t n;
    while (used < room - 1 && (n = read(fd, to + used, room - 1 - used)) > 0)
        used += (size_t)n;
    to[used] = '\0';
    close(fd);
}

void tool_read_source(const char *name, char *to, size_t room)
{
    char path[512];
    const char *here_at = strstr(__FILE__, "tests/tool.c");
    snprintf(path, sizeof path, "%.*s%s", (int)(here_at - __FILE__), __FILE__, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ck_assert_msg(fd >= 0, "cannot open %s: %s", path, strerror(errno));
    tool_read(fd, to, room);
}

static void split_lines(void)
{
    static char text[TOOL_ROOM];
    memcpy(text, ran.out, sizeof text);
    ran.lines = 0;
    for (char *at = text, *end; (end = strchr(at, '\n')) != NULL; at = end + 1) {
        *end = '\0';
        ck_assert_uint_lt(ran.lines, TOOL_LINES);
        ran.line[ran.lines++] = at;
    }
}

/* Its output to a file, or NULL to read it. */
static pid_t start(char **arguments, const char *to, int out, int error)
{
    fflush(NULL);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid != 0)
        return pid;
    const char *tool = getenv("CACHIFY_INSPECT");
    if (to != NULL)
        out = open(to, O_WRONLY | O_CLOEXEC);
    dup2(out, STDOUT_FILENO);
    dup2(error, STDERR_FILENO);
    unsetenv("LD_PRELOAD"); /* of an interpreter of instructions that runs the suite */
    execv(tool != NULL ? tool : "tools/cachify-shm-inspect", arguments);
    _exit(127);
}

void run_to(const char *to, char **arguments)
{
    int out[2], error[2];
    ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(error, O_CLOEXEC), 0);
    pid_t pid = start(arguments, to, out[1], error[1]);
    close(out[1]);
    close(error[1]);
    tool_read(out[0], ran.out, sizeof ran.out);
    tool_read(error[0], ran.error, sizeof ran.error);
    ck_assert_int_eq(waitpid(pid, &ran.status, 0), pid);
    ck_assert_msg(WIFEXITED(ran.status), "killed by signal %d", WTERMSIG(ran.status));
    ran.status = WEXITSTATUS(ran.status);
    split_lines();
}

void assert_fails(int status, const char *says)
{
    ck_assert_msg(ran.status == status, "exit status %d: %s", ran.status, ran.error);
    ck_assert_msg(strstr(ran.error, says) != NULL, "\"%s\" is not in \"%s\"", says, ran.error);
    ck_assert_int_eq(strncmp(ran.error, "cachify-shm-inspect: ", 21), 0);
    ck_assert_str_eq(ran.out, "");
}

void assert_json(void)
{
    size_t where;
    ck_assert_msg(json_valid(ran.out, strlen(ran.out), &where), "no JSON from byte %zu on: %.60s",
                  where, ran.out + where);
}

const char *object_in(unsigned line)
{
    const char *object = strchr(ran.line[line], '{');
    ck_assert_ptr_nonnull(object);
    return object;
}

void assert_member(const char *object, const char *name, const char *expected)
{
    size_t len;
    const char *value = json_member(object, name, &len);
    ck_assert_msg(value != NULL, "%s is not in %s", name, object);
    ck_assert_msg(len == strlen(expected) && memcmp(value, expected, len) == 0,
                  "%s is not %s in %s", name, expected, object);
}

void assert_bytes(const char *object, const char *field, const char *bytes, size_t len)
{
    char name[32], text[1024], expected[1024] = "";
    size_t value_len;
    snprintf(name, sizeof name, "%s_hex", field);
    const char *value = json_member(object, field, &value_len);
    const char *exact = json_member(object, name, &value_len);
    ck_assert_ptr_nonnull(value);
    ck_assert_int_eq(exact == NULL, utf8_valid(bytes, len));
    if (exact == NULL) {
        ck_assert_uint_eq(json_string(value, text, sizeof text), len);
        ck_assert_mem_eq(text, bytes, len);
        return;
    }
    for (size_t i = 0; i < len; i++)
        snprintf(expected + 2 * i, 3, "%02x", (unsigned char)bytes[i]);
    ck_assert_uint_eq(json_string(exact, text, sizeof text), 2 * len);
    ck_assert_str_eq(text, expected);
}
