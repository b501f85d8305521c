/* cachify-shm-inspect: who holds which lock of a segment, since when, and who waits; or
 * whether what lies in it is whole.  Looks only, unless it is asked to act: maps the segment
 * read-only and takes no lock. */
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "act.h"
#include "columns.h"
#include "facts.h"
#include "findings.h"
#include "json.h"
#include "leases.h"
#include "metrics.h"
#include "options.h"
#include "processes.h"
#include "say.h"
#include "sources.h"
#include "tree.h"
#include "waiters.h"

/* Whoever may write the file may also cut it short under our eyes. */
static void on_sigbus(int signal)
{
    static const char text[] = PROGRAM ": the segment was truncated, or its memory failed, while "
                                       "it was being read\n";
    (void)signal;
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0)
        _exit(EXIT_FAILURE);
    _exit(EXIT_FAILURE);
}

/* ---- What is wrong ---- */

/* True if there is nothing to find. */
static bool list_findings(const struct sources *sources, bool json)
{
    uint64_t count = 0;
    bool short_of_memory = false;
    struct text t = {0};
    if (json) {
        json_begin(&t, sources->path, sources->count, sources->all);
        text_string(&t, "\"findings\": [");
        fwrite(t.bytes, 1, t.failed ? 0 : t.len, stdout);
    }
    for (size_t i = 0; i < sources->count; i++)
        if (!findings_print(sources->view[i], json, sources->all, stdout, &count, &short_of_memory))
            fail(EXIT_FAILURE, "%s",
                 short_of_memory ? "not enough memory for the list" : cachify_last_error());
    if (json)
        fputs(count > 0 ? "\n   ]\n}\n" : "]\n}\n", stdout);
    text_free(&t);
    print_out();
    return count == 0;
}

/* ---- Rows ---- */

static const struct kind *const kinds[] = {
    [VIEW_LOCKS] = &leases,        [VIEW_TREE] = &tree,         [VIEW_WAITERS] = &waiters,
    [VIEW_PROCESSES] = &processes, [VIEW_STATS] = &stats_facts, [VIEW_HEADER] = &header_facts,
    [VIEW_CHECK] = &leases,
};

/* False if memory is short. */
static bool add_rows(const struct options *o, const cachify_shm_view_t *segment, struct listing *l)
{
    int short_of_memory = 0;
    l->segment = cachify_shm_path(segment);
    switch (o->view) {
    case VIEW_TREE:
        return tree_add(l, segment, o->filtered ? &o->filter : NULL);
    case VIEW_STATS:
        return stats_add(l, segment);
    case VIEW_HEADER:
        return header_add(l, segment);
    case VIEW_WAITERS:
        check_status(cachify_shm_waiters(segment, waiters_add, l, &short_of_memory));
        return !short_of_memory;
    case VIEW_PROCESSES:
        check_status(cachify_shm_processes(segment, processes_add, l, &short_of_memory));
        return !short_of_memory;
    default:
        check_status(cachify_shm_leases(segment, leases_add, l, &short_of_memory));
        return !short_of_memory;
    }
}

static void choose(struct choice *choice, struct options *o)
{
    *choice = (struct choice){
        .kind = kinds[o->view],
        .headings = !o->noheadings,
        .aligned = !o->raw && !o->json,
    };
    columns_choose(choice, o->output, o->output_all, o->all ? "SEGMENT" : NULL, o->sort);
    if (!o->filtered)
        return;
    filter_bind(&o->filter, o->view == VIEW_TREE ? &waiters : choice->kind);
    if (o->view != VIEW_TREE) /* whose lines are filtered before there is a tree of them */
        choice->filter = &o->filter;
}

static void list_rows(const struct sources *sources, const struct options *o,
                      const struct choice *choice)
{
    struct listing l = {.choice = choice};
    for (size_t i = 0; i < sources->count; i++)
        if (!add_rows(o, sources->view[i], &l))
            fail(EXIT_FAILURE, "not enough memory for the list");
    listing_sort(&l);
    bool complete = o->json ? json_listing(&l, sources->path, sources->count, o->all, stdout)
                            : listing_table(&l, stdout);
    if (!complete)
        fail(EXIT_FAILURE, "not enough memory for the list");
    print_out();
    listing_free(&l);
}

static void list_metrics(const struct sources *sources, const struct options *o)
{
    if (!metrics_print(sources, o->per_key, o->filtered ? &o->filter : NULL, stdout))
        fail(EXIT_FAILURE, "not enough memory for the list");
    print_out();
}

int main(int argc, char **argv)
{
    setlocale(LC_CTYPE, ""); /* how wide characters are */
    struct options options = options_parse(argc, argv);
    if (options.help) {
        options_help();
        return EXIT_SUCCESS;
    }
    if (options.list_columns) {
        columns_print(kinds[options.view], stdout);
        return EXIT_SUCCESS;
    }
    signal(SIGBUS, on_sigbus);

    if (options.act != ACT_NONE)
        return act(&options);

    struct sources sources;
    struct choice choice;
    bool whole = true;
    choose(&choice, &options);
    sources_open(&sources, options.name, options.path, options.all);
    if (options.prometheus)
        list_metrics(&sources, &options);
    else if (options.view == VIEW_CHECK)
        whole = list_findings(&sources, options.json);
    else
        list_rows(&sources, &options, &choice);
    sources_close(&sources);
    return whole ? EXIT_SUCCESS : EXIT_FAILURE;
}
