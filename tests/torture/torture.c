/* Random processes, random deaths, and a judge that believes nobody.  See README.md. */
#include <errno.h>
#include <getopt.h>
#include <glob.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "control.h"

/* 0: as asked. */
static const struct configuration {
    const char *name;
    const char *what;
    unsigned max_locks;
    unsigned keys;
    unsigned processes;
    unsigned most_leases;
    bool leisurely;
} configurations[] = {
    {"normal", "room for all", 1024, 0, 0, 4, false},
    {"tiny", "fewer locks than keys: the table is often full", 16, 0, 0, 4, false},
    {"overflow", "four groups for many keys: paths overflow all the time", 8, 48, 0, 4, false},
    {"never-full", "many threads, few leases: FULL would be wrong", 4, 64, 10, 1, true},
};
#define CONFIGURATIONS (sizeof configurations / sizeof configurations[0])

struct options {
    double seconds;
    uint64_t seed;
    unsigned processes;
    unsigned keys;
    const struct configuration *only;
    bool no_forks;
    bool keep;
};

static const char usage[] =
    "Usage: torture [OPTION]...\n"
    "Processes take, hold, lose and give back locks at random, and are killed and stopped\n"
    "at random; whatever they are told is checked through a mapping of their own.\n"
    "\n"
    "  --seconds=N      how long in all (30)\n"
    "  --seed=N         repeat these random choices (CACHIFY_SEED; else a new one each time)\n"
    "  --processes=N    at one time (8; at most 32)\n"
    "  --keys=N         (24; at most 256)\n"
    "  --config=NAME    only this one: ";

static void print_usage(FILE *to)
{
    fputs(usage, to);
    for (unsigned i = 0; i < CONFIGURATIONS; i++)
        fprintf(to, "%s%s", configurations[i].name, i + 1 < CONFIGURATIONS ? ", " : "\n");
    fputs("  --no-forks       neither forks, execs nor second threads\n"
          "  --keep           leave the segments in /dev/shm\n"
          "  --help           this\n"
          "\n"
          "The last line is `N passed, N failed`; exit status 0 if none failed, 1 if one did,\n"
          "2 for a wrong option.\n",
          to);
}

_Noreturn static void refuse(const char *option, const char *given, const char *expected)
{
    fprintf(stderr, "torture: --%s is \"%s\"; expected %s\n", option, given, expected);
    exit(2);
}

static uint64_t number(const char *option, const char *given, uint64_t from, uint64_t to,
                       const char *expected)
{
    char *end;
    errno = 0;
    uint64_t n = strtoull(given, &end, 0);
    if (errno != 0 || end == given || *end != '\0' || given[0] == '-' || n < from || n > to)
        refuse(option, given, expected);
    return n;
}

static const struct configuration *configuration(const char *name)
{
    for (unsigned i = 0; i < CONFIGURATIONS; i++)
        if (strcmp(configurations[i].name, name) == 0)
            return &configurations[i];
    refuse("config", name, "a configuration that --help names");
}

static struct options parse(int argc, char **argv)
{
    static const struct option long_options[] = {
        {"seconds", required_argument, NULL, 's'},
        {"seed", required_argument, NULL, 'r'},
        {"processes", required_argument, NULL, 'p'},
        {"keys", required_argument, NULL, 'k'},
        {"config", required_argument, NULL, 'c'},
        {"no-forks", no_argument, NULL, 'f'},
        {"keep", no_argument, NULL, 'K'},
        {"help", no_argument, NULL, 'h'},
        {"linger", required_argument, NULL, 'L'},
        {NULL, 0, NULL, 0},
    };
    struct options o = {.seconds = 30, .processes = 8, .keys = 24};
    const char *seed = getenv("CACHIFY_SEED");
    o.seed = seed != NULL ? number("seed", seed, 0, UINT64_MAX, "a number")
                          : (uint64_t)now_ns() ^ (uint64_t)getpid() << 40;
    int fd, option;
    unsigned slot;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        switch (option) {
        case 's': {
            char *end;
            o.seconds = strtod(optarg, &end);
            if (end == optarg || *end != '\0' || !(o.seconds > 0 && o.seconds <= 1e6))
                refuse("seconds", optarg, "a number above 0, at most 1000000");
            break;
        }
        case 'r':
            o.seed = number("seed", optarg, 0, UINT64_MAX, "a number");
            break;
        case 'p':
            o.processes = (unsigned)number("processes", optarg, 1, MAX_PROCESSES, "1 to 32");
            break;
        case 'k':
            o.keys = (unsigned)number("keys", optarg, 1, MAX_KEYS, "1 to 256");
            break;
        case 'c':
            o.only = configuration(optarg);
            break;
        case 'f':
            o.no_forks = true;
            break;
        case 'K':
            o.keep = true;
            break;
        case 'L': /* from a tortured process that does exec */
            if (sscanf(optarg, "%d:%u", &fd, &slot) == 2)
                worker_linger(fd, slot);
            exit(2);
        case 'h':
            print_usage(stdout);
            exit(0);
        default:
            fputs("Try 'torture --help'.\n", stderr);
            exit(2);
        }
    }
    if (optind < argc) {
        fprintf(stderr, "torture: \"%s\" is no option; expected --NAME=VALUE\n", argv[optind]);
        exit(2);
    }
    return o;
}

