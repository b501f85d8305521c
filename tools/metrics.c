#include "metrics.h"

#include <stdlib.h>
#include <string.h>

#include "columns.h"
#include "facts.h"
#include "leases.h"
#include "say.h"
#include "text.h"

/* ---- Samples ---- */

/* A label's value is UTF-8; what bytes are not, is escaped as in a table first. */
static void put_label(struct text *t, const char *name, const char *bytes, size_t len)
{
    struct text plain = {0};
    text_escaped(&plain, bytes, len);
    text_string(t, name);
    text_string(t, "=\"");
    for (size_t i = 0; i < plain.len; i++) {
        if (plain.bytes[i] == '\\' || plain.bytes[i] == '"')
            text_string(t, "\\");
        text_put(t, &plain.bytes[i], 1);
    }
    text_string(t, "\"");
    t->failed = t->failed || plain.failed;
    text_free(&plain);
}

static void put_value(struct text *t, enum type type, uint64_t number)
{
    if (type == TIME && number == INT64_MAX) {
        text_string(t, "+Inf");
    } else if (type == TIME) {
        char thousandths[] = {'.', (char)('0' + number % 1000 / 100),
                              (char)('0' + number % 100 / 10), (char)('0' + number % 10)};
        text_unsigned(t, number / 1000);
        text_put(t, thousandths, sizeof thousandths);
    } else {
        text_unsigned(t, number);
    }
    text_string(t, "\n");
}

static void put_head(struct text *t, const char *name, const char *help)
{
    const char *const parts[] = {"# HELP ", name, " ", help, "\n# TYPE ", name, " gauge\n"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        text_string(t, parts[i]);
}

static void flush(struct text *t, FILE *out)
{
    if (t->len > 0)
        fwrite(t->bytes, 1, t->failed ? 0 : t->len, out);
    t->len = 0;
}

/* ---- Of segments ---- */

static void metric_name(const struct stat *s, char name[64])
{
    const char *unit = s->type == TIME ? "_seconds" : strcmp(s->unit, "bytes") == 0 ? "_bytes" : "";
    snprintf(name, 64, "cachify_%s%s", s->name, unit);
}

static bool print_counters(const struct sources *sources, struct text *t, FILE *out)
{
    char name[64], help[160];
    struct stats *stats = calloc(sources->count + 1, sizeof *stats);
    if (stats == NULL)
        return false;
    for (size_t i = 0; i < sources->count; i++)
        stats_take(sources->view[i], &stats[i]);
    for (size_t c = 0; c < stat_count; c++) {
        metric_name(&stat_list[c], name);
        snprintf(help, sizeof help, "Segment: %s, %s.", stat_list[c].unit, stat_list[c].help);
        put_head(t, name, help);
        for (size_t i = 0; i < sources->count; i++) {
            text_string(t, name);
            text_string(t, "{");
            put_label(t, "segment", sources->path[i], strlen(sources->path[i]));
            text_string(t, "} ");
            put_value(t, stat_list[c].type, stat_list[c].of(&stats[i]));
        }
    }
    free(stats);
    flush(t, out);
    return true;
}

/* ---- Of locks ---- */

static const struct {
    const char *name;
    const char *field; /* of the kind `leases` */
    const char *help;
} key_metrics[] = {
    {"cachify_lock_held_seconds", "held_ms", "Time since the lock was acquired."},
    {"cachify_lock_left_seconds", "left_ms", "Time until the lock expires."},
    {"cachify_lock_waiters", "waiters", "How many wait for the lock."},
};

static bool same(struct value a, struct value b)
{
    return a.len == b.len && memcmp(a.bytes, b.bytes, a.len) == 0;
}

static void print_locks(const struct listing *l, const char *metric, const struct column *column,
                        struct text *t, FILE *out)
{
    const struct column *key = column_of_field(&leases, "key");
    const struct column *state = column_of_field(&leases, "state");
    struct value last = {.none = true};
    for (size_t r = 0; r < l->count; r++) {
        const void *row = listing_row(l, r);
        struct value name = key->of(row), word = state->of(row);
        if (!last.none && same(name, last))
            continue; /* one that moved under the look */
        last = name;
        text_string(t, metric);
        text_string(t, "{");
        put_label(t, "segment", l->segment, strlen(l->segment));
        put_label(t, ",key", name.bytes, name.len);
        put_label(t, ",state", word.bytes, word.len);
        text_string(t, "} ");
        put_value(t, column->type, column->of(row).number);
        flush(t, out);
    }
}

static bool print_keys(const struct sources *sources, const struct filter *filter, struct text *t,
                       FILE *out)
{
    struct choice choice = {
        .kind = &leases, .sort = column_of_field(&leases, "key"), .filter = filter};
    struct listing *l = calloc(sources->count + 1, sizeof *l);
    int short_of_memory = l == NULL;
    for (size_t i = 0; i < sources->count && !short_of_memory; i++) {
        l[i] = (struct listing){.choice = &choice, .segment = sources->path[i]};
        check_status(cachify_shm_leases(sources->view[i], leases_add, &l[i], &short_of_memory));
        listing_sort(&l[i]);
    }
    for (size_t m = 0; m < sizeof key_metrics / sizeof key_metrics[0] && !short_of_memory; m++) {
        put_head(t, key_metrics[m].name, key_metrics[m].help);
        for (size_t i = 0; i < sources->count; i++)
            print_locks(&l[i], key_metrics[m].name, column_of_field(&leases, key_metrics[m].field),
                        t, out);
        flush(t, out);
    }
    for (size_t i = 0; l != NULL && i < sources->count; i++)
        listing_free(&l[i]);
    free(l);
    return !short_of_memory;
}

bool metrics_print(const struct sources *sources, bool per_key, const struct filter *filter,
                   FILE *out)
{
    struct text t = {0};
    bool done = print_counters(sources, &t, out) &&
                (!per_key || print_keys(sources, filter, &t, out)) && !t.failed;
    text_free(&t);
    return done;
}
