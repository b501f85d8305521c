#include "worker.h"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

/* A place for another lease; those left to expire come free once they have. */
static struct entry *unused_entry(struct worker *w)
{
    for (unsigned i = 0; i < MAX_RECS; i++) {
        struct entry *e = &w->entry[i];
        if (e->use == ABANDONED_UNTIL_OVER && e->h.rec->perhaps_until < now_ns())
            e->use = UNUSED;
        if (e->use == UNUSED)
            return e;
    }
    return NULL;
}

static struct entry *random_entry(struct worker *w, enum use use)
{
    unsigned start = below(&w->dice, MAX_RECS);
    for (unsigned i = 0; i < MAX_RECS; i++) {
        struct entry *e = &w->entry[(start + i) % MAX_RECS];
        if (e->use == (int)use)
            return e;
    }
    return NULL;
}

static unsigned count_leases(const struct worker *w)
{
    unsigned leases = 0;
    for (unsigned i = 0; i < MAX_RECS; i++)
        leases += w->entry[i].use == MINE || w->entry[i].use == LENT;
    return leases;
}

/* Mostly a moment; sometimes beyond its expiry, so that it is released late. */
static void hold(struct worker *w, struct entry *e)
{
    unsigned kind = below(&w->dice, 100);
    oracle_claim(&e->h);
    if (kind < 90)
        for (unsigned spin = below(&w->dice, 2000); spin > 0; spin--)
            atomic_signal_fence(memory_order_seq_cst);
    else if (kind < 99)
        pause_us(below(&w->dice, 1000));
    else
        pause_us(below(&w->dice, percent(&w->dice, 30) ? 60000 : 6000));
    oracle_claim(&e->h);
}

/* Forget it, without a release.  It has an end, and its rec is kept till then. */
static void abandon(const struct worker *w, struct entry *e)
{
    if (e->h.rec->perhaps_until > now_ns() + 300 * MS || w->plan->most_leases == 1)
        return;
    oracle_abandon(&e->h);
    e->use = ABANDONED_UNTIL_OVER;
}

/* Leases outlive the instance that they were taken from.  It keeps its entry in the
 * segment as long, so this is not done for ever. */
static void reopen(struct worker *w)
{
    cachify_t *next = NULL;
    if (w->reopened == 2 || w->is_child)
        return;
    w->reopened++;
    bool first = percent(&w->dice, 50);
    if (first)
        cachify_close(w->instance);
    if (!open_instance(w->plan, &next))
        end(w, false);
    if (!first)
        cachify_close(w->instance);
    w->instance = next;
}

static void end_somehow(struct worker *w)
{
    unsigned kind = below(&w->dice, 100);
    if (kind < 10 && !w->plan->no_forks && !w->is_child)
        become_another_program(w);
    if (kind < 40)
        end(w, kind < 20);
    if (kind < 60)
        reopen(w);
}

static void wait_for_own(struct worker *w)
{
    struct entry *e = random_entry(w, MINE);
    struct entry *other = unused_entry(w);
    if (e != NULL && other != NULL && e->h.told == FOREVER && !w->is_child)
        wait_for_oneself(w, e, other);
}

void worker_act(struct worker *w)
{
    struct entry *e;
    unsigned what = below(&w->dice, 1000);
    if (what < 450) {
        if (count_leases(w) < w->plan->most_leases && (e = unused_entry(w)) != NULL)
            try_acquire(w, e);
        return;
    }
    if (what < 480)
        look(w);
    else if (what < 492)
        force(w);
    else if (what < 495 && w->plan->most_leases > 1)
        sweep(w); /* else whoever runs short does it, or there is FULL */
    else if (what < 496)
        fork_child(w);
    else if (what < 497)
        end_somehow(w);
    else if (what < 500)
        wait_for_own(w);
    if (what < 500 || (e = random_entry(w, MINE)) == NULL)
        return;
    if (what < 620)
        hold(w, e);
    else if (what < 700)
        extend(e, MAIN_THREAD, &w->dice);
    else if (what < 710)
        abandon(w, e);
    else if (what < 750 && helper_free(w))
        hand_over(w, e);
    else if (what < 790 && helper_free(w))
        race_release(w, e);
    else
        release(e, MAIN_THREAD);
}

void worker_main(const struct plan *plan, uint64_t number)
{
    static struct worker w; /* zero */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    w.plan = plan;
    w.dice.state = plan->seed ^ number * UINT64_C(0xD1342543DE82EF95);
    w.slot = oracle_enter();
    if (w.slot == NULL || !open_instance(plan, &w.instance))
        _exit(1);
    if (!plan->no_forks && percent(&w.dice, 50))
        helper_start(&w);
    while (!oracle->stop) {
        worker_act(&w);
        if (plan->leisurely && count_leases(&w) == 0)
            pause_us(below(&w.dice, 2000));
        reap_child(&w, false);
    }
    end(&w, percent(&w.dice, 30));
}
