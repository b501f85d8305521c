#include "descent.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct process {
    pid_t pid;
    pid_t parent;
    pid_t group;
    bool ours;
};

struct census {
    struct process *process;
    size_t count;
    size_t room;
};

/* From /proc/PID/stat: "PID (NAME) STATE PARENT GROUP ...", where NAME may be anything. */
static bool read_process(const char *pid, struct process *to)
{
    char path[64], text[512];
    int parent, group;
    snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t len = read(fd, text, sizeof text - 1);
    close(fd);
    text[len > 0 ? len : 0] = '\0';
    const char *rest = strrchr(text, ')');
    if (rest == NULL || sscanf(rest, ") %*c %d %d", &parent, &group) != 2)
        return false;
    *to = (struct process){.pid = (pid_t)atoi(pid), .parent = parent, .group = group};
    return true;
}

static bool add(struct census *c, const struct process *p)
{
    if (c->count == c->room) {
        size_t room = c->room == 0 ? 256 : 2 * c->room;
        struct process *larger = realloc(c->process, room * sizeof *larger);
        if (larger == NULL)
            return false;
        c->process = larger;
        c->room = room;
    }
    c->process[c->count++] = *p;
    return true;
}

/* A /proc of another PID namespace tells of other processes. */
static bool proc_is_ours(void)
{
    char text[32];
    ssize_t len = readlink("/proc/self", text, sizeof text - 1);
    text[len > 0 ? len : 0] = '\0';
    return (pid_t)atoi(text) == getpid();
}

static struct census take_census(void)
{
    struct census c = {0};
    struct process p;
    DIR *proc = proc_is_ours() ? opendir("/proc") : NULL;
    if (proc == NULL)
        return c;
    for (struct dirent *entry; (entry = readdir(proc)) != NULL;)
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' && read_process(entry->d_name, &p) &&
            !add(&c, &p))
            break;
    closedir(proc);
    return c;
}

static bool is_ours(const struct census *c, pid_t parent)
{
    if (parent == getpid())
        return true;
    for (size_t i = 0; i < c->count; i++)
        if (c->process[i].pid == parent)
            return c->process[i].ours;
    return false;
}

static void mark(const struct census *c)
{
    for (bool more = true; more;) {
        more = false;
        for (size_t i = 0; i < c->count; i++)
            if (!c->process[i].ours && is_ours(c, c->process[i].parent))
                more = c->process[i].ours = true;
    }
}

static bool is_meant(const struct process *p, pid_t group, pid_t other_than_group)
{
    return p->ours && (group == 0 || p->group == group) && p->group != other_than_group;
}

bool descent_signal(int number, pid_t group, pid_t other_than_group)
{
    struct census c = take_census();
    bool known = c.count > 0;
    mark(&c);
    for (size_t i = 0; i < c.count; i++)
        if (is_meant(&c.process[i], group, other_than_group))
            kill(c.process[i].pid, number);
    free(c.process);
    return known;
}
