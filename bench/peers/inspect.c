/* cachify-shm-inspect, which lists what held.c holds, to a file: a table, raw, JSON. */
#include "cachify_bench.h"
#include "peers/loops.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static const char *list_option;
static char list_path[128];

static const char *tool(void)
{
    const char *told = getenv("CACHIFY_INSPECT");
    return told != NULL ? told : "tools/cachify-shm-inspect";
}

static void list(void *with)
{
    (void)with;
    int fd = open(list_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    dup2(fd, STDOUT_FILENO);
    execl(tool(), tool(), "--path", held_path(), list_option, (char *)NULL);
    _exit(127);
}

static double seconds(const char *option)
{
    snprintf(list_path, sizeof list_path, "%s/list", room_path());
    list_option = option;
    uint64_t begin = now_ns();
    child_join(child_start(list, NULL));
    double s = (double)(now_ns() - begin) / 1e9;
    unlink(list_path);
    return s;
}

static const char *look_for_tool(void)
{
    return access(tool(), X_OK) == 0 ? NULL : "tools/cachify-shm-inspect (make it)";
}

static double table(long n)
{
    (void)n;
    return seconds("--noheadings");
}

static double raw(long n)
{
    (void)n;
    return seconds("--raw");
}

static double json(long n)
{
    (void)n;
    return seconds("--json");
}

const struct peer inspect_table_peer = {
    .name = "inspect_table", .open = look_for_tool, .loop = {[LIST] = table}};
const struct peer inspect_raw_peer = {
    .name = "inspect_raw", .open = look_for_tool, .loop = {[LIST] = raw}};
const struct peer inspect_json_peer = {
    .name = "inspect_json", .open = look_for_tool, .loop = {[LIST] = json}};
