#include "control.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Later than this, what should have returned hangs. */
#define HANGS (10000 * MS)
#define CATCH_TRIES 100u

static volatile sig_atomic_t interrupted;

struct control {
    const struct plan *plan;
    struct dice dice;
    uint64_t number; /* of processes started */
    pid_t worker[MAX_PROCESSES];
    struct {
        pid_t pid; /* stopped; 0 */
        int64_t until;
    } stopped[MAX_SLOTS];
};

static void on_signal(int signal)
{
    interrupted = signal;
}

void control_prepare(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    prctl(PR_SET_CHILD_SUBREAPER, 1); /* children of killed workers come to us */
}

bool control_interrupted(void)
{
    return interrupted != 0;
}

/* Only what is in the slot, and of that only what nobody has waited for: its id is taken
 * out of the slot before.  So this is never another's process. */
static bool send_signal(const struct slot *slot, pid_t pid, int signal)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0)
        return false;
    bool sent = slot->pid == pid && syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0) == 0;
    close(fd);
    return sent;
}

static void start_worker(struct control *c, unsigned i)
{
    uint64_t number = ++c->number;
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGINT, SIG_IGN); /* from a terminal it comes to all; who controls ends us */
        signal(SIGTERM, SIG_DFL);
        signal(SIGHUP, SIG_DFL);
        worker_main(c->plan, number);
    }
    c->worker[i] = pid > 0 ? pid : 0;
}

/* True if there was one to wait for. */
static bool reap_one(struct control *c)
{
    siginfo_t info = {0};
    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0)
        return false;
    for (uint32_t i = 0; i < oracle->slots; i++)
        if (oracle->slot[i].pid == info.si_pid)
            oracle_ended(&oracle->slot[i], info.si_code != CLD_EXITED, info.si_status);
    for (unsigned i = 0; i < MAX_PROCESSES; i++)
        if (c->worker[i] == info.si_pid)
            c->worker[i] = 0;
    waitpid(info.si_pid, NULL, 0);
    return true;
}

static bool have_children(void)
{
    siginfo_t info;
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 || errno != ECHILD;
}

static struct slot *random_slot(struct control *c, pid_t *pid)
{
    uint32_t used = oracle->slots;
    for (unsigned tries = 0; used > 0 && tries < 20; tries++) {
        struct slot *slot = &oracle->slot[below(&c->dice, used)];
        *pid = slot->pid;
        if (*pid > 1 && !slot->doomed)
            return slot;
    }
    return NULL;
}

static bool in_call(const struct slot *slot)
{
    return slot->call[MAIN_THREAD].until != 0 || slot->call[HELPER_THREAD].until != 0;
}

/* In a call that sleeps most of its time, and would be caught most often. */
static bool waits(const struct slot *slot)
{
    return slot->call[MAIN_THREAD].until > now_ns() && slot->call[HELPER_THREAD].until == 0;
}

static bool stop(struct slot *slot, pid_t pid)
{
    slot->stopped = true;
    atomic_fetch_add(&slot->stops, 1);
    if (send_signal(slot, pid, SIGSTOP))
        return true;
    slot->stopped = false;
    return false;
}

static void go_on(struct slot *slot, pid_t pid)
{
    if (send_signal(slot, pid, SIGCONT))
        slot->stopped = false;
}

/* A process that is stopped in the middle of one of the library's calls, which chance alone
 * seldom finds; or, after many tries, anywhere.  It is not among those to be continued. */
static struct slot *catch_one(struct control *c, pid_t *pid)
{
    for (unsigned tries = 0; tries < CATCH_TRIES; tries++) {
        struct slot *slot = random_slot(c, pid);
        if (slot == NULL || slot->stopped || !stop(slot, *pid))
            continue;
        pause_us(20); /* for the signal to arrive */
        if ((in_call(slot) && (!waits(slot) || percent(&c->dice, 15))) || tries + 1 == CATCH_TRIES)
            return slot;
        go_on(slot, *pid);
    }
    return NULL;
}

static void kill_one(struct control *c)
{
    pid_t pid;
    bool anywhere = percent(&c->dice, 30);
    struct slot *slot = anywhere ? random_slot(c, &pid) : catch_one(c, &pid);
    if (slot == NULL)
        return;
    if (in_call(slot))
        count(KILLS_IN_CALLS);
    oracle_doom(slot);
    if (send_signal(slot, pid, SIGKILL))
        count(KILLS);
}

