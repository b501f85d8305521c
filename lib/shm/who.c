/* Who holds, and who waits: what is told to people. */
#include "shm/who.h"

#include <stdlib.h>
#include <string.h>

#include "ground/report.h"
#include "shm/line.h"
#include "shm/liveness.h"
#include "shm/path.h"
#include "shm/view.h"

/* The entry may serve another process by now: then it is not asked for a name. */
void cf_thread_describe(const struct cf_mapping *m, cf_owner owner, uint64_t thread,
                        cachify_info_t *info)
{
    uint32_t entry = cf_owner_entry(owner);
    info->pid = cf_thread_pid(thread);
    info->thread = cf_thread_tid(thread);
    memset(info->command, 0, sizeof info->command);
    if (entry >= m->processes || cf_load_relaxed(&m->process_at[entry].pid) != (uint64_t)info->pid)
        return;
    const struct cf_process *p = &m->process_at[entry];
    uint64_t words[CF_COMMAND / 8];
    for (unsigned i = 0; i < CF_COMMAND / 8; i++)
        words[i] = cf_load_relaxed(&p->command[i]);
    memcpy(info->command, words, sizeof words);
    info->command[CF_COMMAND - 1] = '\0';
}

uint32_t cf_record_value(const struct cf_mapping *m, const struct cf_record *r, void *to,
                         uint32_t room)
{
    const _Atomic uint64_t *value_at = &r->text[cf_key_words(m->key_max)];
    uint32_t len = cf_load_relaxed(&r->value_len);
    if (len > m->value_max)
        len = 0;
    for (uint32_t i = 0; i < len && i < room; i += 8) {
        uint64_t word = cf_load_relaxed(&value_at[i / 8]);
        uint32_t rest = (len < room ? len : room) - i;
        memcpy((char *)to + i, &word, rest < sizeof word ? rest : sizeof word);
    }
    return len;
}

void cf_record_describe(const struct cf_mapping *m, const struct cf_record *r, uint64_t now,
                        cachify_info_t *info)
{
    uint64_t acquired = cf_load_relaxed(&r->acquired);
    cf_thread_describe(m, cf_load_relaxed(&r->owner), cf_load_relaxed(&r->thread), info);
    info->held_ms = acquired < now ? (int64_t)((now - acquired) / CF_MS) : 0;
    info->token = cf_load_relaxed(&r->token);
    uint32_t len = cf_record_value(m, r, info->value, sizeof info->value);
    info->value_len = len < sizeof info->value ? len : (uint32_t)sizeof info->value;
}

/* ---- Waiters ---- */

void cf_waiter_describe(const struct cf_mapping *m, uint32_t i, cachify_info_t *info)
{
    const struct cf_waiter *w = cf_waiter_at(m, i);
    cf_thread_describe(m, cf_load_relaxed(&w->owner), cf_load_relaxed(&w->thread), info);
}

/* A waiter, read while it was one and the same. */
struct one {
    uint32_t i;
    uint64_t since;
    uint64_t hash;
    cf_owner owner;
};

static bool read_one(const struct cf_mapping *m, uint32_t i, struct one *one)
{
    const struct cf_waiter *w = cf_waiter_at(m, i);
    one->i = i;
    one->owner = cf_load_acquire(&w->owner);
    one->since = cf_load_relaxed(&w->since);
    one->hash = cf_load_relaxed(&w->hash);
    return one->owner != 0 && one->hash != 0 && !cf_owner_known_dead(m, one->owner);
}

static bool is_same(const struct cf_mapping *m, const struct one *one)
{
    struct one now;
    cf_fence_acquire();
    return read_one(m, one->i, &now) && now.owner == one->owner && now.since == one->since &&
           now.hash == one->hash;
}

static int by_arrival(const void *a, const void *b)
{
    const struct one *x = a, *y = b;
    if (x->since != y->since)
        return x->since < y->since ? -1 : 1;
    return (x->i > y->i) - (x->i < y->i);
}

/* The entry that a waiter awaits, told by its name where its process is alive. */
static void describe_awaited(const struct cf_mapping *m, cf_owner awaited, cachify_waiter_t *waiter)
{
    cachify_info_t info = {0};
    uint32_t entry = cf_owner_entry(awaited);
    if (awaited == 0 || cf_owner_known_dead(m, awaited))
        return;
    uint64_t pid = cf_load_relaxed(&m->process_at[entry].pid);
    cf_thread_describe(m, awaited, cf_thread_make(pid, 0, 0), &info);
    waiter->awaited_pid = info.pid;
    memcpy(waiter->awaited_command, info.command, sizeof waiter->awaited_command);
}

