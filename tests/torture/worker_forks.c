#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worker.h"

/* What the parent holds is no business of the child's. */
static void touch_parents(struct worker *w)
{
    for (unsigned i = 0; i < MAX_RECS; i++) {
        struct entry *e = &w->entry[i];
        if (e->use != MINE)
            continue;
        cachify_lease_t *lease = &e->h.lease;
        bool held = cachify_lease_held(lease);
        cachify_status_t extended = cachify_extend(lease, 50);
        cachify_status_t released = cachify_release(lease);
        cachify_status_t again = cachify_release(lease);
        if (held || extended != CACHIFY_INVALID || released != CACHIFY_INVALID ||
            again != CACHIFY_OK)
            violation(RULE_FORK, "in a child, held is %d, extend answers %s, release %s, again %s",
                      held, cachify_strerror(extended), cachify_strerror(released),
                      cachify_strerror(again));
    }
}

_Noreturn static void child_main(struct worker *w, uint64_t seed)
{
    w->slot = oracle_enter();
    if (w->slot == NULL)
        _exit(0);
    w->dice.state = seed;
    w->is_child = true;
    w->child = 0;
    w->helper.started = false;
    touch_parents(w);
    if (percent(&w->dice, 20)) { /* its parent's stays open */
        cachify_close(w->instance);
        if (!open_instance(w->plan, &w->instance))
            _exit(1);
    }
    for (unsigned i = 0; i < MAX_RECS; i++)
        w->entry[i].use = UNUSED;
    for (unsigned n = 5 + below(&w->dice, 60); n > 0 && !oracle->stop; n--)
        worker_act(w);
    end(w, percent(&w->dice, 30));
}

/* What a checker knows of forks it knows from fork. */
#if defined(__SANITIZE_THREAD__)
#define BARE_CLONES false
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define BARE_CLONES false
#endif
#endif
#ifndef BARE_CLONES
#define BARE_CLONES true
#endif

/* By fork or, where no other thread can be in the middle of anything, as any language's
 * runtime might: by the bare system call. */
void fork_child(struct worker *w)
{
    uint64_t seed = roll(&w->dice);
    bool bare = percent(&w->dice, 30) && !w->helper.started && BARE_CLONES;
    if (w->child != 0 || w->is_child || w->plan->no_forks)
        return;
    count(FORKS);
    pid_t pid = bare ? (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) : fork();
    if (pid == 0)
        child_main(w, seed);
    w->child = pid > 0 ? pid : 0;
}

/* It is written off while it is a zombie: its id is no other process's until then. */
void reap_child(struct worker *w, bool wait)
{
    siginfo_t info = {0};
    if (w->child == 0)
        return;
    if (waitid(P_PID, (id_t)w->child, &info, WEXITED | WNOWAIT | (wait ? 0 : WNOHANG)) != 0 ||
        info.si_pid == 0)
        return;
    for (uint32_t i = 0; i < oracle->slots; i++)
        if (oracle->slot[i].pid == w->child)
            oracle_ended(&oracle->slot[i], info.si_code != CLD_EXITED, info.si_status);
    waitpid(w->child, NULL, 0);
    w->child = 0;
}

/* exec ends every lease, though the process lives on under the same id. */
_Noreturn void become_another_program(struct worker *w)
{
    char argument[64];
    count(EXECS);
    oracle_doom(w->slot);
    snprintf(argument, sizeof argument, "--linger=%d:%u", w->plan->oracle_fd,
             (unsigned)(w->slot - oracle->slot));
    execl("/proc/self/exe", "torture", argument, (char *)NULL);
    violation(RULE_ANSWERS, "exec: errno %d", errno);
    _exit(1);
}

_Noreturn void worker_linger(int oracle_fd, unsigned slot)
{
    if (oracle_map(oracle_fd) < 0 || slot >= MAX_SLOTS)
        _exit(1);
    oracle_lost_all(&oracle->slot[slot]);
    pause_us(120000);
    _exit(0);
}

_Noreturn void end(struct worker *w, bool tidy)
{
    count(EXITS);
    if (tidy)
        for (unsigned i = 0; i < MAX_RECS; i++)
            if (w->entry[i].use == MINE)
                release(&w->entry[i], MAIN_THREAD);
    oracle_doom(w->slot);
    if (tidy && !w->is_child)
        exit(0);
    _exit(0);
}
