/* cachify-shm-inspect: who holds which lock of a segment, since when, and who waits; or
 * whether what lies in it is whole.  Looks only: maps the segment read-only and takes no lock. */
#include <errno.h>
#include <getopt.h>
#include <locale.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "findings.h"
#include "leases.h"
#include "waiters.h"

#define PROGRAM "cachify-shm-inspect"

struct options {
    const char *name;
    const char *path;
    bool json;
    bool noheadings;
    bool check;
    bool waiters;
    bool help;
};

enum { OPTION_NAME = 256, OPTION_PATH, OPTION_CHECK };

/* From this list come the parser and the help. */
static const struct {
    int code; /* the short option, if it is a character */
    const char *name;
    const char *argument;
    const char *help;
} option_list[] = {
    {OPTION_NAME, "name", "NAME", "look at the segment /dev/shm/NAME"},
    {OPTION_PATH, "path", "PATH", "look at the segment in the file PATH"},
    {OPTION_CHECK, "check", NULL, "list what is wrong in the segment, instead of its locks"},
    {'W', "waiters", NULL, "list those who wait, instead of the locks"},
    {'J', "json", NULL, "print JSON instead of a table"},
    {'n', "noheadings", NULL, "do not print headings"},
    {'h', "help", NULL, "print this help"},
    {'V', "version", NULL, "print the version"},
};

#define OPTIONS (sizeof option_list / sizeof option_list[0])

/* ---- Telling people ---- */

