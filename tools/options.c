#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "duration.h"
#include "refused.h"
#include "say.h"

#define WATCH_MS 2000
#define WATCH_LEAST_MS 50

/* Options without a letter. */
enum {
    OPTION_NAME = 256,
    OPTION_PATH,
    OPTION_ALL,
    OPTION_TREE,
    OPTION_PROCESSES,
    OPTION_STATS,
    OPTION_HEADER,
    OPTION_CHECK,
    OPTION_OUTPUT_ALL,
    OPTION_SORT,
    OPTION_KEY,
    OPTION_PID,
    OPTION_STATE,
    OPTION_OLDER,
    OPTION_EXPIRING,
    OPTION_PROMETHEUS,
    OPTION_PER_KEY,
    OPTION_RELEASE,
    OPTION_SWEEP,
    OPTION_UNLINK,
    OPTION_DRY_RUN,
    OPTION_FORCE,
};

/* From this list come the parser and the help.  An argument in brackets may be left out; an
 * entry without a name is a line of its own in the help. */
static const struct {
    int code; /* the short option, if it is a character */
    const char *name;
    const char *argument;
    const char *help;
} option_list[] = {
    {0, NULL, NULL, "Which segment (without: your own, /dev/shm/cachify.UID)"},
    {OPTION_NAME, "name", "NAME", "/dev/shm/NAME"},
    {OPTION_PATH, "path", "PATH", "the file PATH"},
    {OPTION_ALL, "all", NULL, "all in /dev/shm"},
    {0, NULL, NULL, "What to show (without: locks, and who holds them)"},
    {OPTION_TREE, "waiters", NULL, "who waits: a tree"},
    {'W', "waiters-list", NULL, "the same, flat"},
    {OPTION_PROCESSES, "processes", NULL, "who has it open"},
    {OPTION_STATS, "stats", NULL, "what is counted"},
    {OPTION_HEADER, "header", NULL, "its own numbers"},
    {OPTION_CHECK, "check", NULL, "what is wrong"},
    {0, NULL, NULL, "How to show it"},
    {'o', "output", "LIST", "[+]COLUMN,..."},
    {OPTION_OUTPUT_ALL, "output-all", NULL, "every column"},
    {'H', "list-columns", NULL, "what there is"},
    {OPTION_SORT, "sort", "[-]COL", "order; -: falling"},
    {'n', "noheadings", NULL, "no heading line"},
    {'r', "raw", NULL, "for programs"},
    {'J', "json", NULL, "cachify-json(5)"},
    {'u', "notruncate", NULL, "never cut (as is)"},
    {OPTION_PROMETHEUS, "prometheus", NULL, "as metrics"},
    {OPTION_PER_KEY, "per-key", NULL, "and of each lock"},
    {'w', "watch", "[SECS]", "redraw, like top"},
    {'h', "help", NULL, "this help"},
    {'V', "version", NULL, "the version"},
    {0, NULL, NULL, "Which of them (TIME: 10s, 5m, 1.5h, 2d, 250ms)"},
    {OPTION_KEY, "key", "GLOB", "of these keys"},
    {OPTION_PID, "pid", "N", "of this process"},
    {OPTION_STATE, "state", "STATE,..", "such as held"},
    {OPTION_OLDER, "older", "TIME", "since so long"},
    {OPTION_EXPIRING, "expiring", "TIME", "so much is left"},
    {0, NULL, NULL, "What to change (exit status: 0 done, 1 failed, 2 nothing to do)"},
    {OPTION_RELEASE, "release", "KEY", "free this lock"},
    {OPTION_SWEEP, "sweep", NULL, "left by the dead"},
    {OPTION_UNLINK, "unlink", NULL, "remove the file"},
    {OPTION_DRY_RUN, "dry-run", NULL, "say, and do not"},
    {OPTION_FORCE, "force", NULL, "even if in use"},
};

#define OPTIONS (sizeof option_list / sizeof option_list[0])

/* ---- Help ---- */

static void print_option(size_t i, bool more)
{
    char letter[] = "   ", text[24];
    int code = option_list[i].code;
    const char *argument = option_list[i].argument;
    if (code < 256)
        snprintf(letter, sizeof letter, "-%c,", code);
    snprintf(text, sizeof text, "--%s%s%s", option_list[i].name, argument != NULL ? " " : "",
             argument != NULL ? argument : "");
    if (more)
        printf(" %s %-16s %-18s", letter, text, option_list[i].help);
    else
        printf(" %s %-16s %s\n", letter, text, option_list[i].help);
}

/* Two to a line. */
void options_help(void)
{
    bool right = false;
    puts("Usage: " PROGRAM " [OPTIONS]          (more: man " PROGRAM ")");
    for (size_t i = 0; i < OPTIONS; i++) {
        bool more = !right && i + 1 < OPTIONS && option_list[i + 1].name != NULL;
        if (option_list[i].name == NULL) {
            printf("%s:\n", option_list[i].help);
            continue;
        }
        print_option(i, more);
        right = more;
    }
}

