#include "waiting.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "clock.h"
#include "say.h"
#include "signals.h"

struct request {
    cachify_lock_t lock;
    char note[NOTE_BYTES];
};

/* How many of the bytes are whole characters of UTF-8, as far as they are that. */
static uint32_t whole(const char *bytes, uint32_t len, uint32_t room)
{
    if (len <= room)
        return len;
    while (room > 0 && ((unsigned char)bytes[room] & 0xc0) == 0x80)
        room--;
    return room;
}

/* The words of the command line, as much as there is room for. */
static uint32_t command_line(char **command, char note[NOTE_BYTES])
{
    char text[NOTE_BYTES + 4]; /* a character more, to see where one ends */
    uint32_t used = 0;
    for (; *command != NULL && used < sizeof text; command++) {
        if (used > 0)
            text[used++] = ' ';
        size_t len = strnlen(*command, sizeof text - used);
        memcpy(text + used, *command, len);
        used += (uint32_t)len;
    }
    used = whole(text, used, NOTE_BYTES);
    memcpy(note, text, used);
    return used;
}

static void make_request(const struct options *o, struct request *r)
{
    r->lock = (cachify_lock_t){.size = sizeof r->lock, .key = o->key, .exp_ms = o->exp_ms};
    r->lock.value = r->note;
    if (o->note != NULL) {
        r->lock.value = o->note;
        r->lock.value_len = (uint32_t)strlen(o->note);
    } else if (o->command == o->shell) {
        r->lock.value_len = command_line((char **)&o->shell[2], r->note);
    } else {
        r->lock.value_len = command_line(o->command, r->note);
    }
}

_Noreturn static void conflict(const struct options *o)
{
    if (o->verbose)
        say("%s", cachify_last_error());
    exit(o->conflict);
}

/* While nothing runs yet: they end the waiting, or stop it. */
static void obey(const struct options *o, int signals, cachify_async_t *async)
{
    struct signalfd_siginfo info;
    if (read(signals, &info, sizeof info) != sizeof info)
        return;
    int number = (int)info.ssi_signo;
    if (number == SIGCHLD || number == SIGCONT || signals_ignored(number))
        return;
    if (number == SIGTSTP) {
        raise(SIGSTOP); /* who is stopped is passed over in the line */
        return;
    }
    cachify_async_cancel(async);
    if (o->verbose)
        say("gave up waiting for \"%s\": signal %d (%s)", o->key, number, strsignal(number));
    exit(EX_SIGNAL + number);
}

static cachify_status_t wait_in_line(const struct options *o, cachify_t *instance, int signals,
                                     int runner, const cachify_lock_t *lock, cachify_lease_t *lease)
{
    cachify_async_t *async;
    cachify_status_t status = cachify_acquire_start(instance, lock, &async);
    if (status != CACHIFY_OK)
        return status;
    for (;;) {
        struct pollfd on[] = {{.fd = cachify_async_fd(async), .events = POLLIN},
                              {.fd = signals, .events = POLLIN},
                              {.fd = runner, .events = 0}};
        poll(on, 3, -1);
        if (on[2].revents != 0) {
            cachify_async_cancel(async);
            exit(EX_TEMPFAIL);
        }
        if (on[1].revents != 0)
            obey(o, signals, async);
        else if (on[0].revents != 0 &&
                 (status = cachify_async_finish(async, lease)) != CACHIFY_PENDING)
            return status;
    }
}

static void tell_how(const struct options *o, const cachify_lease_t *lease, int64_t waited_ms)
{
    cachify_origin_t origin = {.size = sizeof origin};
    cachify_lease_origin(lease, &origin);
    unsigned long long token = cachify_lease_token(lease);
    double seconds = (double)waited_ms / 1000;
    if (origin.how == CACHIFY_FRESH)
        say("acquired \"%s\" after %.3f s, token %llu; it was free", o->key, seconds, token);
    else if (origin.how == CACHIFY_EXPIRED)
        say("acquired \"%s\" after %.3f s, token %llu; the lease of process %lld (token %llu) had "
            "expired, and that process may still be at work",
            o->key, seconds, token, (long long)origin.previous_pid,
            (unsigned long long)origin.previous_token);
    else
        say("acquired \"%s\" after %.3f s, token %llu; process %lld, which held it (token %llu), "
            "died, and its work may be half done",
            o->key, seconds, token, (long long)origin.previous_pid,
            (unsigned long long)origin.previous_token);
}

void wait_for_lock(const struct options *o, cachify_t *instance, int signals, int runner,
                   cachify_lease_t *lease)
{
    struct request request;
    int64_t began = monotonic_ms();
    make_request(o, &request);
    cachify_status_t status = cachify_acquire(instance, &request.lock, lease);
    if (status == CACHIFY_LOCKED && o->wait_ms != 0) {
        if (o->verbose)
            say("waiting for \"%s\": %s", o->key, cachify_last_error());
        request.lock.wait = true;
        request.lock.timeout_ms = o->wait_ms;
        status = wait_in_line(o, instance, signals, runner, &request.lock, lease);
    }
    if (status == CACHIFY_LOCKED || status == CACHIFY_TIMEOUT)
        conflict(o);
    if (status != CACHIFY_OK)
        fail_of(status, o->client != NULL ? AT_SERVER : AT_SEGMENT);
    if (o->verbose)
        tell_how(o, lease, monotonic_ms() - began);
}
