/* Whether a segment is as the protocol leaves it, looked at from outside while it is used.
 *
 * A word that stands in its slot before and after its record was read stood all the while, and
 * its record could not be another's; so whatever W0 to W3 and R1 to R8 say of the two has to
 * hold of what was read in between.  The rules leave room for what is under way, and for
 * processes that died or stand still at any instruction: section 8. */
#include <cachify/shm.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ground/hash.h"
#include "ground/report.h"
#include "shm/path.h"
#include "shm/record.h"
#include "shm/segment.h"
#include "shm/view.h"

#define MANY_LOOKS 100u

uint64_t cf_check_again_ns = 10 * CF_MS;

enum fault {
    NO_FAULT,
    WORD_STATE,
    WORD_RECORD,
    RECORD_STATE,
    RECORD_SLOT,
    RECORD_KEY_LEN,
    RECORD_VALUE_LEN,
    RECORD_HASH,
    RECORD_TAG,
    RECORD_PATH,
    RECORD_OWNER,
    RECORD_OWNER_FUTURE,
    RECORD_OWNER_OTHER,
    TWO_WORDS, /* a, b: slots */
    TWO_KEYS,
    STATE_ENTRY, /* a: record */
    INTENT,      /* a: entry, b: place */
    WAITER,      /* a: its number */
    HEADER,
};

struct suspect {
    enum fault fault;
    uint32_t a, b;
};

struct check {
    const struct cf_mapping *m;
    uint32_t *clear;    /* to each group: how many groups before it one does not overflow */
    uint32_t *named_by; /* to each record: the slot whose word names it; 0 none was met */
    uint32_t *met;      /* slots by the hash of their keys: open addressing, at most half full */
    uint32_t met_mask, met_count;
    uint64_t multiplier; /* drawn for each check, so that nobody can write hashes that collide */
    struct suspect *suspects;
    size_t count, room;
    bool failed; /* no memory */
};

static void suspect(struct check *c, enum fault fault, uint32_t a, uint32_t b)
{
    if (fault == NO_FAULT || c->failed)
        return;
    if (c->count == c->room) {
        size_t room = c->room != 0 ? 2 * c->room : 64;
        struct suspect *more = reallocarray(c->suspects, room, sizeof *more);
        if (more == NULL) {
            c->failed = true;
            return;
        }
        c->suspects = more;
        c->room = room;
    }
    c->suspects[c->count++] = (struct suspect){fault, a, b};
}

/* ---- A word and its record ---- */

static uint64_t hash_of_key(const struct cf_mapping *m, const struct cf_record *r, uint32_t len)
{
    _Alignas(8) char key[CF_KEY_MAX_LIMIT + 8] = {0};
    for (uint32_t i = 0; i < cf_key_words(len); i++) {
        uint64_t word = cf_load_relaxed(&r->text[i]);
        memcpy(key + (size_t)i * 8, &word, sizeof word);
    }
    return cf_hash(key, len, m->hash_seed);
}

/* R1 to R4.  A held word's record may be claimed for its release already: by one who died or
 * stands still there, for any time (C6). */
static bool state_fits(cf_state s, cf_word w)
{
    uint64_t ahead = (cf_state_generation(s) - cf_word_generation(w)) & CF_GENERATION_MASK;
    return cf_state_is_taken(s) && (ahead == 0 || (ahead == 1 && cf_word_state(w) == CF_HELD));
}

static enum fault fault_of_owner(const struct cf_mapping *m, const struct cf_record *r, cf_state s)
{
    cf_owner owner = cf_load_acquire(&r->owner);
    uint32_t entry = cf_owner_entry(owner);
    if (entry >= m->processes)
        return RECORD_OWNER;
    /* Generations only grow, and the owner's was read first. */
    if (cf_owner_generation(owner) > cf_load_acquire(&m->process_at[entry].generation))
        return RECORD_OWNER_FUTURE;
    if (cf_state_entry(s) != entry || !cf_state_of_generation(s, owner))
        return RECORD_OWNER_OTHER;
    return NO_FAULT;
}

/* Whether a group between the home and the slot's does not say that keys passed it.  A candidate
 * (W1) is placed before it says so. */
static bool off_path(const struct check *c, uint64_t hash, uint32_t slot)
{
    uint32_t n = c->m->groups, g = slot / 8;
    uint32_t way = (g + n - cf_home(c->m, hash)) % n;
    uint32_t back = c->clear[g];
    return back <= way && back > 0 && !cf_overflows(c->m, (g + n - back) % n);
}

