#include "waiters.h"

#include <string.h>

/* They come in the order of their arrival, which milliseconds may not tell. */
int waiters_add(void *context, const cachify_waiter_t *waiter)
{
    struct listing *l = context;
    struct waiter_row *row = listing_new_row(l, sizeof *row + waiter->key_len, l->count, 0);
    if (row == NULL)
        return 1;
    *row = (struct waiter_row){
        .head = row->head,
        .pid = waiter->pid,
        .thread = waiter->thread,
        .waited_ms = waiter->waited_ms,
        .awaited_pid = waiter->awaited_pid,
        .event_loop = waiter->event_loop,
        .key_len = waiter->key_len,
    };
    memcpy(row->command, waiter->command, sizeof row->command);
    memcpy(row->awaited_command, waiter->awaited_command, sizeof row->awaited_command);
    memcpy(row->key, waiter->key, waiter->key_len);
    listing_keep(context);
    return 0;
}

static int by_key_and_arrival(const void *order, const void *other)
{
    const struct waiter_row *a = ((const struct order *)order)->row;
    const struct waiter_row *b = ((const struct order *)other)->row;
    uint32_t common = a->key_len < b->key_len ? a->key_len : b->key_len;
    int result = memcmp(a->key, b->key, common);
    if (result != 0)
        return result;
    if (a->key_len != b->key_len)
        return a->key_len < b->key_len ? -1 : 1;
    return order_by_numbers(order, other);
}

static struct value key_of(const void *of)
{
    const struct waiter_row *row = of;
    return bytes_value(row->key, row->key_len);
}

static struct value pid_of(const void *of)
{
    return pid_value(((const struct waiter_row *)of)->pid);
}

static struct value thread_of(const void *of)
{
    return pid_value(((const struct waiter_row *)of)->thread);
}

static struct value command_of(const void *of)
{
    return command_value(((const struct waiter_row *)of)->command);
}

static struct value waited_of(const void *of)
{
    return number_value((uint64_t)((const struct waiter_row *)of)->waited_ms);
}

static struct value loop_of(const void *of)
{
    return number_value(((const struct waiter_row *)of)->event_loop);
}

static struct value holder_of(const void *of)
{
    return pid_value(((const struct waiter_row *)of)->awaited_pid);
}

static struct value holder_command_of(const void *of)
{
    return command_value(((const struct waiter_row *)of)->awaited_command);
}

static const struct column columns[] = {
    {"KEY", "key", BYTES, USUAL, key_of, "the lock's name, with its prefix"},
    {"PID", "pid", NUMBER, USUAL, pid_of, "process that waits for it, in its own PID namespace"},
    {"THREAD", "thread", NUMBER, USUAL, thread_of,
     "kernel's number of the thread that asked for it"},
    {"COMMAND", "command", BYTES, USUAL, command_of, "name of that process"},
    {"WAITED", "waited_ms", TIME, USUAL, waited_of, "time since it came"},
    {"LOOP", "event_loop", FLAG, USUAL, loop_of, "whether an event loop waits: no thread sleeps"},
    {"HOLDER", "holder_pid", NUMBER, USUAL, holder_of,
     "who has to go first: the holder, or who is before it in line"},
    {"HOLDER-COMMAND", "holder_command", BYTES, USUAL, holder_command_of, "name of that process"},
    SEGMENT_COLUMN,
};

const struct kind waiters = {"waiters",          columns,     sizeof columns / sizeof columns[0],
                             by_key_and_arrival, "waited_ms", NULL};