__attribute__((format(printf, 2, 3), noreturn)) static void fail(int code, const char *format, ...)
{
    va_list args;
    fflush(stdout);
    fputs(PROGRAM ": ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    if (code == EX_USAGE)
        fputs("Try '" PROGRAM " --help' for what it can do.\n", stderr);
    exit(code);
}

static void print_option(int code, const char *name, const char *argument, const char *help)
{
    char letter[] = "  ", text[24];
    if (code < 256) {
        letter[0] = '-';
        letter[1] = (char)code;
    }
    snprintf(text, sizeof text, "--%s%s%s", name, argument != NULL ? " " : "",
             argument != NULL ? argument : "");
    printf(" %s%s %-14s  %s\n", letter, code < 256 ? "," : " ", text, help);
}

static void print_help(bool of_waiters)
{
    puts("Usage: " PROGRAM " [options]\n"
         "Lists the locks that are held in a segment of cachify, those held longest first.\n"
         "Without --name and --path it is the user's own segment, /dev/shm/cachify.UID.\n"
         "Options:");
    for (size_t i = 0; i < OPTIONS; i++)
        print_option(option_list[i].code, option_list[i].name, option_list[i].argument,
                     option_list[i].help);
    puts(of_waiters ? "Columns of --waiters:" : "Columns (--waiters --help: those of waiters):");
    listing_help(of_waiters ? &waiters : &leases, stdout);
    puts("\nExit status: 0 done, 1 failed or faults, 64 usage.  See " PROGRAM "(1).");
}

/* ---- Options ---- */

/* What was given that getopt_long stopped at: a long option, or a letter among others. */
static const char *refused(char **argv, char letter[3])
{
    const char *last = argv[optind - 1];
    if (optopt == 0 || optopt >= 256 || strncmp(last, "--", 2) == 0)
        return last;
    letter[0] = '-';
    letter[1] = (char)optopt;
    letter[2] = '\0';
    return letter;
}

static void set_option(struct options *o, int code, char **argv)
{
    char letter[3];
    switch (code) {
    case OPTION_NAME:
        o->name = optarg;
        break;
    case OPTION_PATH:
        o->path = optarg;
        break;
    case OPTION_CHECK:
        o->check = true;
        break;
    case 'J':
        o->json = true;
        break;
    case 'n':
        o->noheadings = true;
        break;
    case 'W':
        o->waiters = true;
        break;
    case 'h':
        o->help = true;
        break;
    case 'V':
        printf(PROGRAM " from cachify-shm %s\n", cachify_version());
        exit(EXIT_SUCCESS);
    case ':':
        fail(EX_USAGE, "option %s needs an argument", refused(argv, letter));
    default:
        fail(EX_USAGE, "option %s is unknown, is short for more than one, or takes no argument",
             refused(argv, letter));
    }
}

static struct options parse(int argc, char **argv)
{
    struct options options = {0};
    struct option known[OPTIONS + 1] = {0};
    char letters[OPTIONS + 2] = ":";
    for (size_t i = 0; i < OPTIONS; i++) {
        known[i].name = option_list[i].name;
        known[i].has_arg = option_list[i].argument != NULL ? required_argument : no_argument;
        known[i].val = option_list[i].code;
        if (option_list[i].code < 256)
            letters[strlen(letters)] = (char)option_list[i].code;
    }
    opterr = 0;
    for (int code; (code = getopt_long(argc, argv, letters, known, NULL)) != -1;)
        set_option(&options, code, argv);
    if (optind < argc)
        fail(EX_USAGE, "unexpected argument \"%s\"; expected options only", argv[optind]);
    if (options.name != NULL && options.path != NULL)
        fail(EX_USAGE, "both --name %s and --path %s are given; expected one at most", options.name,
             options.path);
    if (options.check && options.waiters)
        fail(EX_USAGE, "both --check and --waiters are given; expected one at most");
    return options;
}

/* ---- Looking ---- */

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

static void check(cachify_status_t status)
{
    if (status != CACHIFY_OK)
        fail(EXIT_FAILURE, "%s", cachify_last_error());
}

static void warn_of_other_boot(const cachify_shm_view_t *view)
{
    cachify_shm_header_t header = {.size = sizeof header};
    check(cachify_shm_header(view, &header));
    if (header.other_boot)
        fprintf(stderr,
                PROGRAM ": %s was made before this boot of the machine: no process of then is "
                        "left, and no time in it can be told\n",
                cachify_shm_path(view));
}

static void print_out(void)
{
    if (fflush(stdout) != 0 || ferror(stdout))
        fail(EXIT_FAILURE, "cannot write the list: %s", strerror(errno));
}

/* True if there is nothing to find. */
static bool list_findings(const cachify_shm_view_t *view, const struct options *options)
{
    uint64_t count = 0;
    bool short_of_memory;
    if (!findings_print(view, options->json, stdout, &count, &short_of_memory))
        fail(EXIT_FAILURE, "%s",
             short_of_memory ? "not enough memory for the list" : cachify_last_error());
    print_out();
    return count == 0;
}

static void list_rows(const cachify_shm_view_t *view, const struct options *options)
{
    struct listing l = {.kind = options->waiters ? &waiters : &leases};
    int short_of_memory;
    check(options->waiters ? cachify_shm_waiters(view, waiters_add, &l, &short_of_memory)
                           : cachify_shm_leases(view, leases_add, &l, &short_of_memory));
    bool complete = options->json ? listing_json(&l, cachify_shm_path(view), stdout)
                                  : listing_table(&l, !options->noheadings, stdout);
    if (short_of_memory || !complete)
        fail(EXIT_FAILURE, "not enough memory for the list");
    print_out();
    listing_free(&l);
}

int main(int argc, char **argv)
{
    setlocale(LC_CTYPE, ""); /* how wide characters are */
    struct options options = parse(argc, argv);
    if (options.help) { /* of what the other options ask for */
        print_help(options.waiters);
        return EXIT_SUCCESS;
    }
    signal(SIGBUS, on_sigbus);

    cachify_shm_view_t *view;
    bool whole = true;
    check(cachify_shm_open(options.name, options.path, &view));
    warn_of_other_boot(view);
    if (options.check)
        whole = list_findings(view, &options);
    else
        list_rows(view, &options);
    cachify_shm_close(view);
    return whole ? EXIT_SUCCESS : EXIT_FAILURE;
}