/* What of the record of word w in this slot is not as it has to be. */
static enum fault fault_of_record(const struct check *c, uint32_t slot, cf_word w)
{
    const struct cf_mapping *m = c->m;
    const struct cf_record *r = cf_record_at(m, cf_word_record(w));
    cf_state s = cf_load_acquire(&r->state);
    uint64_t hash = cf_load_relaxed(&r->hash);
    uint32_t key_len = cf_load_relaxed(&r->key_len);
    bool held = cf_word_state(w) == CF_HELD;
    if (!state_fits(s, w))
        return RECORD_STATE;
    if (cf_load_relaxed(&r->slot) != slot)
        return RECORD_SLOT;
    if (key_len == 0 || key_len > m->key_max)
        return RECORD_KEY_LEN;
    if (held && cf_load_relaxed(&r->value_len) > m->value_max)
        return RECORD_VALUE_LEN;
    if (hash != hash_of_key(m, r, key_len))
        return RECORD_HASH;
    if (!cf_word_tag_matches(w, hash))
        return RECORD_TAG;
    if (cf_word_state(w) != CF_INSERTING && off_path(c, hash, slot))
        return RECORD_PATH;
    return held ? fault_of_owner(m, r, s) : NO_FAULT;
}

static enum fault fault_of_slot(const struct check *c, uint32_t number, cf_word *word)
{
    _Atomic uint64_t *slot = cf_slot_at(c->m, number);
    for (unsigned looks = 0; looks < MANY_LOOKS; looks++) {
        cf_word w = *word = cf_load_seq(slot); /* E2 */
        if (w == 0)
            return NO_FAULT;
        if (cf_word_state(w) == CF_EMPTY)
            return WORD_STATE;
        if (cf_word_record(w) >= c->m->records)
            return WORD_RECORD;
        enum fault fault = fault_of_record(c, number, w);
        if (fault == NO_FAULT || cf_copy_confirmed(slot, w)) /* E3 */
            return fault;
    }
    return NO_FAULT; /* it changes all the time, as only what is used does */
}

/* ---- Two words ---- */

/* Whether both name one record at one moment: the second while the first stands. */
static bool two_words(const struct check *c, uint32_t a, uint32_t b)
{
    cf_word v = cf_load_seq(cf_slot_at(c->m, a));
    cf_word w = cf_load_seq(cf_slot_at(c->m, b));
    return v != 0 && w != 0 && cf_word_record(v) == cf_word_record(w) &&
           cf_copy_confirmed(cf_slot_at(c->m, a), v);
}

static bool same_key(const struct cf_mapping *m, cf_word v, cf_word w)
{
    const struct cf_record *a = cf_record_at(m, cf_word_record(v));
    const struct cf_record *b = cf_record_at(m, cf_word_record(w));
    uint32_t len = cf_load_relaxed(&a->key_len);
    if (len == 0 || len > m->key_max || len != cf_load_relaxed(&b->key_len))
        return false;
    for (uint32_t i = 0; i < cf_key_words(len); i++)
        if (cf_load_relaxed(&a->text[i]) != cf_load_relaxed(&b->text[i]))
            return false;
    return true;
}

static bool names_a_key(const struct cf_mapping *m, cf_word w)
{
    return (cf_word_state(w) == CF_HELD || cf_word_state(w) == CF_IDLE) &&
           cf_word_record(w) < m->records;
}

static bool two_keys(const struct check *c, uint32_t a, uint32_t b)
{
    cf_word v = cf_load_seq(cf_slot_at(c->m, a));
    cf_word w = cf_load_seq(cf_slot_at(c->m, b));
    return a != b && names_a_key(c->m, v) && names_a_key(c->m, w) &&
           cf_word_record(v) != cf_word_record(w) && same_key(c->m, v, w) &&
           cf_copy_confirmed(cf_slot_at(c->m, b), w) && cf_copy_confirmed(cf_slot_at(c->m, a), v);
}

/* The slot that was met with this key's hash; 0: none, and this one is remembered. */
static uint32_t met_before(struct check *c, uint32_t number, uint64_t hash)
{
    uint32_t i = (uint32_t)(hash * c->multiplier >> 32) & c->met_mask;
    for (; c->met[i] != 0; i = (i + 1) & c->met_mask) {
        cf_word w = cf_load_acquire(cf_slot_at(c->m, c->met[i]));
        if (w != 0 && cf_word_record(w) < c->m->records &&
            cf_load_relaxed(&cf_record_at(c->m, cf_word_record(w))->hash) == hash)
            return c->met[i];
    }
    if (c->met_count <= c->met_mask / 2) {
        c->met[i] = number;
        c->met_count++;
    }
    return 0;
}

