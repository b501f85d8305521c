/* cachify-shm-inspect: who holds which lock of a segment, since when, and who waits; or
 * whether what lies in it is whole.  Looks only, unless it is asked to act: maps the segment
 * read-only and takes no lock. */
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "act.h"
#include "columns.h"
#include "findings.h"
#include "hot.h"
#include "json.h"
#include "metrics.h"
#include "options.h"
#include "say.h"
#include "screen.h"
#include "sources.h"
#include "views.h"
#include "watch.h"

/* Whoever may write the file may also cut it short under our eyes. */
static void on_sigbus(int signal)
{
    static const char text[] = PROGRAM ": the segment was truncated, or its memory failed, while "
                                       "it was being read\n";
    (void)signal;
    screen_leave(); /* write and tcsetattr.  NOLINT(bugprone-signal-handler) */
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

static void list_rows(const struct sources *sources, const struct options *o,
                      const struct choice *choice)
{
    struct listing l = {.choice = choice};
    view_list(o, sources, &l);
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
        columns_print(options.watch_ms != 0 && options.view == VIEW_LOCKS ? &hot
                                                                          : view_kind(options.view),
                      stdout);
        return EXIT_SUCCESS;
    }
    signal(SIGBUS, on_sigbus);

    if (options.act != ACT_NONE)
        return act(&options);
    if (options.watch_ms != 0)
        return watch(&options);

    struct sources sources;
    struct choice choice;
    bool whole = true;
    view_choose(&choice, &options, view_kind(options.view));
    sources_open(&sources, options.name, options.path, options.all);
    sources_warn(&sources);
    if (options.prometheus)
        list_metrics(&sources, &options);
    else if (options.view == VIEW_CHECK)
        whole = list_findings(&sources, options.json);
    else
        list_rows(&sources, &options, &choice);
    sources_close(&sources);
    return whole ? EXIT_SUCCESS : EXIT_FAILURE;
}
