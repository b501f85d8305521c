/* Looking at a segment without a part in it: through a read-only mapping, with nothing
 * registered, locked or written.  Nothing found is trusted; what a word names is copied
 * and confirmed as by any reader (README, section 6). */
#include <cachify/shm.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "ground/report.h"
#include "shm/line.h"
#include "shm/liveness.h"
#include "shm/record.h"
#include "shm/segment.h"
#include "shm/view.h"
#include "shm/who.h"

/* A word that changes this often under the look at it is skipped: its lock is taken and
 * given back so fast that there is no holder to speak of. */
#define MANY_LOOKS 100u

/* Records that the walk asks memory for ahead of its way. */
#define AHEAD 16u

/* So many leases are worth having the whole segment's pages mapped at once. */
#define MANY_LEASES 10000u

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* Linux 5.14 */
#endif

/* ---- Open and close ---- */

static cachify_status_t open_view(const cachify_config_t *config, cachify_shm_view_t **view)
{
    cachify_shm_view_t *made = calloc(1, sizeof *made);
    if (made == NULL)
        return cf_report(CACHIFY_NO_MEMORY, "no memory for a view");
    cachify_status_t status = cf_segment_view(config, &made->mapping);
    if (status != CACHIFY_OK) {
        free(made);
        return status;
    }
    *view = made;
    return CACHIFY_OK;
}

cachify_status_t cachify_shm_open(const char *name, const char *path, cachify_shm_view_t **view)
{
    int saved = errno;
    cachify_config_t config = {.name = name, .path = path};
    if (view == NULL)
        return cf_report(CACHIFY_INVALID, "view is NULL; expected a place for the handle");
    cachify_status_t status = open_view(&config, view);
    errno = saved;
    return status;
}

void cachify_shm_close(cachify_shm_view_t *view)
{
    int saved = errno;
    if (view != NULL)
        cf_segment_close(view->mapping);
    free(view);
    errno = saved;
}

const char *cachify_shm_path(const cachify_shm_view_t *view)
{
    return view != NULL ? view->mapping->path : "";
}

/* Out-structs carry the size that the caller knows: 0 is the first version's, a larger one
 * is of a later version, whose fields the library leaves alone. */
static cachify_status_t check_out(const cachify_shm_view_t *view, const void *out, size_t known,
                                  const char *type)
{
    uint32_t size;
    if (view == NULL || out == NULL)
        return cf_report(CACHIFY_INVALID, "%s is NULL", view == NULL ? "view" : type);
    memcpy(&size, out, sizeof size);
    if (size != 0 && size < known)
        return cf_report(CACHIFY_INVALID, "%s has size %u; expected 0 or at least %zu", type, size,
                         known);
    return CACHIFY_OK;
}

/* Only ever told, so it may be read anew. */
static uint64_t of_creator(const struct cf_mapping *m)
{
    uint64_t ns;
    memcpy(&ns, m->base + offsetof(struct cf_header, created_realtime_ns), sizeof ns);
    return ns;
}

cachify_status_t cachify_shm_header(const cachify_shm_view_t *view, cachify_shm_header_t *header)
{
    cachify_status_t status = check_out(view, header, sizeof *header, "cachify_shm_header_t");
    if (status != CACHIFY_OK)
        return status;
    const struct cf_mapping *m = view->mapping;
    uint64_t now = cf_now(m);
    *header = (cachify_shm_header_t){
        .size = header->size,
        .version = CF_LAYOUT_VERSION,
        .bytes = m->size,
        .max_locks = m->max_locks,
        .key_max = m->key_max,
        .value_max = m->value_max,
        .max_processes = m->processes,
        .records = m->records,
        .groups = m->groups,
        .other_boot = m->other_boot,
        .max_waiters = m->waiters,
        .record_size = m->record_size,
        .format = cf_layout_format(),
        .created_ms = (int64_t)(of_creator(m) / CF_MS),
    };
    if (!m->other_boot && m->created_ns < now)
        header->age_ms = (int64_t)((now - m->created_ns) / CF_MS);
    return CACHIFY_OK;
}

