/* One machine's end of a segment that several share: does what its input says, a line each,
 * and answers each with a line.  meet.sh plays several against each other.
 *
 *   peer PATH
 *   layout            FORMAT and the sizes and offsets of what lies in the segment
 *   try KEY EXP_MS    STATUS TOKEN ORIGIN PID-OF-HOLDER
 *   wait KEY LIMIT_MS STATUS MILLISECONDS
 *   release           STATUS, of what try or wait got last
 *   pid               its own
 */
#include <cachify/cachify.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "shm/segment.h"

static cachify_t *cachify;
static cachify_lease_t lease;

static void say_layout(void)
{
    printf("%08" PRIx32 " %zu %zu %zu %zu %zu %zu\n", cf_layout_format(), sizeof(struct cf_header),
           sizeof(struct cf_group), sizeof(struct cf_record), sizeof(struct cf_process),
           sizeof(struct cf_waiter), offsetof(struct cf_header, checksum));
}

static void try_once(const char *key, int64_t exp_ms)
{
    cachify_lock_t lock = {.key = key, .exp_ms = exp_ms};
    cachify_info_t info = {0};
    cachify_lease_t got = CACHIFY_LEASE_INIT;
    cachify_status_t status = cachify_acquire(cachify, &lock, &got);
    if (status == CACHIFY_OK)
        lease = got;
    cachify_how_t how = status == CACHIFY_OK ? cachify_lease_origin(&got, NULL) : CACHIFY_FRESH;
    (void)cachify_query(cachify, key, &info);
    printf("%d %" PRIu64 " %d %" PRIu64 "\n", (int)status, cachify_lease_token(&got), (int)how,
           (uint64_t)info.pid);
}

static void wait_for(const char *key, int64_t limit_ms)
{
    cachify_lock_t lock = {.key = key, .wait = true, .timeout_ms = limit_ms, .exp_ms = 60000};
    uint64_t since = cf_monotonic_ns();
    cachify_status_t status = cachify_acquire(cachify, &lock, &lease);
    printf("%d %" PRIu64 "\n", (int)status, (cf_monotonic_ns() - since) / CF_MS);
}

int main(int count, char **arguments)
{
    char line[256];
    char word[32];
    char key[64];
    if (count != 2)
        return 64;
    cachify_config_t config = {
        .path = arguments[1], .max_locks = 64, .key_max = 64, .poll_interval_ms = 20000};
    if (cachify_open(&config, &cachify) != CACHIFY_OK) {
        printf("%s\n", cachify_last_error());
        return 1;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    while (fgets(line, sizeof line, stdin) != NULL) {
        int64_t ms = 0;
        if (sscanf(line, "%31s %63s %" SCNd64, word, key, &ms) < 1)
            continue;
        if (strcmp(word, "layout") == 0)
            say_layout();
        else if (strcmp(word, "try") == 0)
            try_once(key, ms);
        else if (strcmp(word, "wait") == 0)
            wait_for(key, ms);
        else if (strcmp(word, "release") == 0)
            printf("%d\n", (int)cachify_release(&lease));
        else if (strcmp(word, "pid") == 0)
            printf("%ld\n", (long)getpid());
        else
            printf("?\n");
    }
    return cachify_close(cachify) == CACHIFY_OK ? 0 : 1;
}