static void check_slot(struct check *c, uint32_t number)
{
    cf_word w;
    enum fault fault = fault_of_slot(c, number, &w);
    suspect(c, fault, number, 0);
    if (w == 0 || fault == WORD_STATE || fault == WORD_RECORD)
        return;
    uint32_t r = cf_word_record(w);
    if (c->named_by[r] != 0 && two_words(c, c->named_by[r], number))
        suspect(c, TWO_WORDS, c->named_by[r], number);
    c->named_by[r] = number;
    if (!names_a_key(c->m, w))
        return;
    uint32_t other = met_before(c, number, cf_load_relaxed(&cf_record_at(c->m, r)->hash));
    if (other != 0 && two_keys(c, other, number))
        suspect(c, TWO_KEYS, other, number);
}

/* ---- What stands for itself ---- */

static bool bad_state(const struct check *c, uint32_t r)
{
    cf_state s = cf_load_relaxed(&cf_record_at(c->m, r)->state);
    return cf_state_is_taken(s) && cf_state_entry(s) >= c->m->processes;
}

static bool bad_intent(const struct check *c, uint32_t entry, uint32_t place)
{
    cf_word w = cf_load_relaxed(&c->m->process_at[entry].intent[place]);
    return w != 0 && (cf_word_state(w) != CF_HELD || cf_word_record(w) >= c->m->records);
}

static bool bad_waiter(const struct check *c, uint32_t i)
{
    return cf_owner_entry(cf_load_relaxed(&c->m->waiter_at[i].owner)) >= c->m->processes;
}

/* Whoever maps the segment next judges by it. */
static bool bad_header(const struct check *c)
{
    struct cf_header h;
    memcpy(&h, c->m->base, sizeof h);
    return h.magic != CF_MAGIC || h.checksum != cf_header_checksum(&h);
}

/* ---- Looking twice ---- */

/* For each group the nearest before it on the circle that does not overflow. */
static void find_clear(struct check *c)
{
    uint32_t n = c->m->groups, back = 0; /* 0: none yet, or none at all */
    for (unsigned round = 0; round < 2; round++)
        for (uint32_t g = 0; g < n; g++) {
            c->clear[g] = back;
            back = !cf_overflows(c->m, g) ? 1 : back != 0 && back < n ? back + 1 : 0;
        }
}

static void look_once(struct check *c)
{
    const struct cf_mapping *m = c->m;
    suspect(c, bad_header(c) ? HEADER : NO_FAULT, 0, 0);
    for (uint32_t e = 0; e < m->processes; e++)
        for (uint32_t i = 0; i < CF_INTENTS; i++)
            suspect(c, bad_intent(c, e, i) ? INTENT : NO_FAULT, e, i);
    for (uint32_t i = 0; i < m->waiters; i++)
        suspect(c, bad_waiter(c, i) ? WAITER : NO_FAULT, i, 0);
    find_clear(c);
    for (uint32_t g = 0; g < m->groups; g++)
        for (uint32_t place = 0; place < CF_SLOTS; place++)
            check_slot(c, cf_slot_number(g, place));
    for (uint32_t r = 0; r < m->records; r++)
        suspect(c, bad_state(c, r) ? STATE_ENTRY : NO_FAULT, r, 0);
}

static bool stands(const struct check *c, const struct suspect *s, cf_word *w)
{
    switch (s->fault) {
    case TWO_WORDS:
        return two_words(c, s->a, s->b);
    case TWO_KEYS:
        return two_keys(c, s->a, s->b);
    case STATE_ENTRY:
        return bad_state(c, s->a);
    case INTENT:
        return bad_intent(c, s->a, s->b);
    case WAITER:
        return bad_waiter(c, s->a);
    case HEADER:
        return bad_header(c);
    default:
        return fault_of_slot(c, s->a, w) == s->fault;
    }
}

/* ---- Telling ---- */

static const char *const record_faults[] = {
    [RECORD_STATE] = "is not taken in the word's generation",
    [RECORD_SLOT] = "says that it lies in another slot",
    [RECORD_KEY_LEN] = "has a key whose length is out of range",
    [RECORD_VALUE_LEN] = "has a note whose length is out of range",
    [RECORD_HASH] = "has a hash that is not its key's",
    [RECORD_TAG] = "has a hash that does not fit the word's tag",
    [RECORD_PATH] = "has a key whose path does not lead here",
    [RECORD_OWNER] = "has an owner beyond the table of processes",
    [RECORD_OWNER_FUTURE] = "has an owner that never registered",
    [RECORD_OWNER_OTHER] = "is held by one process and taken by another",
};

