/* Looking at the processes of a segment.  As in inspect.c, nothing is written, and nothing that
 * is found is trusted. */
#include <cachify/shm.h>

#include <stdlib.h>
#include <string.h>

#include "ground/report.h"
#include "shm/line.h"
#include "shm/liveness.h"
#include "shm/record.h"
#include "shm/view.h"
#include "shm/who.h"

/* An entry that is taken and given back under each of so many looks is passed over. */
#define MANY_LOOKS 100u

/* What is known of an entry: its process is the one of this generation. */
struct entry {
    uint64_t generation;
    bool is_there;
    cachify_shm_process_t process;
};

/* ---- Entries ---- */

static uint32_t evidence_of(const struct cf_mapping *m, uint32_t e)
{
    if (m->other_boot)
        return CACHIFY_SHM_OTHER_BOOT;
    switch (cf_byte_ask(m, e)) {
    case CF_BYTE_FREE:
        return CACHIFY_SHM_BYTE_FREE;
    case CF_BYTE_LOCKED:
        return CACHIFY_SHM_BYTE_LOCKED;
    default:
        return CACHIFY_SHM_NOT_TOLD;
    }
}

static bool is_dead(const cachify_shm_process_t *p)
{
    return p->evidence == CACHIFY_SHM_BYTE_FREE || p->evidence == CACHIFY_SHM_OTHER_BOOT;
}

static int64_t ms_since(uint64_t then, uint64_t now)
{
    return then < now ? (int64_t)((now - then) / CF_MS) : 0;
}

static void describe(const struct cf_mapping *m, uint32_t e, cachify_shm_process_t *p)
{
    const struct cf_process *from = &m->process_at[e];
    uint64_t pid = cf_load_relaxed(&from->pid), now = cf_now(m);
    uint64_t seen = cf_load_relaxed(&from->seen_alive);
    cachify_info_t info = {0};
    cf_thread_describe(m, cf_owner_make(e, 0), cf_thread_make(pid, 0, 0), &info);
    *p = (cachify_shm_process_t){
        .entry = e,
        .evidence = evidence_of(m, e),
        .pid = info.pid,
        .pid_namespace = cf_load_relaxed(&from->pid_namespace),
        .registered_ms = ms_since(cf_load_relaxed(&from->registered), now),
        .asked_ms = seen != 0 ? ms_since(seen, now) : -1,
    };
    memcpy(p->command, info.command, sizeof p->command);
    if (m->other_boot)
        p->registered_ms = p->asked_ms = 0;
}

/* Its evidence and what it wrote of itself are of one generation. */
static void read_entry(const struct cf_mapping *m, uint32_t e, struct entry *entry)
{
    const struct cf_process *from = &m->process_at[e];
    for (uint32_t looks = 0; looks < MANY_LOOKS; looks++) {
        entry->generation = cf_load_acquire(&from->generation);
        if (entry->generation == 0)
            return; /* nobody ever had it */
        describe(m, e, &entry->process);
        cf_fence_acquire();
        entry->is_there = entry->process.pid != 0;
        if (cf_load_relaxed(&from->generation) == entry->generation)
            return;
    }
    entry->is_there = false;
}

/* ---- What they hold ---- */

/* The entry that an owner is counted under: its own, as long as no other process has it. */
static struct entry *entry_of(const struct cf_mapping *m, struct entry *entries, cf_owner owner)
{
    uint32_t e = cf_owner_entry(owner);
    if (e >= m->processes || !entries[e].is_there)
        return NULL;
    bool same = cf_owner_generation(owner) == cf_owner_generation(entries[e].generation);
    return same || is_dead(&entries[e].process) ? &entries[e] : NULL;
}

static void count_lease(const struct cf_mapping *m, struct entry *entries, _Atomic uint64_t *slot,
                        uint64_t now)
{
    cf_word w = cf_load_acquire(slot); /* E2 */
    if (cf_word_state(w) != CF_HELD || cf_word_record(w) >= m->records)
        return;
    struct cf_copy copy = cf_record_copy(cf_record_at(m, cf_word_record(w)));
    struct entry *entry = entry_of(m, entries, copy.owner);
    if (entry != NULL && copy.deadline > now && cf_copy_confirmed(slot, w)) /* E3 */
        entry->process.leases++;
}

static void count_leases(const struct cf_mapping *m, struct entry *entries)
{
    uint64_t now = cf_now(m);
    for (uint32_t g = 0; g < m->groups; g++)
        for (uint32_t place = 0; place < CF_SLOTS; place++)
            count_lease(m, entries, &m->group_at[g].slot[place], now);
}

static void count_waits(const struct cf_mapping *m, struct entry *entries)
{
    for (uint32_t i = cf_line_next(m, 0); i != CF_NO_WAITER; i = cf_line_next(m, i + 1)) {
        cf_owner owner = cf_load_acquire(&cf_waiter_at(m, i)->owner);
        struct entry *entry = owner != 0 ? entry_of(m, entries, owner) : NULL;
        if (entry != NULL && !is_dead(&entry->process))
            entry->process.waits++;
    }
}

cachify_status_t cachify_shm_processes(const cachify_shm_view_t *view,
                                       int (*fn)(void *context, const cachify_shm_process_t *),
                                       void *context, int *ended)
{
    if (view == NULL || fn == NULL)
        return cf_report(CACHIFY_INVALID, "%s is NULL", view == NULL ? "view" : "fn");
    const struct cf_mapping *m = view->mapping;
    struct entry *entries = calloc(m->processes, sizeof *entries);
    if (entries == NULL)
        return cf_report(CACHIFY_NO_MEMORY, "no memory to list the processes");
    for (uint32_t e = 0; e < m->processes; e++)
        read_entry(m, e, &entries[e]);
    count_leases(m, entries);
    count_waits(m, entries);
    int result = 0;
    for (uint32_t e = 0; e < m->processes && result == 0; e++)
        if (entries[e].is_there)
            result = fn(context, &entries[e].process);
    free(entries);
    if (ended != NULL)
        *ended = result;
    return CACHIFY_OK;
}
