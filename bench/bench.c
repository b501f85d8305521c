/* Locks beside their peers: all subjects in turn, round after round, medians and spread. */
#include "bench.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

/* Issue "The core": pair at most 4 x robust mutex and 15 x faster than flock; a busy answer
 * at most 2 x the pair.  Issue "Waiting" and design, section 12: the rest. */
static const struct bar bars[] = {
    {"pair_uncontended", "cachify", "pair_uncontended", "robust_mutex", .at_most = 4.0},
    {"pair_uncontended", "cachify", "pair_uncontended", "flock", .at_most = 1.0 / 15},
    {"busy_nowait", "cachify", "pair_uncontended", "cachify", .at_most = 2.0},
    {"contended_2", "cachify", "contended_2", "robust_mutex", .at_most = 2.0},
    {"contended_2", "cachify", "contended_2", "flock", .at_most = 0.1},
    {"contended_4", "cachify", "contended_4", "robust_mutex", .at_most = 2.0},
    {"contended_4", "cachify", "contended_4", "flock", .at_most = 0.1},
    {"contended_16", "cachify", "contended_16", "robust_mutex", .at_most = 2.0},
    {"contended_16", "cachify", "contended_16", "flock", .at_most = 0.1},
    {"handoff", "cachify", "handoff", "robust_mutex", .at_most = 1.3},
    {"async_handoff", "cachify", "handoff", "cachify", .at_most = 0},
    {"async_handoff", "cachify", .at_most = 1e6},
    {"kill_to_waiter", "cachify", "kill_to_waiter", "flock", .at_most = 2.0},
    {"fair_8", "cachify", .at_least = 0.8},
    {"fair_8_wait", "cachify", .at_most = 10},
    {"herd_1000", "cachify", .at_most = 1.2},
    {"sleepers_cpu", "cachify", .at_most = 1.0},
};

static bool json;

uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void busy_ns(uint64_t ns)
{
    uint64_t begin = now_ns();
    while (now_ns() - begin < ns) {
    }
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void sort(double *samples, long n)
{
    qsort(samples, (size_t)n, sizeof *samples, by_value);
}

double median_of(double *samples, long n)
{
    sort(samples, n);
    return samples[n / 2];
}

/* Samples are sorted when this is asked. */
static double median(const struct subject *s)
{
    return s->sample[s->samples / 2];
}

const struct subject *find(const char *bench_case, const char *name)
{
    for (unsigned i = 0; i < subject_count; i++)
        if (strcmp(subjects[i].bench_case, bench_case) == 0 && strcmp(subjects[i].name, name) == 0)
            return &subjects[i];
    return NULL;
}

static void print_machine(void)
{
    struct utsname u;
    uname(&u);
    char cpu[128] = "unknown processor", line[256];
    FILE *f = fopen("/proc/cpuinfo", "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "model name : %127[^\n]", cpu) == 1)
            break;
    if (f != NULL)
        fclose(f);
    printf("%ld x %s, %s %s, compiler %s, libcachify %s\n\n", sysconf(_SC_NPROCESSORS_ONLN), cpu,
           u.sysname, u.release, __VERSION__, cachify_version());
}

static const char *unit(const struct subject *s)
{
    return s->unit != NULL ? s->unit : "ns";
}

static int decimals(double value)
{
    return value < 10 ? 3 : 1;
}

static void print_subject(const struct subject *s)
{
    double middle = median(s), min = s->sample[0], max = s->sample[s->samples - 1];
    if (json)
        printf("{\"case\":\"%s\",\"subject\":\"%s\",\"n\":%ld,\"unit\":\"%s\",\"value\":%.3f,"
               "\"min\":%.3f,\"max\":%.3f}\n",
               s->bench_case, s->name, s->n, unit(s), middle, min, max);
    else
        printf("%-18s %-13s %12.*f %-6s %.*f to %.*f\n", s->bench_case, s->name, decimals(middle),
               middle, unit(s), decimals(min), min, decimals(max), max);
}

/* What a subject is compared with: a peer of its case, or one of another. */
static const char *peer_text(const struct bar *b, const char *between)
{
    static char text[64];
    bool elsewhere = strcmp(b->to_case, b->bench_case) != 0;
    snprintf(text, sizeof text, "%s%s%s", elsewhere ? b->to_case : "", elsewhere ? between : "",
             b->to);
    return text;
}

static const char *verdict(const struct bar *b, double value)
{
    if (b->at_most == 0 && b->at_least == 0)
        return NULL;
    bool met = (b->at_most == 0 || value <= b->at_most) && value >= b->at_least;
    return met ? "met" : "NOT MET";
}

static void print_bar_json(const struct bar *b, const struct subject *s, double value)
{
    printf("{\"case\":\"%s\",\"subject\":\"%s\",\"unit\":\"%s\",\"value\":%.3f,", b->bench_case,
           b->name, unit(s), median(s));
    if (b->to != NULL)
        printf("\"ratio_to\":\"%s\",\"ratio\":%.4f,", peer_text(b, "/"), value);
    if (b->at_least > 0)
        printf("\"at_least\":%.4f,", b->at_least);
    if (b->at_most > 0)
        printf("\"bar\":%.4f,", b->at_most);
    const char *met = verdict(b, value);
    printf("\"met\":%s}\n", met == NULL ? "null" : strcmp(met, "met") == 0 ? "true" : "false");
}

/* A bar below 1 reads better the other way round. */
static void print_bar_text(const struct bar *b, const struct subject *s, double value)
{
    bool inverse = b->to != NULL && b->at_most > 0 && b->at_most < 1;
    double shown = inverse ? 1 / value : value;
    printf("%-18s %-13s %6.2f ", b->bench_case, b->name, shown);
    if (b->to != NULL)
        printf("x %s%s", inverse ? "faster than " : "", peer_text(b, " of "));
    else
        printf("%s", unit(s));
    if (b->at_least > 0 || inverse)
        printf(" (at least %.7g)", inverse ? 1 / b->at_most : b->at_least);
    else if (b->at_most > 0)
        printf(" (at most %.7g)", b->at_most);
    const char *met = verdict(b, value);
    printf("%s%s\n", met != NULL ? ": " : "", met != NULL ? met : "");
}

static void print_bar(const struct bar *b)
{
    const struct subject *s = find(b->bench_case, b->name);
    const struct subject *to = b->to != NULL ? find(b->to_case, b->to) : s;
    if (s == NULL || to == NULL || s->samples == 0 || to->samples == 0)
        return;
    double value = b->to != NULL ? median(s) / median(to) : median(s);
    if (json)
        print_bar_json(b, s, value);
    else
        print_bar_text(b, s, value);
}

static void print_cases(FILE *to)
{
    for (unsigned i = 0; i < subject_count; i++)
        if (i == 0 || strcmp(subjects[i].bench_case, subjects[i - 1].bench_case) != 0)
            fprintf(to, " %s", subjects[i].bench_case);
    fputc('\n', to);
}

static void usage(FILE *to)
{
    fprintf(to,
            "usage: bench [--json] [--rounds N] [--case NAME] [--quick] [--help]\n"
            "Measures the library beside its peers, all in one run.\n"
            "  --json      one JSON object a line\n"
            "  --rounds N  rounds, 1 to %d (default 11); medians over them are printed\n"
            "  --case NAME this case only\n"
            "  --quick     a tenth of the operations\n"
            "cases:",
            MAX_ROUNDS);
    print_cases(to);
}

static void measure(int rounds, const char *only, long divide)
{
    for (int r = 0; r < rounds; r++)
        for (unsigned i = 0; i < subject_count; i++) {
            struct subject *s = &subjects[i];
            if (only != NULL && strcmp(only, s->bench_case) != 0)
                continue;
            long n = s->n / divide > 0 ? s->n / divide : 1;
            double sample = s->run != NULL ? s->run(n) : s->among(s, n);
            s->sample[s->samples++] = sample;
        }
    for (unsigned i = 0; i < subject_count; i++)
        sort(subjects[i].sample, subjects[i].samples);
}

static bool known_case(const char *name)
{
    for (unsigned i = 0; i < subject_count; i++)
        if (strcmp(subjects[i].bench_case, name) == 0)
            return true;
    fprintf(stderr, "bench: no case \"%s\"; expected one of", name);
    print_cases(stderr);
    return false;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'},       {"rounds", required_argument, NULL, 'r'},
        {"case", required_argument, NULL, 'c'}, {"quick", no_argument, NULL, 'q'},
        {"help", no_argument, NULL, 'h'},       {0},
    };
    int rounds = 11;
    long divide = 1;
    const char *only = NULL;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        char *end = NULL;
        switch (o) {
        case 'j':
            json = true;
            break;
        case 'r':
            rounds = (int)strtol(optarg, &end, 10);
            if (*end != '\0' || rounds < 1 || rounds > MAX_ROUNDS) {
                fprintf(stderr, "bench: --rounds is \"%s\"; expected 1 to %d\n", optarg,
                        MAX_ROUNDS);
                return 64;
            }
            break;
        case 'c':
            only = optarg;
            break;
        case 'q':
            divide = 10;
            break;
        case 'h':
            usage(stdout);
            return 0;
        default:
            usage(stderr);
            return 64;
        }
    }
    if (optind < argc || (only != NULL && !known_case(only))) {
        if (optind < argc)
            fprintf(stderr, "bench: \"%s\" is no option\n", argv[optind]);
        return 64;
    }
    clean_up_when_told_to_end();
    subjects_open();
    measure(rounds, only, divide);
    subjects_close();
    if (!json) {
        print_machine();
        printf("%-18s %-13s %12s %-6s spread over %d rounds\n", "case", "subject", "median", "unit",
               rounds);
    }
    for (unsigned i = 0; i < subject_count; i++)
        if (subjects[i].samples > 0)
            print_subject(&subjects[i]);
    if (!json)
        putchar('\n');
    for (unsigned i = 0; i < sizeof bars / sizeof bars[0]; i++)
        print_bar(&bars[i]);
    return 0;
}
