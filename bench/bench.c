/* Locks beside their peers: all subjects in turn, round after round, medians and spread. */
#include "bench.h"

#include <cachify/cachify.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

/* Issue "The core": pair at most 4 x robust mutex and 15 x faster than flock; a busy answer
 * at most 2 x the pair.  design, section 12: contended at least half a robust mutex's
 * throughput and 10 x flock's; release to waiter at most 1.3 x robust mutex. */
static const struct bar bars[] = {
    {"pair_uncontended", "cachify", "pair_uncontended", "robust_mutex", 4.0},
    {"pair_uncontended", "cachify", "pair_uncontended", "flock", 1.0 / 15},
    {"busy_nowait", "cachify", "pair_uncontended", "cachify", 2.0},
    {"contended_2", "cachify", "contended_2", "robust_mutex", 2.0},
    {"contended_2", "cachify", "contended_2", "flock", 0.1},
    {"release_to_waiter", "cachify", "release_to_waiter", "robust_mutex", 1.3},
};

static bool json;

uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Samples are sorted when this is asked. */
static double median(const struct subject *s)
{
    return s->sample[s->samples / 2];
}

static const struct subject *find(const char *bench_case, const char *name)
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

static void print_subject(const struct subject *s)
{
    if (json)
        printf("{\"case\":\"%s\",\"subject\":\"%s\",\"n\":%ld,\"ns\":%.2f,\"min\":%.2f,\"max\":%."
               "2f}\n",
               s->bench_case, s->name, s->n, median(s), s->sample[0], s->sample[s->samples - 1]);
    else
        printf("%-18s %-13s %10.1f   %.1f to %.1f\n", s->bench_case, s->name, median(s),
               s->sample[0], s->sample[s->samples - 1]);
}

/* A bar below 1 reads better the other way round. */
static void print_bar(const struct bar *b)
{
    const struct subject *s = find(b->bench_case, b->name), *to = find(b->to_case, b->to);
    if (s == NULL || to == NULL || s->samples == 0 || to->samples == 0)
        return;
    double ratio = median(s) / median(to);
    bool met = ratio <= b->at_most;
    const char *of = strcmp(b->to_case, b->bench_case) == 0 ? "" : b->to_case;
    if (json)
        printf("{\"case\":\"%s\",\"subject\":\"%s\",\"ns\":%.2f,\"ratio_to\":\"%s%s%s\",\"ratio\":%"
               ".4f,"
               "\"bar\":%.4f,\"met\":%s}\n",
               b->bench_case, b->name, median(s), of, *of != '\0' ? "/" : "", b->to, ratio,
               b->at_most, met ? "true" : "false");
    else if (b->at_most < 1)
        printf("%-18s %-13s %6.1f x faster than %s (at least %.0f): %s\n", b->bench_case, b->name,
               1 / ratio, b->to, 1 / b->at_most, met ? "met" : "NOT MET");
    else
        printf("%-18s %-13s %6.2f x %s%s%s (at most %.1f): %s\n", b->bench_case, b->name, ratio, of,
               *of != '\0' ? " of " : "", b->to, b->at_most, met ? "met" : "NOT MET");
}

static void usage(FILE *to)
{
    fprintf(to,
            "usage: bench [--json] [--rounds N] [--case NAME] [--quick] [--help]\n"
            "Measures the library beside its peers, all in one run.\n"
            "  --json      one JSON object a line\n"
            "  --rounds N  rounds, 1 to %d (default 11); medians over them are printed\n"
            "  --case NAME this case only\n"
            "  --quick     a tenth of the operations\n",
            MAX_ROUNDS);
}

static void measure(int rounds, const char *only, long divide)
{
    for (int r = 0; r < rounds; r++)
        for (unsigned i = 0; i < subject_count; i++) {
            struct subject *s = &subjects[i];
            if (only != NULL && strcmp(only, s->bench_case) != 0)
                continue;
            long n = s->n / divide > 0 ? s->n / divide : 1;
            s->sample[s->samples++] = s->run(n);
        }
    for (unsigned i = 0; i < subject_count; i++)
        qsort(subjects[i].sample, (size_t)subjects[i].samples, sizeof(double), by_value);
}

static bool known_case(const char *name)
{
    for (unsigned i = 0; i < subject_count; i++)
        if (strcmp(subjects[i].bench_case, name) == 0)
            return true;
    fprintf(stderr, "bench: no case \"%s\"; expected one of", name);
    for (unsigned i = 0; i < subject_count; i++)
        if (i == 0 || strcmp(subjects[i].bench_case, subjects[i - 1].bench_case) != 0)
            fprintf(stderr, " %s", subjects[i].bench_case);
    fputc('\n', stderr);
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
    if (!subjects_open())
        return 1;
    measure(rounds, only, divide);
    subjects_close();
    if (!json) {
        print_machine();
        printf("%-18s %-13s %10s   spread over %d rounds\n", "case", "subject", "ns", rounds);
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
