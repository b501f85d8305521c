/* kill-steps: each operation of the library, killed and stopped at every instruction.
 *
 *     steps [--kill] [--stop] [--each] [--list] [--point=N] [--verbose] [OPERATION...]
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "run.h"

static struct trace *trace; /* filled by a runner, read by all */
static unsigned passed, failed;
static bool kills, stops, verbose;
static bool each; /* instruction, not point */
static long only_point = -1;

static const char *fate_name(enum fate fate)
{
    static const char *const names[] = {"killed", "killed, heir", "stopped", "stopped, key free"};
    return names[fate];
}

#define TOLD 5 /* violations of one operation and fate that are printed */

#define TRIES 8u /* to come to a point; timing decides whether a waiter is to be woken */

static unsigned missed; /* points of one operation and fate */

/* No run came to it again: said, and a violation only if it is so of many (all_points). */
static bool not_met(const struct operation *operation, enum fate fate, unsigned n)
{
    if (!each)
        printf("  %s, %s at point %u: not met again in %u runs\n", operation->name, fate_name(fate),
               n, TRIES);
    missed++;
    return true;
}

static void tell(const struct operation *operation, enum fate fate, unsigned n)
{
    printf("  %s, %s at %s %u", operation->name, fate_name(fate), each ? "instruction" : "point",
           n);
    if (!each)
        printf(" (behind %#llx, run %u)", (unsigned long long)trace->point[n].rip,
               trace->point[n].runs);
    printf(": %s\n", board->blame[0] != '\0' ? board->blame : "right");
}

static bool at_point(const struct operation *operation, enum fate fate, unsigned n, bool told)
{
    enum outcome outcome = RUN_MISSED;
    for (unsigned tries = 0; tries < (each ? 1 : TRIES) && outcome == RUN_MISSED; tries++)
        outcome = run_point(operation, fate, trace, n,
                            each             ? BY_INSTRUCTIONS
                            : tries % 2 == 0 ? BY_BREAKPOINT
                                             : BY_POINTS);
    if (outcome == RUN_MISSED)
        return not_met(operation, fate, n);
    if (outcome == RUN_DIED)
        blame("the run came to no end");
    bool right = board->blame[0] == '\0';
    if (verbose || (!right && told))
        tell(operation, fate, n);
    return right;
}

static unsigned all_points(const struct operation *operation, enum fate fate)
{
    unsigned bad = 0, count = each ? (unsigned)trace->instructions : trace->points;
    missed = 0;
    for (unsigned n = 0; n < count; n++)
        if (only_point < 0 || only_point == n)
            bad += !at_point(operation, fate, n, bad < TOLD);
    if (!each && missed > 1 + count / 10) {
        printf("  %s, %s: %u of %u points were not met again\n", operation->name, fate_name(fate),
               missed, count);
        bad++;
    }
    return bad;
}

static void one_operation(const struct operation *operation)
{
    int64_t start = now_us();
    unsigned bad = 0;
    memset(trace, 0, sizeof *trace);
    enum outcome outcome = run_trace(operation, trace);
    if (outcome != RUN_WHOLE || board->blame[0] != '\0') {
        printf("  %s, undisturbed: %s\n", operation->name,
               board->blame[0] != '\0' ? board->blame : "the run came to no end");
        bad++;
    } else {
        for (enum fate fate = KILLED; fate < FATES; fate++)
            if (fate <= KILLED_HEIR ? kills : stops && !operation->unstopped)
                bad += all_points(operation, fate);
    }
    printf("%-20s %12llu %11u %11u %8.1f s  %s\n", operation->name,
           (unsigned long long)trace->instructions, kills ? trace->points : 0,
           stops && !operation->unstopped ? trace->points : 0, (double)(now_us() - start) / 1e6,
           bad == 0 ? "ok" : "FAILED");
    passed += bad == 0;
    failed += bad != 0;
}

static int usage(const char *name)
{
    fprintf(stderr,
            "usage: %s [--kill] [--stop] [--each] [--list] [--point=N] [--verbose] [OPERATION...]\n"
            "neither --kill nor --stop: both; --each: at each instruction, not each point\n",
            name);
    return 2;
}

static void list(void)
{
    for (unsigned i = 0; i < operations_count; i++)
        puts(operations[i].name);
}

static bool wanted(int argc, char **argv, const char *name)
{
    for (int i = optind; i < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return true;
    return optind == argc;
}

static void *shared(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        perror("kill-steps: mmap");
        exit(2);
    }
    return p;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"kill", no_argument, NULL, 'k'},
        {"stop", no_argument, NULL, 's'},
        {"list", no_argument, NULL, 'l'},
        {"each", no_argument, NULL, 'e'},
        {"point", required_argument, NULL, 'p'},
        {"verbose", no_argument, NULL, 'v'},
        {0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        switch (option) {
        case 'k':
            kills = true;
            break;
        case 's':
            stops = true;
            break;
        case 'e':
            each = true;
            break;
        case 'l':
            list();
            return 0;
        case 'p':
            only_point = strtol(optarg, NULL, 10);
            break;
        case 'v':
            verbose = true;
            break;
        default:
            return usage(argv[0]);
        }
    if (!kills && !stops)
        kills = stops = true;
    const char *refused = stepper_refused();
    if (refused != NULL) {
        printf("kill-steps: skipped: %s\n", refused);
        return 77;
    }
    board = shared(sizeof *board);
    trace = shared(sizeof *trace);
    printf("%-20s %12s %11s %11s\n", "operation", "instructions", "kill points", "stop points");
    for (unsigned i = 0; i < operations_count; i++)
        if (wanted(argc, argv, operations[i].name))
            one_operation(&operations[i]);
    printf("kill-steps: %u passed, %u failed\n", passed, failed);
    return failed == 0 && passed > 0 ? 0 : 1;
}