/* ---- One look: what is asked once and remembered to its end ---- */

/* Of a process entry: whether this generation of it is dead. */
struct answer {
    uint64_t generation;
    bool asked;
    bool dead;
};

/* How many wait for keys of one hash. */
struct tally {
    uint64_t hash;
    uint32_t count; /* 0: unused */
};

struct look {
    const struct cf_mapping *m;
    bool other_boot;
    struct answer *answers; /* one a process entry */
    struct tally *tallies;  /* open addressing, at most half full */
    uint32_t tally_mask;
    uint64_t multiplier; /* odd, drawn for each look: nobody can write hashes that collide */
    uint32_t *slot_of;   /* of a walk: the slot that names a record, by record; 0 none */
};

/* cf_owner_dead for who may not write: a proof of death is kept here, not in the entry. */
static bool owner_dead(struct look *look, cf_owner owner)
{
    if (look->other_boot || cf_owner_known_dead(look->m, owner))
        return true;
    uint64_t generation = cf_owner_generation(owner);
    struct answer *answer = &look->answers[cf_owner_entry(owner)];
    if (!answer->asked || answer->generation != generation)
        /* Seen before the byte is asked about, so it is this generation's answer. */
        *answer = (struct answer){
            .generation = generation,
            .asked = true,
            .dead = cf_byte_ask(look->m, cf_owner_entry(owner)) == CF_BYTE_FREE,
        };
    return answer->dead;
}

static struct tally *tally_of(const struct look *look, uint64_t hash)
{
    uint32_t i = (uint32_t)(hash * look->multiplier >> 32) & look->tally_mask;
    while (look->tallies[i].count != 0 && look->tallies[i].hash != hash)
        i = (i + 1) & look->tally_mask;
    return &look->tallies[i];
}

static uint32_t count_waiters(struct look *look)
{
    uint32_t count = 0;
    for (uint32_t i = cf_line_next(look->m, 0); i != CF_NO_WAITER;
         i = cf_line_next(look->m, i + 1)) {
        const struct cf_waiter *w = cf_waiter_at(look->m, i);
        cf_owner owner = cf_load_acquire(&w->owner);
        uint64_t hash = cf_load_relaxed(&w->hash);
        if (owner == 0 || hash == 0 || owner_dead(look, owner))
            continue;
        struct tally *tally = tally_of(look, hash);
        tally->hash = hash;
        tally->count++;
        count++;
    }
    return count;
}

static void look_end(struct look *look)
{
    free(look->answers);
    free(look->tallies);
    free(look->slot_of);
}

static cachify_status_t no_memory(void)
{
    return cf_report(CACHIFY_NO_MEMORY, "no memory to look at the segment");
}

static cachify_status_t look_begin(struct look *look, const cachify_shm_view_t *view)
{
    const struct cf_mapping *m = view->mapping;
    uint32_t tallies = 4;
    while (tallies < 2 * m->waiters)
        tallies *= 2;
    *look = (struct look){
        .m = m,
        .other_boot = view->mapping->other_boot,
        .answers = calloc(m->processes, sizeof *look->answers),
        .tallies = calloc(tallies, sizeof *look->tallies),
        .tally_mask = tallies - 1,
        .multiplier = cf_random() | 1,
    };
    if (look->answers != NULL && look->tallies != NULL)
        return CACHIFY_OK;
    look_end(look);
    return no_memory();
}

/* ---- Leases ---- */

struct key_copy {
    char bytes[CF_KEY_MAX_LIMIT + 8];
};

static void copy_key(const struct cf_mapping *m, const struct cf_record *r, uint32_t len,
                     struct key_copy *key)
{
    if (len > m->key_max)
        return; /* no lease: refused when it is confirmed */
    for (uint32_t i = 0; i < cf_key_words(len); i++) {
        uint64_t word = cf_load_relaxed(&r->text[i]);
        memcpy(key->bytes + (size_t)i * 8, &word, sizeof word);
    }
}

