/* Nonsense, of the kinds that hurt: a word of its own kind from elsewhere, a number just beyond a
 * bound, one bit; and chance. */
#include <string.h>

#include "ground/hash.h"
#include "hostile.h"
#include "shm/segment.h"

uint64_t roll(struct dice *dice)
{
    uint64_t z = dice->state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

uint32_t below(struct dice *dice, uint32_t n)
{
    return (uint32_t)((roll(dice) >> 32) * n >> 32);
}

static _Atomic uint64_t *words_at(void *at)
{
    return at;
}

/* Any word of these bytes. */
static _Atomic uint64_t *word_between(struct dice *dice, void *from, uint64_t bytes)
{
    return words_at(from) + below(dice, (uint32_t)(bytes / 8));
}

static _Atomic uint64_t *some_slot(struct dice *dice, const struct cf_mapping *m)
{
    return cf_slot_at(m, cf_slot_number(below(dice, m->groups), below(dice, CF_SLOTS)));
}

/* A record that something is known of: one that a word names, or that is taken. */
static uint32_t some_record(struct dice *dice, const struct cf_mapping *m)
{
    for (unsigned tries = 0; tries < 8; tries++) {
        cf_word w = cf_load_relaxed(some_slot(dice, m));
        if (w != 0 && cf_word_record(w) < m->records)
            return cf_word_record(w);
    }
    uint32_t start = below(dice, m->records);
    for (uint32_t i = 0; i < m->records; i++) {
        uint32_t r = (start + i) % m->records;
        if (cf_state_is_taken(cf_load_relaxed(&cf_record_at(m, r)->state)))
            return r;
    }
    return start;
}

/* ---- What is written ---- */

static uint64_t odd_value(struct dice *dice, const struct cf_mapping *m, uint64_t old)
{
    const uint64_t bounds[] = {0,
                               1,
                               UINT64_MAX,
                               UINT64_MAX - 1,
                               INT64_MAX,
                               UINT64_C(1) << 63,
                               m->records,
                               m->max_locks,
                               m->processes,
                               m->key_max,
                               m->key_max + 1,
                               m->groups * UINT64_C(8)};
    switch (below(dice, 8)) {
    case 0:
    case 1:
    case 2:
        return old ^ UINT64_C(1) << below(dice, 64);
    case 3:
        return roll(dice);
    case 4:
        return (old & ~UINT64_C(0xffffffff)) | roll(dice) >> 32;
    case 5:
        return (old & UINT64_C(0xffffffff)) | roll(dice) << 32;
    case 6:
        return bounds[below(dice, sizeof bounds / sizeof bounds[0])];
    default:
        return old + (uint64_t)below(dice, 5) - 2;
    }
}

/* A slot's word made of another's, or with one field of its own changed. */
static uint64_t odd_slot(struct dice *dice, const struct cf_mapping *m, uint64_t old)
{
    const uint64_t record = CF_RECORDS_LIMIT - 1;
    switch (below(dice, 6)) {
    case 0:
        return cf_load_relaxed(some_slot(dice, m));
    case 1:
        return cf_word_with_state(old, (enum cf_word_state)below(dice, 4));
    case 2:
        return (old & ~record) | below(dice, m->records);
    case 3:
        return (old & ~record) | (m->records + below(dice, (uint32_t)record + 1 - m->records));
    case 4:
        return cf_word_with_state(cf_load_relaxed(some_slot(dice, m)),
                                  (enum cf_word_state)below(dice, 4));
    default:
        return odd_value(dice, m, old);
    }
}

/* ---- Where ---- */

static void hurt_index(struct dice *dice, const struct cf_mapping *m)
{
    if (below(dice, 4) == 0) { /* control, token and wait words too */
        _Atomic uint64_t *w =
            word_between(dice, m->group_at, m->groups * (uint64_t)sizeof(struct cf_group));
        cf_store_relaxed(w, odd_value(dice, m, cf_load_relaxed(w)));
        return;
    }
    _Atomic uint64_t *slot = some_slot(dice, m);
    cf_store_relaxed(slot, odd_slot(dice, m, cf_load_relaxed(slot)));
}

static void hurt_record(struct dice *dice, const struct cf_mapping *m)
{
    uint32_t r = below(dice, 8) == 0 ? below(dice, m->records) : some_record(dice, m);
    _Atomic uint64_t *words = words_at(cf_record_at(m, r));
    const uint32_t fixed = offsetof(struct cf_record, text) / 8;
    uint32_t at = below(dice, below(dice, 4) == 0 ? m->record_size / 8 : fixed);
    if (below(dice, 6) == 0) { /* the same field of another record */
        const _Atomic uint64_t *other = words_at(cf_record_at(m, some_record(dice, m)));
        cf_store_relaxed(&words[at], cf_load_relaxed(&other[at]));
        return;
    }
    cf_store_relaxed(&words[at], odd_value(dice, m, cf_load_relaxed(&words[at])));
}

static void hurt_process(struct dice *dice, const struct cf_mapping *m)
{
    struct cf_process *p = &m->process_at[below(dice, m->processes)];
    for (unsigned tries = 0; tries < 64 && cf_load_relaxed(&p->generation) == 0; tries++)
        p = &m->process_at[below(dice, m->processes)];
    if (below(dice, 3) == 0) { /* what a removal noted */
        cf_store_relaxed(&p->intent[below(dice, CF_INTENTS)], cf_load_relaxed(some_slot(dice, m)));
        return;
    }
    _Atomic uint64_t *w = word_between(dice, p, sizeof *p);
    cf_store_relaxed(w, odd_value(dice, m, cf_load_relaxed(w)));
}

static void hurt_waiter(struct dice *dice, const struct cf_mapping *m)
{
    struct cf_waiter *waiter = &m->waiter_at[below(dice, m->waiters)];
    if (below(dice, 2) == 0) { /* one that may be somebody's */
        const struct cf_record *r = cf_record_at(m, some_record(dice, m));
        cf_store_relaxed(&waiter->owner, cf_load_relaxed(&r->owner));
        cf_store_relaxed(&waiter->hash, cf_load_relaxed(&r->hash));
    }
    _Atomic uint64_t *w = word_between(dice, waiter, sizeof *waiter);
    cf_store_relaxed(w, odd_value(dice, m, cf_load_relaxed(w)));
}

/* All but the boot's identity: whoever opens a segment of another boot puts another file in its
 * place. */
static void hurt_word(struct dice *dice, const struct cf_mapping *m, uint64_t bytes)
{
    _Atomic uint64_t *w = word_between(dice, m->base, bytes);
    uint64_t offset = (uint64_t)((uint8_t *)w - m->base);
    const uint64_t boot_id = offsetof(struct cf_header, boot_id);
    if (offset < boot_id || offset >= boot_id + sizeof(((struct cf_header *)0)->boot_id))
        cf_store_relaxed(w, odd_value(dice, m, cf_load_relaxed(w)));
}

/* Half of the time with the right checksum, so that what comes behind it is reached. */
static void hurt_header(struct dice *dice, const struct cf_mapping *m)
{
    struct cf_header *h = (struct cf_header *)(void *)m->base;
    hurt_word(dice, m, sizeof *h);
    if (below(dice, 2) == 0)
        h->checksum = cf_header_checksum(h);
}

void scribble(struct dice *dice, const struct cf_mapping *m)
{
    hurt_word(dice, m, m->size);
}

/* One field in all places at once: what is never met by chance, a table without an empty slot, a
 * pool without a free record, paths that go round. */
static void flood(struct dice *dice, const struct cf_mapping *m)
{
    uint32_t what = below(dice, 7), kind = below(dice, 3);
    uint64_t same = roll(dice);
    uint32_t many = what < 2 ? m->groups * 8 : what == 6 ? m->waiters : m->records;
    for (uint32_t i = 0; i < many; i++) {
        _Atomic uint64_t *w;
        if (what == 0)
            w = cf_slot_at(m, cf_slot_number(i / 8, i % CF_SLOTS));
        else if (what == 1)
            w = &m->group_at[i / 8].control;
        else if (what == 2)
            w = &m->process_at[i % m->processes].intent[i / m->processes % CF_INTENTS];
        else if (what == 6)
            w = &m->waiter_at[i].owner;
        else
            w = words_at(cf_record_at(m, i)) + (what == 3 ? 0 : below(dice, CF_LINE / 8));
        uint64_t old = cf_load_relaxed(w);
        uint64_t word = kind == 0 ? roll(dice) : kind == 1 ? same : odd_value(dice, m, old);
        if (what == 0 && kind == 2)
            word = odd_slot(dice, m, old);
        cf_store_relaxed(w, what == 3 && kind == 1 ? old | CF_TAKEN : word);
    }
}

void damage(struct dice *dice, const struct cf_mapping *m, unsigned writes)
{
    for (unsigned floods = below(dice, 8) == 0 ? 1 + below(dice, 2) : 0; floods > 0; floods--)
        flood(dice, m);
    for (; writes > 0; writes--) {
        uint32_t where = below(dice, 100);
        if (where < 40)
            hurt_index(dice, m);
        else if (where < 75)
            hurt_record(dice, m);
        else if (where < 85)
            hurt_process(dice, m);
        else if (where < 90)
            hurt_waiter(dice, m);
        else if (where < 94)
            hurt_header(dice, m);
        else
            scribble(dice, m);
    }
}