/* False: it is no longer there. */
static bool describe_one(const struct cf_mapping *m, const struct one *one, uint64_t now,
                         cachify_waiter_t *waiter)
{
    const struct cf_waiter *w = cf_waiter_at(m, one->i);
    cachify_info_t info = {0};
    cf_thread_describe(m, one->owner, cf_load_relaxed(&w->thread), &info);
    waiter->pid = info.pid;
    waiter->thread = info.thread;
    waiter->waited_ms = one->since < now ? (int64_t)((now - one->since) / CF_MS) : 0;
    waiter->event_loop = cf_load_relaxed(&w->by_bell) != 0;
    memcpy(waiter->command, info.command, sizeof waiter->command);
    describe_awaited(m, cf_load_relaxed(&w->awaited), waiter);
    return is_same(m, one);
}

/* Those who wait, for one key (hash) or for any (0), in order of arrival: an array to be
 * freed.  NULL: no memory. */
static struct one *list_line(const struct cf_mapping *m, uint64_t hash, uint32_t *count)
{
    struct one *line = malloc(((size_t)m->waiters + 1) * sizeof *line);
    *count = 0;
    if (line == NULL)
        return NULL;
    for (uint32_t i = cf_line_next(m, 0); i != CF_NO_WAITER; i = cf_line_next(m, i + 1))
        if (read_one(m, i, &line[*count]) && (hash == 0 || line[*count].hash == hash))
            ++*count;
    qsort(line, *count, sizeof *line, by_arrival);
    return line;
}

cachify_status_t cf_waiters(struct cf_mapping *m, const struct cf_key *key,
                            int (*fn)(void *context, const cachify_waiter_t *), void *context)
{
    uint32_t count;
    struct one *line = list_line(m, key->hash, &count);
    if (line == NULL)
        return cf_report(CACHIFY_NO_MEMORY, "no memory to list who waits");
    uint64_t now = cf_now(m);
    for (uint32_t i = 0; i < count; i++) {
        cachify_waiter_t waiter = {.key = key->bytes, .key_len = key->len};
        if (cf_owner_dead(m, line[i].owner, now))
            continue; /* nobody may have had a reason to ask before */
        if (describe_one(m, &line[i], now, &waiter) && fn(context, &waiter) != 0)
            break;
    }
    free(line);
    return CACHIFY_OK;
}

/* ---- All waiters, with the names of the keys that are held ---- */

struct name {
    char bytes[CF_KEY_MAX_LIMIT + 8];
    uint32_t len;
};

static bool copy_name(const struct cf_mapping *m, uint32_t slot_number, uint64_t hash,
                      struct name *name)
{
    _Atomic uint64_t *slot = cf_slot_at(m, slot_number);
    cf_word w = cf_load_acquire(slot); /* E2 */
    if (w == 0 || !cf_word_tag_matches(w, hash) || cf_word_record(w) >= m->records)
        return false;
    const struct cf_record *r = cf_record_at(m, cf_word_record(w));
    uint32_t len = cf_load_relaxed(&r->key_len);
    if (cf_load_relaxed(&r->hash) != hash || len > m->key_max)
        return false;
    for (uint32_t i = 0; i < cf_key_words(len); i++) {
        uint64_t word = cf_load_relaxed(&r->text[i]);
        memcpy(name->bytes + (size_t)i * 8, &word, sizeof word);
    }
    name->len = len;
    return cf_copy_confirmed(slot, w); /* E3 */
}

/* A waiter knows its key by the hash only; whoever holds the lock has its name. */
static void find_name(const struct cf_mapping *m, uint64_t hash, struct name *name)
{
    uint32_t g = cf_home(m, hash);
    name->len = 0;
    for (uint32_t passed = 0; passed < m->groups; passed++, g = cf_next_group(m, g)) {
        for (uint32_t place = 0; place < CF_SLOTS; place++)
            if (copy_name(m, cf_slot_number(g, place), hash, name))
                return;
        if (!cf_overflows(m, g))
            break;
    }
    name->len = 0;
}

cachify_status_t cachify_shm_waiters(const cachify_shm_view_t *view,
                                     int (*fn)(void *context, const cachify_waiter_t *waiter),
                                     void *context, int *ended)
{
    if (view == NULL || fn == NULL)
        return cf_report(CACHIFY_INVALID, "%s is NULL", view == NULL ? "view" : "fn");
    const struct cf_mapping *m = view->mapping;
    uint32_t count;
    int result = 0;
    struct name name;
    struct one *line = list_line(m, 0, &count);
    if (line == NULL)
        return cf_report(CACHIFY_NO_MEMORY, "no memory to list who waits");
    if (m->other_boot)
        count = 0; /* whoever waited then is dead */
    uint64_t now = cf_now(m);
    for (uint32_t i = 0; i < count && result == 0; i++) {
        if (cf_byte_ask(m, cf_owner_entry(line[i].owner)) == CF_BYTE_FREE)
            continue;
        find_name(m, line[i].hash, &name);
        cachify_waiter_t waiter = {.key = name.bytes, .key_len = name.len};
        if (describe_one(m, &line[i], now, &waiter))
            result = fn(context, &waiter);
    }
    free(line);
    if (ended != NULL)
        *ended = result;
    return CACHIFY_OK;
}
