#include "face/error.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ground/thread.h"

#define KEY_SHOWN 256u

/* The facts of a busy lock, and the text once it is made.  On the heap: what a library has of
 * static thread-local memory keeps others from being loaded. */
struct details {
    bool pending; /* text is to be made of the facts */
    cachify_status_t status;
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
};

static _Thread_local struct {
    cachify_status_t status;
    struct details *details; /* NULL: there is no memory for them, or was no failure */
} last CF_FAST_TLS;

static pthread_key_t at_exit;

static void thread_ends(void *details)
{
    free(details);
    last.details = NULL;
}

__attribute__((constructor)) static void prepare(void)
{
    pthread_key_create(&at_exit, thread_ends);
}

/* This thread's; NULL without memory. */
static struct details *details(void)
{
    if (last.details == NULL) {
        last.details = calloc(1, sizeof *last.details);
        pthread_setspecific(at_exit, last.details);
    }
    return last.details;
}

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
    struct details *d = details();
    last.status = status;
    if (d != NULL) {
        va_list args;
        va_start(args, format);
        vsnprintf(d->text, sizeof d->text, format, args);
        va_end(args);
        d->pending = false;
    }
    errno = saved;
    return status;
}

cachify_status_t cf_last_failure(void)
{
    return last.status != CACHIFY_OK ? last.status : CACHIFY_SYSTEM;
}

/* Most keys are short, for which compilers make something slow of memcpy. */
static void copy_key(struct details *d, const char *key)
{
    uint32_t len = d->key_len < KEY_SHOWN ? d->key_len : KEY_SHOWN;
    if (len < 8) {
        memcpy(d->key, key, len);
        return;
    }
    for (uint32_t i = 0; i < len - 8; i += 8)
        memcpy(d->key + i, key + i, 8);
    memcpy(d->key + len - 8, key + len - 8, 8);
}

cachify_status_t cf_report_busy(cachify_status_t status, const char *key, uint32_t key_len,
                                int64_t waited_ms, const cachify_info_t *holder)
{
    struct details *d = details();
    last.status = status;
    if (d == NULL)
        return status;
    d->pending = true;
    d->status = status;
    d->key_len = key_len;
    d->waited_ms = waited_ms;
    d->pid = holder->pid;
    d->held_ms = holder->held_ms;
    d->remaining_ms = holder->remaining_ms;
    d->token = holder->token;
    d->value_len =
        holder->value_len < sizeof d->value ? holder->value_len : (uint32_t)sizeof d->value;
    d->waiters = holder->waiters;
    d->state = holder->state;
    memcpy(d->command, holder->command, sizeof d->command - 1);
    memcpy(d->value, holder->value, d->value_len);
    copy_key(d, key);
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
static void put_note(const struct details *d, char *to, size_t room)
{
    to[0] = '\0';
    if (d->value_len == 0)
        return;
    size_t used = (size_t)snprintf(to, room, ", note \"");
    used += put_escaped(to + used, room - used - 2, d->value, d->value_len);
    snprintf(to + used, room - used, "\"");
}

/* Who has it, since when, until when. */
static void put_holder(const struct details *d, char *to, size_t room)
{
    char note[160], left[64] = "without expiry", token[40] = "";
    if (d->state == CACHIFY_STATE_KEPT) {
        snprintf(to, room, "It is kept for process %" PRId64 " (%s), which has waited longest",
                 d->pid, d->command);
        return;
    }
    put_note(d, note, sizeof note);
    if (d->pid == 0) {
        snprintf(to, room, "Who holds it did not say%s", note);
        return;
    }
    if (d->remaining_ms != CACHIFY_NEVER)
        snprintf(left, sizeof left, "for another %" PRId64 " ms", d->remaining_ms);
    if (d->token != 0)
        snprintf(token, sizeof token, ", token %" PRIu64, d->token);
    snprintf(to, room, "Held by process %" PRId64 " (%s) since %" PRId64 " ms, %s%s%s", d->pid,
             d->command, d->held_ms, left, token, note);
}

static void make_text(struct details *d)
{
    char key[KEY_SHOWN * 4 / 2 + 8], holder[320], others[48] = "", waited[64] = "";
    put_escaped(key, sizeof key, d->key, d->key_len < KEY_SHOWN ? d->key_len : KEY_SHOWN);
    put_holder(d, holder, sizeof holder);
    if (d->waiters > 0)
        snprintf(others, sizeof others, "; %" PRIu32 " waiting", d->waiters);
    if (d->status == CACHIFY_TIMEOUT)
        snprintf(waited, sizeof waited, " Waited %" PRId64 " ms.", d->waited_ms);
    if (d->status == CACHIFY_DEADLOCK)
        snprintf(waited, sizeof waited, " This thread holds it itself, and would wait for ever.");
    snprintf(d->text, sizeof d->text, "%s%s is already locked! %s%s.%s", key,
             d->key_len > KEY_SHOWN ? "..." : "", holder, others, waited);
    d->pending = false;
}

const char *cachify_last_error(void)
{
    int saved = errno;
    struct details *d = last.details;
    if (d == NULL)
        return last.status == CACHIFY_OK ? "" : "no memory is left to say what went wrong";
    if (d->pending)
        make_text(d);
    errno = saved;
    return d->text;
}
