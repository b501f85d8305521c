#include "keeper.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "renewer.h"
#include "say.h"
#include "waiting.h"

#define LOOK_MS 100   /* how often the lease is asked whether it is held */
#define KILL_AGAIN 20 /* ms, at first */
#define KILL_SELDOM 1000

enum why { NOT_ENDED, LOST, SERVER_GONE, MAX_HOLD, RUNNER_DIED };

struct keeper {
    const struct options *options;
    struct page *page;
    int runner;
    int signals;
    cachify_lease_t lease;
    bool held;
    struct renewer renewer; /* on a server */
    pid_t command;
    bool ended;   /* the command */
    bool alone;   /* nothing is left of what it started */
    int status;   /* to end with */
    enum why why; /* the command is being ended */
    int64_t renew_at;
    int64_t max_at;  /* of --max-hold */
    int64_t kill_at; /* once it is being ended */
    int64_t kill_every;
};

static int64_t later(int64_t now, int64_t ms)
{
    return ms == CACHIFY_NEVER ? CACHIFY_NEVER : now + ms;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* ---- Ending the command ---- */

/* What is left of a lease that is not renewed any more is what is left to the command; with some
 * time for KILL to do its work. */
static int64_t grace(const struct keeper *k)
{
    int64_t left = cachify_lease_remaining_ms(&k->lease);
    if ((k->why != MAX_HOLD && k->why != SERVER_GONE) || left == CACHIFY_NEVER)
        return k->options->grace_ms;
    left -= k->options->exp_ms / 10;
    return left < 0 ? 0 : earlier(left, k->options->grace_ms);
}

static void signal_all(const struct keeper *k, int number)
{
    command_signal_all(k->page, k->ended ? 0 : k->command, number);
}

static void end_command(struct keeper *k, enum why why, const char *what)
{
    int64_t now = monotonic_ms();
    if (k->why == NOT_ENDED || why == LOST)
        say("the lock \"%s\": %s; ending the command", k->options->key, what);
    if (k->why != NOT_ENDED)
        return;
    k->why = why;
    k->kill_at = later(now, grace(k));
    k->kill_every = KILL_AGAIN;
    signal_all(k, SIGTERM);
    signal_all(k, SIGCONT); /* a stopped one would not hear it */
}

/* Again and again: orphans come to us, and what was made meanwhile has to be met. */
static void kill_command(struct keeper *k, int64_t now)
{
    signal_all(k, SIGKILL);
    k->kill_at = now + k->kill_every;
    k->kill_every = earlier(2 * k->kill_every, KILL_SELDOM);
}

/* ---- The lease ---- */

static void lose(struct keeper *k, const char *what)
{
    k->held = false;
    end_command(k, LOST, what);
}

/* Not renewed in time, it ends the command while it still protects it. */
static void run_short(struct keeper *k, int64_t now, int64_t left, const char *why)
{
    char what[WHY_ROOM + 80];
    snprintf(what, sizeof what, "its lease ends in %.1f s and could not be renewed%s%s",
             (double)left / 1000, *why != '\0' ? ": " : "", why);
    end_command(k, SERVER_GONE, what);
    if (k->kill_every != KILL_AGAIN)
        return; /* being killed already */
    left -= k->options->exp_ms / 10;
    k->kill_at = earlier(k->kill_at, left > 0 ? now + left : now);
}

static void look_at_server(struct keeper *k, int64_t now)
{
    char why[WHY_ROOM];
    int64_t left = cachify_lease_remaining_ms(&k->lease);
    if (left == 0)
        renewer_settle(&k->renewer);
    if (renewer_lost(&k->renewer, why))
        lose(k, why);
    else if (left == 0)
        lose(k, "the lease has run out");
    else if (k->why != MAX_HOLD && left <= k->options->exp_ms / 3)
        run_short(k, now, left, why);
}

static void look_at_lease(struct keeper *k, int64_t now)
{
    if (!k->held)
        return;
    if (k->options->client != NULL) {
        look_at_server(k, now);
        return;
    }
    if (k->why != MAX_HOLD && now >= k->renew_at) {
        cachify_status_t status = cachify_extend(&k->lease, k->options->exp_ms);
        if (status == CACHIFY_OK)
            k->renew_at = later(now, k->options->exp_ms / 3);
        else if (status == CACHIFY_LOST || status == CACHIFY_GONE || status == CACHIFY_CORRUPT)
            lose(k, cachify_last_error());
        return; /* of memory there may be enough the next time */
    }
    if (!cachify_lease_held(&k->lease))
        lose(k, k->why == MAX_HOLD ? "the lease has run out"
                                   : "it was taken away by force, or the segment is gone");
}

/* ---- What happens meanwhile ---- */

static void note_end(struct keeper *k, const siginfo_t *info)
{
    k->ended = true;
    k->status = info->si_code == CLD_EXITED ? info->si_status : EX_SIGNAL + info->si_status;
    k->page->command = 0; /* before its number may be another's */
}

static void reap(struct keeper *k)
{
    for (;;) {
        siginfo_t info = {0};
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0)
            k->alone = errno == ECHILD;
        if (info.si_pid == 0)
            return;
        if (info.si_pid == k->command && !k->ended)
            note_end(k, &info);
        waitid(P_PID, (id_t)info.si_pid, &info, WEXITED);
    }
}

