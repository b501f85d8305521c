/* C's hand in interop.py: does what lines on its input say, and answers each with a line.
 *
 *     hand URL
 *
 * take KEY EXP_MS | wait KEY TIMEOUT_MS | release | extend EXP_MS | held | locked KEY | query KEY |
 * force KEY | set KEY VALUE | get KEY | call KEY (a wrapped function's) | count KEY N FILE */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cachify/redis.h>

static cachify_t *cachify;
static cachify_lease_t lease;

static const char *const names[] = {
    "OK",      "LOCKED",       "TIMEOUT",   "LOST",      "DEADLOCK",   "NOT_INITIALIZED",
    "INVALID", "KEY_TOO_LONG", "FULL",      "NO_MEMORY", "PERMISSION", "INCOMPATIBLE",
    "CORRUPT", "GONE",         "CANCELLED", "PENDING",   "SYSTEM",
};

static cachify_status_t take(const char *key, bool wait, int64_t ms)
{
    cachify_lock_t lock = {.key = key, .wait = wait};
    if (wait)
        lock.timeout_ms = ms;
    else
        lock.exp_ms = ms;
    return cachify_acquire(cachify, &lock, &lease);
}

/* A number in a file that is read and written again: what is not kept apart loses increments. */
static cachify_status_t count(const char *key, long n, const char *path)
{
    for (long i = 0; i < n; i++) {
        long number = 0;
        cachify_status_t status = take(key, true, 60000);
        if (status != CACHIFY_OK)
            return status;
        FILE *file = fopen(path, "r+");
        if (file == NULL || fscanf(file, "%ld", &number) != 1)
            return CACHIFY_SYSTEM;
        rewind(file);
        fprintf(file, "%ld\n", number + 1);
        fclose(file);
        status = cachify_release(&lease);
        if (status != CACHIFY_OK)
            return status;
    }
    return CACHIFY_OK;
}

static cachify_status_t query(const char *key)
{
    cachify_info_t info = {0};
    cachify_status_t status = cachify_query(cachify, key, &info);
    if (status == CACHIFY_OK)
        printf("%u %" PRId64 " %" PRId64 " %u ", info.state, info.pid, info.remaining_ms,
               info.value_len);
    return status;
}

static cachify_status_t locked(const char *key)
{
    bool is = false;
    cachify_status_t status = cachify_is_locked(cachify, key, &is);
    printf("%s ", is ? "yes" : "no");
    return status;
}

static cachify_status_t get(const char *key)
{
    char value[4096];
    uint32_t len = sizeof value;
    cachify_status_t status = cachify_get(cachify, key, value, &len);
    for (uint32_t i = 0; status == CACHIFY_OK && i < len; i++)
        printf("%02x", (unsigned char)value[i]);
    putchar(' ');
    return status;
}

static cachify_status_t obey(const char *word, const char *key, const char *more, const char *path)
{
    cachify_lock_t lock = {.key = key, .value = more, .value_len = (uint32_t)strlen(more)};
    switch (word[0]) {
    case 't':
        return take(key, false, atoll(more));
    case 'w':
        return take(key, true, atoll(more));
    case 'r':
        return cachify_release(&lease);
    case 'e':
        return cachify_extend(&lease, atoll(key));
    case 'h':
        return cachify_lease_held(&lease) ? CACHIFY_OK : CACHIFY_LOST;
    case 'l':
        return locked(key);
    case 'q':
        return query(key);
    case 'f':
        return cachify_release_key(cachify, key);
    case 's':
        return cachify_set(cachify, &lock, true);
    case 'g':
        return get(key);
    case 'c':
        return count(key, atol(more), path);
    default:
        return CACHIFY_INVALID;
    }
}

int main(int argc, char **argv)
{
    char line[1024];
    cachify_client_t client;
    if (argc != 2 || cachify_redis_client(argv[1], NULL, &client) != CACHIFY_OK ||
        cachify_open(&(cachify_config_t){.client = &client, .poll_interval_ms = 10}, &cachify) !=
            CACHIFY_OK) {
        fprintf(stderr, "hand: %s\n", cachify_last_error());
        return 1;
    }
    while (fgets(line, sizeof line, stdin) != NULL) {
        char word[16] = "", key[256] = "", more[256] = "", path[400] = "";
        sscanf(line, "%15s %255s %255s %399s", word, key, more, path);
        cachify_status_t status = obey(word, key, more, path);
        printf("%s\n", names[status]);
        fflush(stdout);
    }
    cachify_release(&lease);
    return cachify_close(cachify) != CACHIFY_OK;
}
