#include "facts.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "say.h"

struct row {
    struct row_head head;
    const char *name;
    const char *unit;
    const char *help;
    struct value value;
    char text[32]; /* the value's, where it is one */
};

/* In the order in which they come. */
static struct row *new_fact(struct listing *l, const char *name, const char *unit, const char *help)
{
    struct row *row = listing_new_row(l, sizeof *row, l->count, 0);
    if (row == NULL)
        return NULL;
    row->name = name;
    row->unit = unit;
    row->help = help;
    return row;
}

static bool keep(struct listing *l, const struct row *row)
{
    if (row != NULL)
        listing_keep(l);
    return row != NULL;
}

static bool add_number(struct listing *l, const char *name, enum type type, uint64_t number,
                       const char *unit, const char *help)
{
    struct row *row = new_fact(l, name, unit, help);
    if (row != NULL)
        row->value = (struct value){.number = number, .as = type};
    return keep(l, row);
}

static bool add_text(struct listing *l, const char *name, const char *text, const char *help)
{
    struct row *row = new_fact(l, name, "", help);
    if (row == NULL)
        return false;
    snprintf(row->text, sizeof row->text, "%s", text);
    row->value = (struct value){.bytes = row->text, .len = strlen(row->text), .as = WORD};
    return keep(l, row);
}

/* ---- Header ---- */

static void text_of_date(int64_t ms, char text[32])
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    if (gmtime_r(&seconds, &tm) == NULL || strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        snprintf(text, 32, "-");
}

bool header_add(struct listing *l, const cachify_shm_view_t *view)
{
    char format[32], created[32];
    cachify_shm_header_t h = {.size = sizeof h};
    check_status(cachify_shm_header(view, &h));
    l->segment = cachify_shm_path(view);
    snprintf(format, sizeof format, "%08x", h.format);
    text_of_date(h.created_ms, created);
    return add_number(l, "layout_version", NUMBER, h.version, "", "of the segment's layout") &&
           add_text(l, "layout_format", format, "its sizes and offsets, as one number") &&
           add_text(l, "library", cachify_version(), "version of the library that looks") &&
           add_number(l, "size", NUMBER, h.bytes, "bytes", "of the file") &&
           add_text(l, "created", created, "by the clock of that time") &&
           add_number(l, "age", TIME, (uint64_t)h.age_ms, "time", "since then") &&
           add_number(l, "other_boot", FLAG, h.other_boot, "", "made before this boot") &&
           add_number(l, "max_locks", NUMBER, h.max_locks, "locks", "held at one time") &&
           add_number(l, "key_max", NUMBER, h.key_max, "bytes", "of a key with its prefix") &&
           add_number(l, "value_max", NUMBER, h.value_max, "bytes", "of a note or value") &&
           add_number(l, "max_processes", NUMBER, h.max_processes, "processes",
                      "that have it open") &&
           add_number(l, "max_waiters", NUMBER, h.max_waiters, "places", "in line") &&
           add_number(l, "records", NUMBER, h.records, "records", "for leases, with spares") &&
           add_number(l, "record_size", NUMBER, h.record_size, "bytes", "of a record") &&
           add_number(l, "groups", NUMBER, h.groups, "groups", "of the index");
}

/* ---- Statistics ---- */

static int count_lease(void *context, const cachify_shm_lease_t *lease)
{
    struct stats *s = context;
    if (lease->info.state == CACHIFY_STATE_EXPIRED)
        s->expired++;
    else if (lease->info.state == CACHIFY_STATE_OWNER_DEAD)
        s->owner_dead++;
    else {
        s->held++;
        if (lease->info.held_ms > s->longest_held_ms)
            s->longest_held_ms = lease->info.held_ms;
    }
    return 0;
}

static int count_waiter(void *context, const cachify_waiter_t *waiter)
{
    struct stats *s = context;
    if (waiter->waited_ms > s->longest_waited_ms)
        s->longest_waited_ms = waiter->waited_ms;
    return 0;
}

void stats_take(const cachify_shm_view_t *view, struct stats *s)
{
    *s = (struct stats){.header = {.size = sizeof s->header}, .counts = {.size = sizeof s->counts}};
    check_status(cachify_shm_header(view, &s->header));
    check_status(cachify_shm_count(view, &s->counts));
    check_status(cachify_shm_leases(view, count_lease, s, NULL));
    check_status(cachify_shm_waiters(view, count_waiter, s, NULL));
}

