#include "leases.h"

#include <string.h>

struct row {
    struct row_head head;
    int64_t pid;
    int64_t thread;
    int64_t held_ms;
    int64_t left_ms;
    uint64_t token;
    uint32_t state;
    uint32_t waiters;
    uint32_t key_len;
    uint32_t note_len;
    char command[16];
    char bytes[]; /* key, then note */
};

/* Held longest first; what was taken in the same millisecond by token. */
int leases_add(void *context, const cachify_shm_lease_t *lease)
{
    const cachify_info_t *info = &lease->info;
    size_t size = sizeof(struct row) + lease->key_len + info->value_len;
    struct row *row =
        listing_new_row(context, size, (uint64_t)(INT64_MAX - info->held_ms), info->token);
    if (row == NULL)
        return 1;
    *row = (struct row){
        .head = row->head,
        .pid = info->pid,
        .thread = info->thread,
        .held_ms = info->held_ms,
        .left_ms = info->remaining_ms,
        .token = info->token,
        .state = info->state,
        .waiters = info->waiters,
        .key_len = lease->key_len,
        .note_len = info->value_len,
    };
    memcpy(row->command, info->command, sizeof row->command);
    memcpy(row->bytes, lease->key, lease->key_len);
    memcpy(row->bytes + lease->key_len, info->value, info->value_len);
    listing_keep(context);
    return 0;
}

static struct value key_of(const void *of)
{
    const struct row *row = of;
    return bytes_value(row->bytes, row->key_len);
}

const char *lease_state_word(uint32_t state)
{
    return state == CACHIFY_STATE_HELD      ? "held"
           : state == CACHIFY_STATE_EXPIRED ? "expired"
                                            : "owner-dead";
}

static struct value state_of(const void *of)
{
    return word_value(lease_state_word(((const struct row *)of)->state));
}

static struct value pid_of(const void *of)
{
    return pid_value(((const struct row *)of)->pid);
}

static struct value thread_of(const void *of)
{
    return pid_value(((const struct row *)of)->thread);
}

static struct value command_of(const void *of)
{
    return command_value(((const struct row *)of)->command);
}

static struct value held_of(const void *of)
{
    return number_value((uint64_t)((const struct row *)of)->held_ms);
}

static struct value left_of(const void *of)
{
    return number_value((uint64_t)((const struct row *)of)->left_ms);
}

static struct value token_of(const void *of)
{
    return number_value(((const struct row *)of)->token);
}

static struct value waiters_of(const void *of)
{
    return number_value(((const struct row *)of)->waiters);
}

static struct value note_of(const void *of)
{
    const struct row *row = of;
    return bytes_value(row->bytes + row->key_len, row->note_len);
}

static const struct column columns[] = {
    {"KEY", "key", BYTES, USUAL, key_of, "the lock's name, with its prefix"},
    {"STATE", "state", WORD, USUAL, state_of,
     "held; or free again, but not taken since: expired, owner-dead"},
    {"PID", "pid", NUMBER, USUAL, pid_of, "process that holds it, in its own PID namespace"},
    {"COMMAND", "command", BYTES, USUAL, command_of, "name of that process"},
    {"HELD", "held_ms", TIME, USUAL, held_of, "time since it was acquired"},
    {"LEFT", "left_ms", TIME, USUAL, left_of, "time until it expires, or never"},
    {"TOKEN", "token", SERIAL, USUAL, token_of, "fencing token of the lease"},
    {"WAITERS", "waiters", NUMBER, USUAL, waiters_of, "how many wait until it comes free"},
    {"NOTE", "note", BYTES, USUAL, note_of, "what the holder left with the lease"},
    {"THREAD", "thread", NUMBER, ON_DEMAND, thread_of,
     "kernel's number of the thread that acquired it"},
    SEGMENT_COLUMN,
};

static const char *const states[] = {"held", "expired", "owner-dead", NULL};

const struct kind leases = {"locks",          columns,   sizeof columns / sizeof columns[0],
                            order_by_numbers, "held_ms", states};