static void tell_word(const struct check *c, enum fault fault, uint32_t slot, cf_word w, char *text,
                      size_t room)
{
    static const char *const states[] = {"empty", "inserting", "held", "idle"};
    int used = snprintf(text, room, "slot %u of group %u: ", slot % 8 - CF_FIRST_SLOT, slot / 8);
    text += used;
    room -= (size_t)used;
    if (fault == WORD_STATE)
        snprintf(text, room, "the word %016llx says empty and is not 0", (unsigned long long)w);
    else if (fault == WORD_RECORD)
        snprintf(text, room, "the %s word names record %u, of %u", states[cf_word_state(w)],
                 cf_word_record(w), c->m->records);
    else
        snprintf(text, room, "record %u of the %s word %s", cf_word_record(w),
                 states[cf_word_state(w)], record_faults[fault]);
}

static void tell(const struct check *c, const struct suspect *s, cf_word w, char *text, size_t room)
{
    uint32_t at = s->a % 8 - CF_FIRST_SLOT, other = s->b % 8 - CF_FIRST_SLOT;
    switch (s->fault) {
    case TWO_WORDS:
    case TWO_KEYS:
        snprintf(text, room, "slot %u of group %u and slot %u of group %u have one %s", at,
                 s->a / 8, other, s->b / 8, s->fault == TWO_WORDS ? "record" : "key");
        break;
    case STATE_ENTRY:
        snprintf(text, room, "record %u is taken by an entry beyond the table of processes", s->a);
        break;
    case INTENT:
        snprintf(text, room, "process entry %u: its note %u of a removal names no lease", s->a,
                 s->b);
        break;
    case WAITER:
        snprintf(text, room, "waiter %u has an owner beyond the table of processes", s->a);
        break;
    case HEADER:
        snprintf(text, room, "the header is damaged: nobody can open the segment any more");
        break;
    default:
        tell_word(c, s->fault, s->a, w, text, room);
    }
}

static uint64_t look_again(struct check *c, int (*fn)(void *, const char *), void *context)
{
    char text[200];
    uint64_t told = 0;
    if (c->count > 0 && cf_check_again_ns > 0)
        cf_nanosleep(cf_check_again_ns);
    for (size_t i = 0; i < c->count; i++) {
        cf_word w = 0;
        if (!stands(c, &c->suspects[i], &w))
            continue;
        told++;
        tell(c, &c->suspects[i], w, text, sizeof text);
        if (fn != NULL && fn(context, text) != 0)
            break;
    }
    return told;
}

/* ---- The whole ---- */

static cachify_status_t begin(struct check *c, const struct cf_mapping *m)
{
    uint32_t words = 0, size = 16;
    for (uint32_t g = 0; g < m->groups; g++)
        for (uint32_t place = 0; place < CF_SLOTS; place++)
            words += cf_load_relaxed(&m->group_at[g].slot[place]) != 0;
    while (size < 4 * words && size < UINT32_C(1) << 26)
        size *= 2;
    *c = (struct check){
        .m = m,
        .clear = calloc((size_t)m->groups + 1, sizeof *c->clear),
        .named_by = calloc((size_t)m->records + 1, sizeof *c->named_by),
        .met = calloc(size, sizeof *c->met),
        .met_mask = size - 1,
        .multiplier = cf_random() | 1,
    };
    return c->clear != NULL && c->named_by != NULL && c->met != NULL ? CACHIFY_OK
                                                                     : CACHIFY_NO_MEMORY;
}

cachify_status_t cachify_shm_check(const cachify_shm_view_t *view,
                                   int (*fn)(void *context, const char *finding), void *context,
                                   uint64_t *findings)
{
    struct check c;
    int saved = errno;
    if (view == NULL)
        return cf_report(CACHIFY_INVALID, "view is NULL");
    cachify_status_t status = begin(&c, view->mapping);
    if (status == CACHIFY_OK) {
        look_once(&c);
        status = c.failed ? CACHIFY_NO_MEMORY : CACHIFY_OK;
    }
    if (status == CACHIFY_OK) {
        uint64_t told = look_again(&c, fn, context);
        if (findings != NULL)
            *findings = told;
    } else
        status = cf_report(status, "no memory to check the segment");
    free(c.clear);
    free(c.named_by);
    free(c.met);
    free(c.suspects);
    errno = saved;
    return status;
}
