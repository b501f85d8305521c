/* Locks beside their peers. */
#include "bench.h"

#include <errno.h>
#include <fnmatch.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#define EX_USAGE 64

struct wishes wishes = {.rounds = 7};

static void print_cases(FILE *to)
{
    for (unsigned i = 0; i < case_count; i++)
        fprintf(to, " %s", cases[i].name);
    fputc('\n', to);
}

static void usage(FILE *to)
{
    fprintf(to,
            "usage: bench [--json] [--rounds N] [--case PATTERN] [--quick] [--samples FILE]\n"
            "             [--table FILE]\n"
            "Measures the library beside its peers, all in one run.\n"
            "  --json          one JSON object a line\n"
            "  --rounds N      rounds, 1 to %d (default 7); medians over them are printed\n"
            "  --case PATTERN  these cases only, as a shell would match them\n"
            "  --quick         a tenth of the time, and of what is held from half a million on\n"
            "  --samples FILE  also writes every sample there: case, subject, value\n"
            "  --table FILE    with --json: also writes the table, there\n"
            "cases:",
            MAX_ROUNDS);
    print_cases(to);
}

static bool known_case(const char *pattern)
{
    for (unsigned i = 0; i < case_count; i++)
        if (fnmatch(pattern, cases[i].name, 0) == 0)
            return true;
    fprintf(stderr, "bench: no case \"%s\"; expected one of", pattern);
    print_cases(stderr);
    return false;
}

static bool read_rounds(const char *text)
{
    char *end;
    long rounds = strtol(text, &end, 10);
    wishes.rounds = (int)rounds;
    if (*text != '\0' && *end == '\0' && rounds >= 1 && rounds <= MAX_ROUNDS)
        return true;
    fprintf(stderr, "bench: --rounds is \"%s\"; expected 1 to %d\n", text, MAX_ROUNDS);
    return false;
}

static bool read_option(int option)
{
    switch (option) {
    case 'j':
        wishes.json = true;
        return true;
    case 'q':
        wishes.quick = true;
        return true;
    case 's':
        wishes.samples = optarg;
        return true;
    case 't':
        wishes.table = optarg;
        return true;
    case 'r':
        return read_rounds(optarg);
    case 'c':
        wishes.only = optarg;
        return known_case(optarg);
    case 'h':
        usage(stdout);
        exit(EXIT_SUCCESS);
    default:
        usage(stderr);
        return false;
    }
}

static bool read_wishes(int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'},          {"rounds", required_argument, NULL, 'r'},
        {"case", required_argument, NULL, 'c'},    {"quick", no_argument, NULL, 'q'},
        {"samples", required_argument, NULL, 's'}, {"table", required_argument, NULL, 't'},
        {"help", no_argument, NULL, 'h'},          {0},
    };
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;)
        if (!read_option(o))
            return false;
    if (optind < argc)
        fprintf(stderr, "bench: \"%s\" is no option\n", argv[optind]);
    return optind == argc;
}

static FILE *written(const char *path)
{
    FILE *f = fopen(path, "w");
    if (f == NULL)
        fail("cannot write %s: %s", path, strerror(errno));
    return f;
}

static void report(void)
{
    FILE *samples = wishes.samples != NULL ? written(wishes.samples) : NULL;
    FILE *table = wishes.table != NULL ? written(wishes.table) : NULL;
    if (samples != NULL)
        print_samples(samples);
    if (wishes.json)
        report_json();
    else
        report_text(stdout);
    if (table != NULL)
        report_text(table);
    if ((samples != NULL && fclose(samples) != 0) || (table != NULL && fclose(table) != 0) ||
        fflush(stdout) != 0)
        fail("cannot write: %s", strerror(errno));
}

int main(int argc, char **argv)
{
    if (!read_wishes(argc, argv))
        return EX_USAGE;
    clean_up_when_told_to_end();
    room_open();
    subjects_choose();
    measure_all();
    report();
    children_kill();
    room_close();
    return EXIT_SUCCESS;
}