/* ---- Arguments ---- */

static int64_t time_argument(const char *option)
{
    int64_t ms;
    if (!duration_parse(optarg, &ms))
        fail(EX_USAGE, "--%s is \"%s\"; expected " DURATION_EXPECTED, option, optarg);
    return ms;
}

static int64_t pid_argument(void)
{
    char *end;
    errno = 0;
    long pid = strtol(optarg, &end, 10);
    if (end == optarg || *end != '\0' || errno != 0 || pid <= 0)
        fail(EX_USAGE, "--pid is \"%s\"; expected the number of a process, 1 or more", optarg);
    return pid;
}

/* ---- One option ---- */

static const char *const view_options[] = {
    [VIEW_TREE] = "waiters", [VIEW_WAITERS] = "waiters-list", [VIEW_PROCESSES] = "processes",
    [VIEW_STATS] = "stats",  [VIEW_HEADER] = "header",        [VIEW_CHECK] = "check",
};

static void set_view(struct options *o, enum view_of view)
{
    if (o->view != VIEW_LOCKS && o->view != view)
        fail(EX_USAGE, "both --%s and --%s are given; expected one at most", view_options[view],
             view_options[o->view]);
    o->view = view;
}

/* Which rows. */
static bool set_filter(struct filter *f, int code)
{
    switch (code) {
    case OPTION_KEY:
        f->key = optarg;
        return true;
    case OPTION_PID:
        f->pid = pid_argument();
        return true;
    case OPTION_STATE:
        f->states = optarg;
        return true;
    case OPTION_OLDER:
        f->older_ms = time_argument("older");
        return true;
    case OPTION_EXPIRING:
        f->expiring_ms = time_argument("expiring");
        return true;
    default:
        return false;
    }
}

/* What and where. */
static bool set_view_or_source(struct options *o, int code)
{
    switch (code) {
    case OPTION_NAME:
        o->name = optarg;
        return true;
    case OPTION_PATH:
        o->path = optarg;
        return true;
    case OPTION_ALL:
        o->all = true;
        return true;
    case OPTION_TREE:
        set_view(o, VIEW_TREE);
        return true;
    case 'W':
        set_view(o, VIEW_WAITERS);
        return true;
    case OPTION_PROCESSES:
        set_view(o, VIEW_PROCESSES);
        return true;
    case OPTION_STATS:
        set_view(o, VIEW_STATS);
        return true;
    case OPTION_HEADER:
        set_view(o, VIEW_HEADER);
        return true;
    case OPTION_CHECK:
        set_view(o, VIEW_CHECK);
        return true;
    default:
        return false;
    }
}

static bool set_form(struct options *o, int code)
{
    switch (code) {
    case 'o':
        o->output = optarg;
        return true;
    case OPTION_OUTPUT_ALL:
        o->output_all = true;
        return true;
    case 'H':
        o->list_columns = true;
        return true;
    case OPTION_SORT:
        o->sort = optarg;
        return true;
    case 'n':
        o->noheadings = true;
        return true;
    case 'r':
        o->raw = true;
        return true;
    case 'J':
        o->json = true;
        return true;
    case 'u': /* nothing is ever cut */
        return true;
    case 'w':
        o->watch_ms = optarg != NULL ? time_argument("watch") : WATCH_MS;
        if (o->watch_ms < WATCH_LEAST_MS)
            fail(EX_USAGE, "--watch is %s; expected %d ms or more", optarg, WATCH_LEAST_MS);
        return true;
    case OPTION_PROMETHEUS:
        o->prometheus = true;
        return true;
    case OPTION_PER_KEY:
        o->per_key = true;
        return true;
    default:
        return false;
    }
}

static const char *const act_options[] = {
    [ACT_RELEASE] = "release", [ACT_SWEEP] = "sweep", [ACT_UNLINK] = "unlink"};

static void set_what(struct options *o, enum act act)
{
    if (o->act != ACT_NONE && o->act != act)
        fail(EX_USAGE, "both --%s and --%s are given; expected one at most", act_options[act],
             act_options[o->act]);
    o->act = act;
}

static bool set_act(struct options *o, int code)
{
    switch (code) {
    case OPTION_RELEASE:
        set_what(o, ACT_RELEASE);
        o->release = optarg;
        return true;
    case OPTION_SWEEP:
        set_what(o, ACT_SWEEP);
        return true;
    case OPTION_UNLINK:
        set_what(o, ACT_UNLINK);
        return true;
    case OPTION_DRY_RUN:
        o->dry_run = true;
        return true;
    case OPTION_FORCE:
        o->force = true;
        return true;
    default:
        return false;
    }
}

