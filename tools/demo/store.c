#include "store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cachify/cachify.h>

#include "../client.h"

static struct {
    bool server;
    char place[256]; /* to be shown; of a segment its path */
} store;

/* ---- Opening ---- */

static bool complain(void)
{
    fprintf(stderr, "worker-pool: %s\n", cachify_last_error());
    return false;
}

static bool open_segment(void)
{
    snprintf(store.place, sizeof store.place, "/dev/shm/cachify-demo-%d", (int)getpid());
    cachify_config_t config = {
        .size = sizeof config,
        .path = store.place,
        .max_locks = 1024,
        .key_max = 4096,
        .prefix = "",
    };
    return cachify_init(&config) == CACHIFY_OK || complain();
}

/* Others may run the same on this server. */
static bool open_server(const char *url)
{
    char prefix[64], address[160];
    cachify_client_t client;
    cachify_config_t config = {.size = sizeof config, .client = &client, .prefix = prefix};
    bool locked;
    store.server = true;
    snprintf(prefix, sizeof prefix, "cachify-demo-%llx-%x-", (unsigned long long)time(NULL),
             (unsigned)getpid());
    client_show(address, sizeof address, url);
    snprintf(store.place, sizeof store.place, "%s, all keys with %s before them", address, prefix);
    return (client_of_url(url, &client) == CACHIFY_OK && cachify_init(&config) == CACHIFY_OK &&
            cachify_is_locked(NULL, "any", &locked) == CACHIFY_OK) ||
           complain();
}

bool store_open(const char *url)
{
    return url != NULL ? open_server(url) : open_segment();
}

void store_close(void)
{
    cachify_shutdown();
    if (!store.server)
        unlink(store.place);
}

bool store_sees_death(void)
{
    return !store.server;
}

const char *store_place(void)
{
    return store.place;
}

/* ---- The inspector ---- */

/* The one built beside this program, which libtool may keep in a directory .libs. */
static void find_inspector(char *path, size_t room)
{
    char own[3000];
    const char *given = getenv("CACHIFY_INSPECT");
    ssize_t len = readlink("/proc/self/exe", own, sizeof own - 1);
    own[len > 0 ? len : 0] = '\0';
    for (int level = 0; level < 2; level++) {
        char *slash = strrchr(own, '/');
        if (slash != NULL)
            *slash = '\0';
        if (level == 0 && slash != NULL && slash - own >= 6 && strcmp(slash - 6, "/.libs") == 0)
            slash[-6] = '\0';
    }
    if (given != NULL)
        snprintf(path, room, "%s", given);
    else
        snprintf(path, room, "%s/cachify-shm-inspect", own);
}

static bool inspect(void)
{
    char path[4096];
    int status = 0;
    find_inspector(path, sizeof path);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        execl(path, path, "--path", store.place, (char *)NULL);
        fprintf(stderr, "worker-pool: cannot run the inspector %s: %s\n", path, strerror(errno));
        _exit(127);
    }
    if (pid > 0 && waitpid(pid, &status, 0) == pid && status == 0)
        return true;
    fprintf(stderr, "worker-pool: the inspector failed\n");
    return false;
}

/* ---- A key of a server's ---- */

static int show_waiter(void *context, const cachify_waiter_t *w)
{
    (void)context;
    printf("  waits  pid %" PRId64 " (%s) for %" PRId64 " ms\n", w->pid, w->command, w->waited_ms);
    return 0;
}

static bool ask(const char *key)
{
    cachify_info_t info = {.size = sizeof info};
    if (cachify_query(NULL, key, &info) != CACHIFY_OK)
        return complain();
    printf("  (cachify-shm-inspect shows segments; of a lock on a server cachify_query and "
           "cachify_waiters tell)\n"
           "  holds  pid %" PRId64 " (%s) for %" PRId64 " ms, %" PRId64 " ms left, token %" PRIu64
           ", note \"%.*s\"\n",
           info.pid, info.command, info.held_ms, info.remaining_ms, info.token, (int)info.value_len,
           info.value);
    bool good = cachify_waiters(NULL, key, show_waiter, NULL) == CACHIFY_OK || complain();
    fflush(stdout);
    return good;
}

bool store_show(const char *key)
{
    return store.server ? ask(key) : inspect();
}