static void judge(struct look *look, const struct cf_record *r, uint64_t now, cachify_info_t *info)
{
    struct cf_copy copy = cf_record_copy(r);
    info->remaining_ms = cf_remaining_ms(copy.deadline, now);
    info->state = copy.deadline <= now           ? CACHIFY_STATE_EXPIRED
                  : owner_dead(look, copy.owner) ? CACHIFY_STATE_OWNER_DEAD
                                                 : CACHIFY_STATE_HELD;
    if (look->other_boot) {
        info->state = CACHIFY_STATE_OWNER_DEAD;
        info->held_ms = info->remaining_ms = 0;
    }
}

/* The lease in a slot, whole and as it was at one moment.  False: there is none. */
static bool read_lease(struct look *look, _Atomic uint64_t *slot, struct key_copy *key,
                       cachify_shm_lease_t *lease)
{
    const struct cf_mapping *m = look->m;
    for (uint32_t looks = 0; looks < MANY_LOOKS; looks++) {
        cf_word w = cf_load_acquire(slot); /* E2 */
        if (cf_word_state(w) != CF_HELD || cf_word_record(w) >= m->records)
            return false;
        const struct cf_record *r = cf_record_at(m, cf_word_record(w));
        uint64_t now = cf_now(m);
        *lease = (cachify_shm_lease_t){.key = key->bytes, .key_len = cf_load_relaxed(&r->key_len)};
        copy_key(m, r, lease->key_len, key);
        cf_record_describe(m, r, now, &lease->info);
        judge(look, r, now, &lease->info);
        lease->info.waiters = tally_of(look, cf_load_relaxed(&r->hash))->count;
        /* Only now: the owner was judged while the lease was there.  E3. */
        if (cf_copy_confirmed(slot, w))
            return lease->key_len > 0 && lease->key_len <= m->key_max;
    }
    return false;
}

/* What the walk asks memory for ahead of its way: one record, with its slot, that is held.  Always
 * inline: gcc 12 takes a call of it for one without effect, and drops it. */
__attribute__((always_inline)) static inline void fetch(const struct cf_mapping *m, uint32_t record,
                                                        uint32_t slot)
{
    const struct cf_record *r = cf_record_at(m, record);
    __builtin_prefetch(cf_slot_at(m, slot));
    __builtin_prefetch(r);
    __builtin_prefetch(r->text);
    __builtin_prefetch(&r->text[cf_key_words(m->key_max)]);
}

static void map_all(const struct cf_mapping *m)
{
    int saved = errno;
    madvise(m->base, m->size, MADV_POPULATE_READ); /* else pages are mapped as they are met */
    errno = saved;
}

/* Where a walk calls back. */
struct visitor {
    int (*fn)(void *context, const cachify_shm_lease_t *lease);
    void *context;
};

static int visit(struct look *look, uint32_t slot, const struct visitor *visitor)
{
    struct key_copy key;
    cachify_shm_lease_t lease;
    if (!read_lease(look, cf_slot_at(look->m, slot), &key, &lease))
        return 0;
    return visitor->fn(visitor->context, &lease);
}

/* Finds for each record the slot that names it, 0 where none does.  A second slot that names one
 * (its lock came free, and another was taken since) is visited at once. */
static int find_slots(struct look *look, const struct visitor *visitor)
{
    const struct cf_mapping *m = look->m;
    uint32_t leases = 0;
    int result = 0;
    for (uint32_t i = 0; i < m->groups * CF_SLOTS && result == 0; i++) {
        uint32_t slot = cf_slot_number(i / CF_SLOTS, i % CF_SLOTS);
        cf_word w = cf_load_relaxed(cf_slot_at(m, slot));
        if (cf_word_state(w) != CF_HELD || cf_word_record(w) >= m->records)
            continue;
        uint32_t *its = &look->slot_of[cf_word_record(w)];
        if (*its != 0)
            result = visit(look, slot, visitor);
        else
            *its = slot;
        if (++leases == MANY_LEASES)
            map_all(m);
    }
    return result;
}

/* In the order of the records.  In that of the slots they would lie all over the segment: of a
 * million, most of the time would go into waiting for memory. */
