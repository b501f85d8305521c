#include "face/error.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define KEY_SHOWN 256u

/* The facts of a busy lock, and the text once it is made. */
static _Thread_local struct {
    cachify_status_t status;
    bool pending; /* text is to be made of the facts */
    uint32_t key_len;
    int64_t waited_ms;
    int64_t pid;
    int64_t held_ms;
    int64_t remaining_ms;
    uint64_t token;
    uint32_t value_len;
    uint32_t waiters;
    uint32_t state;
    char command[16];
    char value[64];
    char key[KEY_SHOWN];
    char text[1024];
} last;

static const char *const texts[] = {
    [CACHIFY_OK] = "success",
    [CACHIFY_LOCKED] = "already locked",
    [CACHIFY_TIMEOUT] = "still locked at the end of the timeout",
    [CACHIFY_LOST] = "the lease was lost",
    [CACHIFY_DEADLOCK] = "this thread would wait for itself for ever",
    [CACHIFY_NOT_INITIALIZED] = "cachify_init was not called",
    [CACHIFY_INVALID] = "invalid argument",
    [CACHIFY_KEY_TOO_LONG] = "key too long",
    [CACHIFY_FULL] = "full",
    [CACHIFY_NO_MEMORY] = "out of memory",
    [CACHIFY_PERMISSION] = "permission denied",
    [CACHIFY_INCOMPATIBLE] = "incompatible segment",
    [CACHIFY_CORRUPT] = "corrupt segment",
    [CACHIFY_GONE] = "the segment was unlinked, replaced or cut short",
    [CACHIFY_CANCELLED] = "cancelled",
    [CACHIFY_PENDING] = "pending",
    [CACHIFY_SYSTEM] = "system error",
};

const char *cachify_strerror(cachify_status_t status)
{
    unsigned i = (unsigned)status;
    return i < sizeof texts / sizeof texts[0] ? texts[i] : "unknown status";
}

cachify_status_t cachify_report(cachify_status_t status, const char *format, ...)
{
    int saved = errno;
    va_list args;
    va_start(args, format);
    vsnprintf(last.text, sizeof last.text, format, args);
    va_end(args);
    last.status = status;
    last.pending = false;
    errno = saved;
    return status;
}

cachify_status_t cf_last_failure(void)
{
    return last.status != CACHIFY_OK ? last.status : CACHIFY_SYSTEM;
}

cachify_status_t cf_report_busy(cachify_status_t status, const char *key, uint32_t key_len,
                                int64_t waited_ms, const cachify_info_t *holder)
{
    last.status = status;
    last.pending = true;
    last.key_len = key_len;
    last.waited_ms = waited_ms;
    last.pid = holder->pid;
    last.held_ms = holder->held_ms;
    last.remaining_ms = holder->remaining_ms;
    last.token = holder->token;
    last.value_len =
        holder->value_len < sizeof last.value ? holder->value_len : (uint32_t)sizeof last.value;
    last.waiters = holder->waiters;
    last.state = holder->state;
    memcpy(last.command, holder->command, sizeof last.command - 1);
    memcpy(last.value, holder->value, last.value_len);
    memcpy(last.key, key, key_len < KEY_SHOWN ? key_len : KEY_SHOWN);
    return status;
}

/* Printable bytes as they are, others as \xNN. */
static size_t put_escaped(char *to, size_t room, const char *bytes, uint32_t len)
{
    size_t used = 0;
    for (uint32_t i = 0; i < len && used + 5 < room; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if (c < 0x20 || c == 0x7f)
            used += (size_t)snprintf(to + used, room - used, "\\x%02x", c);
        else
            to[used++] = (char)c;
    }
    to[used] = '\0';
    return used;
}

/* ", note \"...\"", or nothing. */
static void put_note(char *to, size_t room)
{
    to[0] = '\0';
    if (last.value_len == 0)
        return;
    size_t used = (size_t)snprintf(to, room, ", note \"");
    used += put_escaped(to + used, room - used - 2, last.value, last.value_len);
    snprintf(to + used, room - used, "\"");
}

/* Who has it, since when, until when. */
static void put_holder(char *to, size_t room)
{
    char note[160], left[64] = "without expiry", token[40] = "";
    if (last.state == CACHIFY_STATE_KEPT) {
        snprintf(to, room, "It is kept for process %" PRId64 " (%s), which has waited longest",
                 last.pid, last.command);
        return;
    }
    put_note(note, sizeof note);
    if (last.pid == 0) {
        snprintf(to, room, "Who holds it did not say%s", note);
        return;
    }
    if (last.remaining_ms != CACHIFY_NEVER)
        snprintf(left, sizeof left, "for another %" PRId64 " ms", last.remaining_ms);
    if (last.token != 0)
        snprintf(token, sizeof token, ", token %" PRIu64, last.token);
    snprintf(to, room, "Held by process %" PRId64 " (%s) since %" PRId64 " ms, %s%s%s", last.pid,
             last.command, last.held_ms, left, token, note);
}

static void make_text(void)
{
    char key[KEY_SHOWN * 4 / 2 + 8], holder[320], others[48] = "", waited[64] = "";
    put_escaped(key, sizeof key, last.key, last.key_len < KEY_SHOWN ? last.key_len : KEY_SHOWN);
    put_holder(holder, sizeof holder);
    if (last.waiters > 0)
        snprintf(others, sizeof others, "; %" PRIu32 " waiting", last.waiters);
    if (last.status == CACHIFY_TIMEOUT)
        snprintf(waited, sizeof waited, " Waited %" PRId64 " ms.", last.waited_ms);
    if (last.status == CACHIFY_DEADLOCK)
        snprintf(waited, sizeof waited, " This thread holds it itself, and would wait for ever.");
    snprintf(last.text, sizeof last.text, "%s%s is already locked! %s%s.%s", key,
             last.key_len > KEY_SHOWN ? "..." : "", holder, others, waited);
    last.pending = false;
}

const char *cachify_last_error(void)
{
    int saved = errno;
    if (last.pending)
        make_text();
    errno = saved;
    return last.text;
}