static void print_counts(void)
{
    const char *between = "  ";
    for (unsigned i = 0; i < COUNTS; i++) {
        if (oracle->counts[i] == 0)
            continue;
        printf("%s%" PRIu64 " %s", between, (uint64_t)oracle->counts[i], count_names[i]);
        between = i % 6 == 5 ? ",\n  " : ", ";
    }
    printf("; latest return %" PRId64 " us\n", oracle->latest / 1000);
}

/* Adds to passed and failed. */
static void judge(const char *name, unsigned *passed, unsigned *failed)
{
    for (unsigned i = 0; i < RULES; i++) {
        if (oracle->violations[i] == 0) {
            (*passed)++;
            continue;
        }
        (*failed)++;
        printf("  FAILED %s: %s: %" PRIu64 " violations\n", name, rule_names[i],
               (uint64_t)oracle->violations[i]);
    }
}

/* Nothing of this run may be left but the segment itself. */
static void tidy_up(const char *path, bool keep)
{
    char pattern[128];
    glob_t found;
    if (!keep)
        unlink(path);
    snprintf(pattern, sizeof pattern, "%s*", path);
    if (glob(pattern, 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++)
            if (!keep)
                violation(RULE_NO_LEAK, "%s is left", found.gl_pathv[i]);
        globfree(&found);
    }
}

static void run(const struct options *o, const struct configuration *c, double seconds,
                unsigned *passed, unsigned *failed)
{
    char path[96];
    snprintf(path, sizeof path, "/dev/shm/cachify-torture.%d.%s", (int)getpid(), c->name);
    struct plan plan = {.name = c->name,
                        .path = path,
                        .seed = o->seed,
                        .processes = c->processes != 0 ? c->processes : o->processes,
                        .keys = c->keys != 0 ? c->keys : o->keys,
                        .max_locks = c->max_locks,
                        .most_leases = c->most_leases,
                        .leisurely = c->leisurely,
                        .no_forks = o->no_forks,
                        .oracle_fd = oracle_map(-1)};
    if (plan.oracle_fd < 0) {
        fprintf(stderr, "torture: no memory for the judge: %s\n", strerror(errno));
        exit(1);
    }
    printf("%s (%s): %u processes, %u keys, max_locks %u, %.1f s\n", c->name, c->what,
           plan.processes, plan.keys, plan.max_locks, seconds);
    fflush(stdout);
    control_run(&plan, (int64_t)(seconds * 1e9));
    tidy_up(path, o->keep);
    print_counts();
    judge(c->name, passed, failed);
    close(plan.oracle_fd);
    munmap(oracle, sizeof *oracle);
}

int main(int argc, char **argv)
{
    struct options o = parse(argc, argv);
    unsigned passed = 0, failed = 0, share = CONFIGURATIONS;
    control_prepare();
    printf("torture: seed %" PRIu64 "\n", o.seed);
    for (unsigned i = 0; i < CONFIGURATIONS && !control_interrupted(); i++) {
        const struct configuration *c = &configurations[i];
        if (o.only == NULL)
            run(&o, c, o.seconds / share, &passed, &failed);
        else if (o.only == c)
            run(&o, c, o.seconds, &passed, &failed);
    }
    if (control_interrupted())
        printf("interrupted\n");
    else if (failed > 0)
        printf("repeat with --seed=%" PRIu64 "\n", o.seed);
    printf("%u passed, %u failed\n", passed, failed);
    return control_interrupted() ? 130 : failed > 0;
}