static int walk(struct look *look, const struct visitor *visitor)
{
    const struct cf_mapping *m = look->m;
    const uint32_t *slot_of = look->slot_of;
    int result = find_slots(look, visitor);
    for (uint32_t r = 0; r < m->records && result == 0; r++) {
        if (r + AHEAD < m->records && slot_of[r + AHEAD] != 0)
            fetch(m, r + AHEAD, slot_of[r + AHEAD]);
        if (slot_of[r] != 0)
            result = visit(look, slot_of[r], visitor);
    }
    return result;
}

cachify_status_t cachify_shm_leases(const cachify_shm_view_t *view,
                                    int (*fn)(void *context, const cachify_shm_lease_t *lease),
                                    void *context, int *ended)
{
    struct look look;
    if (view == NULL || fn == NULL)
        return cf_report(CACHIFY_INVALID, "%s is NULL", view == NULL ? "view" : "fn");
    cachify_status_t status = look_begin(&look, view);
    if (status != CACHIFY_OK)
        return status;
    look.slot_of = calloc(view->mapping->records, sizeof *look.slot_of);
    if (look.slot_of == NULL) {
        look_end(&look);
        return no_memory();
    }
    count_waiters(&look);
    int result = walk(&look, &(struct visitor){fn, context});
    look_end(&look);
    if (ended != NULL)
        *ended = result;
    return CACHIFY_OK;
}

/* ---- Counts ---- */

static void count_words(const struct cf_mapping *m, cachify_shm_counts_t *counts)
{
    uint32_t words[4] = {0};
    for (uint32_t g = 0; g < m->groups; g++)
        for (uint32_t place = 0; place < CF_SLOTS; place++)
            words[cf_word_state(cf_load_relaxed(&m->group_at[g].slot[place]))]++;
    counts->held = words[CF_HELD];
    counts->idle = words[CF_IDLE];
    counts->inserting = words[CF_INSERTING];
}

static bool overflows(const struct cf_mapping *m, uint32_t g)
{
    return (cf_load_relaxed(&m->group_at[g].control) & 1) != 0;
}

/* A path goes on past every group that overflows, and from the last group to the first:
 * the longest run of such groups on the circle, and the one that ends it. */
static void count_paths(const struct cf_mapping *m, cachify_shm_counts_t *counts)
{
    uint32_t run = 0, longest = 0;
    for (unsigned round = 0; round < 2; round++)
        for (uint32_t g = 0; g < m->groups; g++) {
            bool over = overflows(m, g);
            counts->overflowing += over && round == 0;
            run = over ? run + 1 : 0;
            longest = run > longest ? run : longest;
        }
    counts->longest_path = longest < m->groups ? longest + 1 : m->groups;
}

static void count_records(const struct cf_mapping *m, cachify_shm_counts_t *counts)
{
    for (uint32_t r = 0; r < m->records; r++)
        counts->taken += cf_state_is_taken(cf_load_relaxed(&cf_record_at(m, r)->state)) != 0;
}

static void count_processes(const struct cf_mapping *m, cachify_shm_counts_t *counts)
{
    for (uint32_t e = 0; e < m->processes; e++)
        counts->processes += cf_load_relaxed(&m->process_at[e].generation) != 0 &&
                             cf_byte_ask(m, e) == CF_BYTE_LOCKED;
}

cachify_status_t cachify_shm_count(const cachify_shm_view_t *view, cachify_shm_counts_t *counts)
{
    struct look look;
    cachify_status_t status = check_out(view, counts, sizeof *counts, "cachify_shm_counts_t");
    if (status == CACHIFY_OK)
        status = look_begin(&look, view);
    if (status != CACHIFY_OK)
        return status;
    *counts = (cachify_shm_counts_t){.size = counts->size, .waiters = count_waiters(&look)};
    look_end(&look);
    count_words(view->mapping, counts);
    count_paths(view->mapping, counts);
    count_records(view->mapping, counts);
    count_processes(view->mapping, counts);
    return CACHIFY_OK;
}