#define COUNTED(name, expression)                                                                  \
    static uint64_t name(const struct stats *s)                                                    \
    {                                                                                              \
        return (uint64_t)(expression);                                                             \
    }

COUNTED(locks_held, s->held)
COUNTED(locks_expired, s->expired)
COUNTED(locks_owner_dead, s->owner_dead)
COUNTED(locks_max, s->header.max_locks)
COUNTED(longest_held, s->longest_held_ms)
COUNTED(waiters_now, s->counts.waiters)
COUNTED(waiters_max, s->header.max_waiters)
COUNTED(longest_waited, s->longest_waited_ms)
COUNTED(processes_now, s->counts.processes)
COUNTED(processes_max, s->header.max_processes)
COUNTED(records_taken, s->counts.taken)
COUNTED(records, s->header.records)
COUNTED(words_idle, s->counts.idle)
COUNTED(words_inserting, s->counts.inserting)
COUNTED(groups, s->header.groups)
COUNTED(groups_overflowing, s->counts.overflowing)
COUNTED(longest_path, s->counts.longest_path)
COUNTED(size, s->header.bytes)
COUNTED(age, s->header.age_ms)

const struct stat stat_list[] = {
    {"locks_held", NUMBER, "locks", locks_held, "that somebody holds"},
    {"locks_expired", NUMBER, "locks", locks_expired, "not taken since they expired"},
    {"locks_owner_dead", NUMBER, "locks", locks_owner_dead, "not taken since their holder died"},
    {"locks_max", NUMBER, "locks", locks_max, "that may be held at one time"},
    {"longest_held", TIME, "time", longest_held, "since the oldest of them was acquired"},
    {"waiters", NUMBER, "places", waiters_now, "in line that somebody waits in"},
    {"waiters_max", NUMBER, "places", waiters_max, "that there are"},
    {"longest_waited", TIME, "time", longest_waited, "since the first of them came"},
    {"processes", NUMBER, "processes", processes_now, "that have the segment open"},
    {"processes_max", NUMBER, "processes", processes_max, "that may"},
    {"records_taken", NUMBER, "records", records_taken, "in use, for leases and spares"},
    {"records", NUMBER, "records", records, "that there are"},
    {"words_idle", NUMBER, "words", words_idle, "of released locks, kept warm"},
    {"words_inserting", NUMBER, "words", words_inserting, "of locks about to be taken"},
    {"groups", NUMBER, "groups", groups, "of the index"},
    {"groups_overflowing", NUMBER, "groups", groups_overflowing, "that some key went past"},
    {"longest_path", NUMBER, "groups", longest_path, "that a search may have to look at"},
    {"size", NUMBER, "bytes", size, "of the file"},
    {"age", TIME, "time", age, "since the segment was created"},
};
const size_t stat_count = sizeof stat_list / sizeof stat_list[0];

bool stats_add(struct listing *l, const cachify_shm_view_t *view)
{
    struct stats stats;
    stats_take(view, &stats);
    l->segment = cachify_shm_path(view);
    bool done = true;
    for (size_t i = 0; i < stat_count && done; i++) {
        const struct stat *s = &stat_list[i];
        done = add_number(l, s->name, s->type, s->of(&stats), s->unit, s->help);
    }
    return done;
}

/* ---- Columns ---- */

static struct value name_of(const void *row)
{
    return word_value(((const struct row *)row)->name);
}

static struct value value_of(const void *row)
{
    return ((const struct row *)row)->value;
}

static struct value unit_of(const void *row)
{
    return word_value(((const struct row *)row)->unit);
}

static struct value help_of(const void *row)
{
    return word_value(((const struct row *)row)->help);
}

static const struct column columns[] = {
    {"NAME", "name", WORD, USUAL, name_of, "what it is called"},
    {"VALUE", "value", OF_COLUMN, USUAL, value_of, "how much it is"},
    {"UNIT", "unit", WORD, USUAL, unit_of, "of what; a time is of milliseconds in JSON"},
    {"MEANING", "meaning", WORD, USUAL, help_of, "what is counted"},
    SEGMENT_COLUMN,
};

#define COLUMNS (sizeof columns / sizeof columns[0])

const struct kind header_facts = {"header", columns, COLUMNS, order_by_numbers, NULL, NULL};
const struct kind stats_facts = {"stats", columns, COLUMNS, order_by_numbers, NULL, NULL};