static void set_option(struct options *o, int code, char **argv)
{
    char letter[3];
    if (set_view_or_source(o, code) || set_form(o, code) || set_act(o, code))
        return;
    if (set_filter(&o->filter, code)) {
        o->filtered = true;
        return;
    }
    switch (code) {
    case 'h':
        o->help = true;
        break;
    case 'V':
        printf(PROGRAM " from cachify-shm %s\n", cachify_version());
        exit(EXIT_SUCCESS);
    case ':':
        fail(EX_USAGE, "option %s needs an argument", option_refused(argv, letter));
    default:
        fail(EX_USAGE, "option %s is unknown, is short for more than one, or takes no argument",
             option_refused(argv, letter));
    }
}

/* ---- All of them ---- */

/* Whether anything is asked about how rows are shown. */
static bool has_form(const struct options *o)
{
    return o->output != NULL || o->output_all || o->list_columns || o->sort != NULL || o->raw ||
           o->noheadings;
}

static void check_sources(const struct options *o)
{
    if (o->name != NULL && o->path != NULL)
        fail(EX_USAGE, "both --name %s and --path %s are given; expected one at most", o->name,
             o->path);
    if (o->all && (o->name != NULL || o->path != NULL))
        fail(EX_USAGE, "both --all and --%s %s are given; expected one at most",
             o->name != NULL ? "name" : "path", o->name != NULL ? o->name : o->path);
}

static void check_forms(const struct options *o)
{
    if (o->json && o->raw)
        fail(EX_USAGE, "both --json and --raw are given; expected one at most");
    if (o->view == VIEW_TREE && o->sort != NULL)
        fail(EX_USAGE, "--sort is given, but a tree has its own order; try --waiters-list");
    if (o->view == VIEW_CHECK && (has_form(o) || o->filtered))
        fail(EX_USAGE, "--check has no columns: of the options for output it takes --json only");
    if (o->per_key && !o->prometheus)
        fail(EX_USAGE, "--per-key is given; expected --prometheus with it");
    if (o->prometheus && (has_form(o) || o->json || o->view != VIEW_LOCKS))
        fail(EX_USAGE, "--prometheus has a form of its own: it takes no other view, no columns and "
                       "no --json");
    if (o->prometheus && o->filtered && !o->per_key)
        fail(EX_USAGE, "--prometheus counts whole segments; expected --per-key with what chooses "
                       "locks");
}

static void check_watch(const struct options *o)
{
    if (o->watch_ms != 0 && (o->json || o->raw || o->prometheus || o->view == VIEW_CHECK))
        fail(EX_USAGE, "--watch draws tables: it takes no --json, --raw, --prometheus or --check");
}

static void check_acts(const struct options *o)
{
    if (o->act == ACT_NONE && (o->dry_run || o->force))
        fail(EX_USAGE, "--%s is given; expected --release, --sweep or --unlink with it",
             o->dry_run ? "dry-run" : "force");
    if (o->act == ACT_NONE)
        return;
    if (o->all)
        fail(EX_USAGE, "both --all and --%s are given; expected one segment to change",
             act_options[o->act]);
    if (o->force && o->act != ACT_UNLINK)
        fail(EX_USAGE, "--force is given; expected --unlink with it");
    if (has_form(o) || o->json || o->watch_ms != 0 || o->prometheus || o->filtered ||
        o->view != VIEW_LOCKS)
        fail(EX_USAGE, "--%s shows nothing: it takes --name or --path, and --dry-run",
             act_options[o->act]);
}

static int arguments_of(const char *argument)
{
    return argument == NULL                                         ? no_argument
           : argument[0] == '[' && strchr(argument, ']')[1] == '\0' ? optional_argument
                                                                    : required_argument;
}

struct options options_parse(int argc, char **argv)
{
    struct options o = {.filter = FILTER_NONE};
    struct option known[OPTIONS + 1] = {0};
    char letters[3 * OPTIONS + 2] = ":";
    size_t count = 0, len = 1;
    for (size_t i = 0; i < OPTIONS; i++) {
        if (option_list[i].name == NULL)
            continue;
        int arguments = arguments_of(option_list[i].argument);
        known[count++] = (struct option){option_list[i].name, arguments, NULL, option_list[i].code};
        if (option_list[i].code < 256)
            letters[len++] = (char)option_list[i].code;
        for (int colons = arguments; option_list[i].code < 256 && colons > 0; colons--)
            letters[len++] = ':'; /* as many as required_argument, optional_argument are */
    }
    opterr = 0;
    for (int code; (code = getopt_long(argc, argv, letters, known, NULL)) != -1;) {
        int64_t ms; /* "-w 5" as well as "-w5" */
        if (code == 'w' && optarg == NULL && optind < argc && duration_parse(argv[optind], &ms))
            optarg = argv[optind++];
        set_option(&o, code, argv);
    }
    if (optind < argc)
        fail(EX_USAGE, "unexpected argument \"%s\"; expected options only", argv[optind]);
    check_sources(&o);
    check_acts(&o);
    check_forms(&o);
    check_watch(&o);
    if (o.view == VIEW_TREE && o.json)
        o.view = VIEW_WAITERS; /* programs find the tree in its fields */
    return o;
}
