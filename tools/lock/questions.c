#include "questions.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../text.h"
#include "clock.h"
#include "say.h"

#define YES 0
#define NO 1
#define LOOK_MS 10      /* how often --await looks, at first */
#define LOOK_SELDOM 50  /* and later */
#define LOOK_SERVER 200 /* by words with a server */
#define NOTE_ROOM 4096  /* the longest that a segment may have */

static void check(const struct options *o, cachify_status_t status)
{
    if (status != CACHIFY_OK)
        fail_of(status, o->client != NULL ? AT_SERVER : AT_SEGMENT);
}

/* NULL if there is no segment: then nothing is locked, and asking makes none. */
static cachify_t *open_existing(const struct options *o)
{
    bool there = o->client != NULL || access(options_segment(o), F_OK) == 0;
    return there ? options_open(o) : NULL;
}

/* ---- Who ---- */

static void put_line(struct text *t, const char *name, const char *bytes, size_t len)
{
    text_string(t, name);
    text_string(t, "=");
    text_escaped(t, bytes, len);
    text_string(t, "\n");
}

static void put_number(struct text *t, const char *name, int64_t number)
{
    text_string(t, name);
    text_string(t, "=");
    if (number == CACHIFY_NEVER)
        text_string(t, "never");
    else
        text_number(t, number);
    text_string(t, "\n");
}

static void put_note(struct text *t, const struct options *o, cachify_t *instance,
                     const cachify_info_t *info)
{
    static char all[NOTE_ROOM];
    uint32_t len = sizeof all;
    if (info->value_len >= sizeof info->value && /* some clients tell of no more */
        cachify_get(instance, o->key, all, &len) == CACHIFY_OK)
        put_line(t, "note", all, len);
    else
        put_line(t, "note", info->value,
                 info->value_len < sizeof info->value ? info->value_len : sizeof info->value);
}

static int print_holder(const struct options *o, cachify_t *instance, const cachify_info_t *info)
{
    struct text t = {0};
    put_line(&t, "key", o->key, strlen(o->key));
    put_number(&t, "pid", info->pid);
    put_line(&t, "command", info->command, strnlen(info->command, sizeof info->command));
    put_number(&t, "since", wall_ms() - info->held_ms);
    put_number(&t, "left", info->remaining_ms);
    text_string(&t, "token=");
    text_unsigned(&t, info->token);
    text_string(&t, "\n");
    put_note(&t, o, instance, info);
    put_number(&t, "waiters", info->waiters);
    if (t.failed)
        fail(EX_OSERR, "not enough memory for the answer");
    fwrite(t.bytes, 1, t.len, stdout);
    text_free(&t);
    if (fflush(stdout) != 0)
        fail(EX_IOERR, "cannot write the answer to standard output");
    return YES;
}

static int who(const struct options *o, cachify_t *instance)
{
    cachify_info_t info = {.size = sizeof info};
    if (instance == NULL)
        return NO;
    check(o, cachify_query(instance, o->key, &info));
    return info.state == CACHIFY_STATE_HELD ? print_holder(o, instance, &info) : NO;
}

/* ---- The others ---- */

static int is_locked(const struct options *o, cachify_t *instance)
{
    bool locked = false;
    if (instance != NULL)
        check(o, cachify_is_locked(instance, o->key, &locked));
    return locked ? YES : NO;
}

static int release(const struct options *o, cachify_t *instance)
{
    cachify_info_t info = {.size = sizeof info};
    if (instance != NULL) {
        check(o, cachify_query(instance, o->key, &info));
        check(o, cachify_release_key(instance, o->key));
    }
    if (o->verbose && info.state == CACHIFY_STATE_HELD)
        say("took \"%s\" away from process %" PRId64 " (%.16s)", o->key, info.pid, info.command);
    else if (o->verbose)
        say("\"%s\" was free", o->key);
    return YES;
}

/* Looking now and then: who waits in line is given the lock, and is to be let pass. */
static int await_free(const struct options *o, cachify_t *instance)
{
    int64_t began = monotonic_ms(), pause = LOOK_MS;
    int64_t seldom = o->client != NULL ? LOOK_SERVER : LOOK_SELDOM;
    while (is_locked(o, instance) == YES) {
        int64_t left = o->wait_ms == CACHIFY_NEVER ? pause : began + o->wait_ms - monotonic_ms();
        if (left <= 0) {
            if (o->verbose)
                say("\"%s\" is still locked", o->key);
            return o->conflict;
        }
        if (left < pause)
            pause = left;
        nanosleep(&(struct timespec){.tv_nsec = pause * 1000000}, NULL);
        pause = pause < seldom / 2 ? 2 * pause : seldom;
    }
    return YES;
}

int answer(const struct options *o)
{
    static int (*const answers[])(const struct options *, cachify_t *) = {
        [ACT_IS_LOCKED] = is_locked,
        [ACT_WHO] = who,
        [ACT_RELEASE] = release,
        [ACT_AWAIT] = await_free,
    };
    cachify_t *instance = open_existing(o);
    int status = answers[o->act](o, instance);
    if (instance != NULL)
        cachify_close(instance);
    return status;
}