static void stop_one(struct control *c)
{
    pid_t pid;
    struct slot *slot = catch_one(c, &pid);
    if (slot == NULL)
        return;
    size_t i = (size_t)(slot - oracle->slot);
    count(STOPS);
    if (in_call(slot))
        count(STOPS_IN_CALLS);
    c->stopped[i].pid = pid;
    c->stopped[i].until =
        now_ns() + (percent(&c->dice, 80) ? below(&c->dice, 60) : below(&c->dice, 400)) * MS;
}

static void continue_due(struct control *c, bool all)
{
    for (unsigned i = 0; i < MAX_SLOTS; i++) {
        pid_t pid = c->stopped[i].pid;
        if (pid == 0 || (!all && c->stopped[i].until > now_ns()))
            continue;
        c->stopped[i].pid = 0;
        go_on(&oracle->slot[i], pid);
    }
}

static void watch(void)
{
    int64_t now = now_ns();
    for (uint32_t i = 0; i < oracle->slots; i++) {
        struct slot *slot = &oracle->slot[i];
        for (unsigned t = 0; t < MAX_THREADS; t++) {
            int64_t until = slot->call[t].until;
            pid_t pid = slot->pid;
            if (until == 0 || now < until + HANGS || slot->stopped || slot->doomed || pid == 0)
                continue;
            violation(RULE_NOT_BLOCKED, "process %d hangs in: %s", (int)pid,
                      (const char *)slot->call[t].name);
            oracle_doom(slot);
            send_signal(slot, pid, SIGKILL);
        }
    }
}

static void show_reports(unsigned *shown)
{
    for (; *shown < MAX_REPORTS && oracle->report[*shown].written; (*shown)++)
        printf("  VIOLATION: %s\n", oracle->report[*shown].text);
    fflush(stdout);
}

static void torture(struct control *c, int64_t ns, unsigned *shown)
{
    int64_t end = now_ns() + ns;
    int64_t next = now_ns();
    while (now_ns() < end && !interrupted && *shown < 20) {
        for (unsigned i = 0; i < c->plan->processes; i++)
            if (c->worker[i] == 0)
                start_worker(c, i);
        if (now_ns() >= next) {
            next = now_ns() + (500 + below(&c->dice, 9000)) * (MS / 1000);
            if (percent(&c->dice, 50))
                kill_one(c);
            else
                stop_one(c);
        }
        continue_due(c, false);
        watch();
        show_reports(shown);
        while (reap_one(c)) {
        }
        pause_us(500);
    }
}

/* All end by themselves, or are killed at once. */
static void end_all(struct control *c, bool kill)
{
    int64_t patience = now_ns() + HANGS + 25000 * MS;
    oracle->stop = true;
    continue_due(c, true);
    while (have_children()) {
        bool late = now_ns() > patience;
        for (uint32_t i = 0; i < oracle->slots; i++) {
            struct slot *slot = &oracle->slot[i];
            pid_t pid = slot->pid;
            if (pid == 0 || !(kill || late || interrupted))
                continue;
            if (late)
                violation(RULE_NOT_BLOCKED, "process %d did not end", (int)pid);
            oracle_doom(slot);
            send_signal(slot, pid, SIGKILL);
        }
        watch();
        while (reap_one(c)) {
        }
        if (late)
            patience = now_ns() + HANGS;
        pause_us(1000);
    }
}

static void look_for_leaks(const struct plan *plan)
{
    int status = 0;
    int64_t end = now_ns() + HANGS;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        leaks_main(plan);
    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (now_ns() > end)
            kill(pid, SIGKILL);
        pause_us(1000);
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        violation(RULE_NO_LEAK, "the count at the end ended with status %#x", (unsigned)status);
}

void control_run(const struct plan *plan, int64_t ns)
{
    static struct control c;
    unsigned shown = 0;
    memset(&c, 0, sizeof c);
    c.plan = plan;
    c.dice.state = plan->seed;
    torture(&c, ns, &shown);
    end_all(&c, percent(&c.dice, 50));
    if (!interrupted)
        look_for_leaks(plan);
    show_reports(&shown);
}
