#include "clients/mark.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ground/os.h"

#define MARK_FORMAT                                                                                \
    "cachify1 %016" PRIx64 "%016" PRIx64 " %" PRId64 " %u %u %" PRId64 " %" PRId64 " "
#define MARK_SCAN "cachify1 %16" SCNx64 "%16" SCNx64 " %" SCNd64 " %u %u %" SCNd64 " %" SCNd64 "%n"

uint32_t cf_mark_write(char *to, const struct cf_mark *mark)
{
    char text[CACHIFY_MARK_BYTES];
    int len = snprintf(text, sizeof text, MARK_FORMAT, mark->unique[0], mark->unique[1], mark->pid,
                       mark->thread_id, mark->serial, mark->acquired_ms, mark->until_ms);
    memcpy(to, text, (size_t)len);
    memcpy(to + len, mark->command, sizeof mark->command);
    return (uint32_t)len + (uint32_t)sizeof mark->command;
}

uint32_t cf_mark_read(const char *value, uint32_t len, struct cf_mark *mark)
{
    char text[CACHIFY_MARK_BYTES + 1] = "";
    int end = 0;
    memcpy(text, value, len < CACHIFY_MARK_BYTES ? len : CACHIFY_MARK_BYTES);
    sscanf(text, MARK_SCAN, &mark->unique[0], &mark->unique[1], &mark->pid, &mark->thread_id,
           &mark->serial, &mark->acquired_ms, &mark->until_ms, &end);
    uint32_t used = (uint32_t)end + 1 + (uint32_t)sizeof mark->command;
    if (end == 0 || used > len || used > CACHIFY_MARK_BYTES)
        return 0;
    memcpy(mark->command, text + end + 1, sizeof mark->command);
    mark->command[sizeof mark->command - 1] = '\0';
    return used;
}

int64_t cf_mark_now_ms(void)
{
    return (int64_t)(cf_realtime_ns() / CF_MS);
}

int64_t cf_mark_until_ms(int64_t exp_ms)
{
    return exp_ms == CACHIFY_NEVER ? CACHIFY_NEVER : cf_mark_now_ms() + exp_ms;
}

void cf_mark_describe(cachify_info_t *info, const char *value, uint32_t len)
{
    struct cf_mark mark;
    uint32_t used = cf_mark_read(value, len, &mark);
    *info = (cachify_info_t){.state = CACHIFY_STATE_HELD, .remaining_ms = CACHIFY_NEVER};
    info->value_len = len - used < sizeof info->value ? len - used : (uint32_t)sizeof info->value;
    memcpy(info->value, value + used, info->value_len);
    if (used == 0)
        return; /* somebody else's value */
    int64_t now = cf_mark_now_ms(), held = now - mark.acquired_ms;
    info->pid = mark.pid;
    info->thread = mark.thread_id;
    info->held_ms = held > 0 ? held : 0;
    if (mark.until_ms != CACHIFY_NEVER)
        info->remaining_ms = mark.until_ms > now ? mark.until_ms - now : 1;
    memcpy(info->command, mark.command, sizeof info->command);
}