static void hear(struct keeper *k)
{
    struct signalfd_siginfo info;
    while (read(k->signals, &info, sizeof info) == sizeof info)
        if (info.ssi_signo != SIGCHLD && !k->ended)
            command_signal(k->page, k->command, (int)info.ssi_signo);
}

static void await(struct keeper *k)
{
    int64_t now = monotonic_ms(), until = now + LOOK_MS;
    if (k->held && k->why != MAX_HOLD && k->options->client == NULL)
        until = earlier(until, k->renew_at);
    until = earlier(until, k->why == NOT_ENDED ? k->max_at : k->kill_at);
    struct pollfd on[] = {{.fd = k->signals, .events = POLLIN},
                          {.fd = k->why == RUNNER_DIED ? -1 : k->runner, .events = 0}};
    poll(on, 2, until > now ? (int)(until - now) : 0);
    hear(k);
    reap(k);
    if (on[1].revents != 0 && !k->ended)
        end_command(k, RUNNER_DIED, "its runner has died");
    if (on[1].revents != 0)
        k->runner = -1;
}

static void hold_no_longer(struct keeper *k)
{
    if (k->options->client != NULL)
        renewer_stop(&k->renewer);
    end_command(k, MAX_HOLD, "it was held for as long as --max-hold allows");
}

static void watch(struct keeper *k)
{
    while (k->why == NOT_ENDED ? !k->ended : !k->alone) {
        await(k);
        int64_t now = monotonic_ms();
        if (k->why == NOT_ENDED && k->ended)
            break;
        look_at_lease(k, now);
        if (k->why == NOT_ENDED && now >= k->max_at)
            hold_no_longer(k);
        if (k->why != NOT_ENDED && now >= k->kill_at)
            kill_command(k, now);
    }
}

/* ---- From the beginning to the end ---- */

static void start(struct keeper *k, const struct signals *was)
{
    const struct options *o = k->options;
    int64_t now = monotonic_ms();
    k->held = true;
    k->renew_at = later(now, o->exp_ms == CACHIFY_NEVER ? CACHIFY_NEVER : o->exp_ms / 3);
    k->max_at = later(now, o->max_hold_ms);
    struct command_environment e = {
        .key = o->key,
        .prefix = options_prefix(o),
        .segment = o->client == NULL ? options_segment(o) : NULL,
        .token = cachify_lease_token(&k->lease),
        .deadline_ms = later(wall_ms(), o->max_hold_ms),
    };
    command_environment_set(&e);
    bool renewed = o->client == NULL || renewer_start(&k->renewer, o, &k->lease);
    k->command = renewed ? command_start(o->command, k->page, was) : -1;
    if (k->command < 0) {
        say("cannot start a process for \"%s\": %s; try again when there are fewer", o->command[0],
            strerror(errno));
        cachify_release(&k->lease);
        exit(EX_OSERR);
    }
}

/* To a server that does not answer at the end nothing was lost: it held all the time. */
static void complain_of_release(struct keeper *k, cachify_status_t status, bool held)
{
    if (held && status != CACHIFY_LOST) {
        say("the lock \"%s\" could not be given back, and comes free when its lease is over: %s",
            k->options->key, cachify_last_error());
        return;
    }
    say("the lock \"%s\" was lost before the command ended: %s", k->options->key,
        cachify_last_error());
    k->why = LOST;
}

/* The status to end with. */
static int end(struct keeper *k, cachify_t *instance)
{
    if (k->options->client != NULL)
        renewer_join(&k->renewer);
    bool held = k->options->client != NULL && cachify_lease_held(&k->lease);
    cachify_status_t status = cachify_release(&k->lease);
    if (k->why == NOT_ENDED && status != CACHIFY_OK)
        complain_of_release(k, status, held);
    cachify_close(instance);
    return k->why == NOT_ENDED ? k->status : EX_TEMPFAIL;
}

void keep(const struct options *options, struct page *page, int runner, const struct signals *was)
{
    struct keeper k = {.options = options, .page = page, .runner = runner};
    sigset_t set = signals_read();
    setpgid(0, 0); /* what is meant for the runner's group is not meant for us */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    k.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (k.signals < 0)
        fail(EX_OSERR, "cannot read signals: %s", strerror(errno));
    cachify_t *instance = options_open(options);
    wait_for_lock(options, instance, k.signals, runner, &k.lease);
    start(&k, was);
    watch(&k);
    exit(end(&k, instance));
}
