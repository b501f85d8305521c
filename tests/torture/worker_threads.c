#include <sched.h>

#include "worker.h"

/* The lease was taken by the other thread.  It is held here for a while, and given back. */
static void finish(struct helper *helper, struct entry *e)
{
    struct dice *dice = &helper->dice;
    if (percent(dice, 30))
        pause_us(below(dice, 2000));
    oracle_claim(&e->h);
    if (percent(dice, 30))
        extend(e, HELPER_THREAD, dice);
    if (e->use == UNUSED)
        return; /* it was lost */
    if (percent(dice, 3))
        pause_us(below(dice, 60000));
    oracle_claim(&e->h);
    release(e, HELPER_THREAD);
}

static void *helper_main(void *argument)
{
    struct helper *helper = argument;
    pthread_mutex_lock(&helper->mutex);
    for (;;) {
        while (helper->job == NULL)
            pthread_cond_wait(&helper->changed, &helper->mutex);
        struct entry *e = helper->job;
        bool race = helper->race;
        pthread_mutex_unlock(&helper->mutex);
        if (race) {
            helper->racing = true;
            helper->race_answer = cachify_extend(&e->h.lease, LONGEST_MS);
        } else {
            finish(helper, e);
        }
        pthread_mutex_lock(&helper->mutex);
        helper->job = NULL;
        pthread_cond_broadcast(&helper->changed);
    }
    return NULL;
}

void helper_start(struct worker *w)
{
    struct helper *helper = &w->helper;
    helper->dice.state = roll(&w->dice);
    pthread_mutex_init(&helper->mutex, NULL);
    pthread_cond_init(&helper->changed, NULL);
    helper->started = pthread_create(&helper->thread, NULL, helper_main, helper) == 0;
}

bool helper_free(struct worker *w)
{
    if (!w->helper.started)
        return false;
    pthread_mutex_lock(&w->helper.mutex);
    bool free = w->helper.job == NULL;
    pthread_mutex_unlock(&w->helper.mutex);
    return free;
}

static void give_job(struct helper *helper, struct entry *e, bool race)
{
    pthread_mutex_lock(&helper->mutex);
    helper->job = e;
    helper->race = race;
    helper->racing = false;
    pthread_cond_broadcast(&helper->changed);
    pthread_mutex_unlock(&helper->mutex);
}

void hand_over(struct worker *w, struct entry *e)
{
    count(HANDED_OVER);
    e->use = LENT;
    give_job(&w->helper, e, false);
}

/* Extend there and release here, of one lease at once: release wins. */
void race_release(struct worker *w, struct entry *e)
{
    struct helper *helper = &w->helper;
    struct holding *h = &e->h;
    count(RACES);
    oracle_renounce(h);
    give_job(helper, e, true);
    while (!helper->racing)
        sched_yield();
    for (unsigned spin = below(&w->dice, 400); spin > 0; spin--)
        atomic_signal_fence(memory_order_seq_cst);
    cachify_status_t status = cachify_release(&h->lease);
    pthread_mutex_lock(&helper->mutex);
    while (helper->job != NULL)
        pthread_cond_wait(&helper->changed, &helper->mutex);
    pthread_mutex_unlock(&helper->mutex);
    oracle_released(h, status);
    if (helper->race_answer != CACHIFY_OK && helper->race_answer != CACHIFY_LOST)
        violation(RULE_ANSWERS, "extend during release answers %s",
                  cachify_strerror(helper->race_answer));
    if (cachify_lease_token(&h->lease) != 0 || cachify_lease_held(&h->lease))
        violation(RULE_ANSWERS, "a lease is not empty after extend raced release");
    ask_not_held(w, h);
    e->use = UNUSED;
}
