/* Every interleaving of pairs of operations, up to a bound of preemptions.  README.md. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "pairs.h"

#define JOBS 2u

static unsigned bound_asked; /* 0: each pair's own */
static bool stops;           /* at the first pair that fails */

static const struct pair *find(const char *name, size_t len)
{
    for (unsigned i = 0; i < pair_count; i++)
        if (strlen(pairs[i].name) == len && strncmp(pairs[i].name, name, len) == 0)
            return &pairs[i];
    return NULL;
}

static unsigned bound_of(const struct pair *pair)
{
    return bound_asked != 0 ? bound_asked : pair->bound;
}

/* ---- One pair, in a process of its own: a line to out ---- */

static void show(const struct pair *pair, const struct tally *tally, FILE *out)
{
    char text[128];
    struct tally again;
    schedule_print(&tally->failing, text, sizeof text);
    fprintf(out, "  %s\n  replay: interleave --replay %s:%s\n", tally->failure, pair->name, text);
    struct schedule failing = tally->failing;
    replay(pair_begin(pair), &failing, out, &again);
}

static int explore_pair(const struct pair *pair, FILE *out)
{
    struct tally tally;
    char outcomes[OUTCOMES * OUTCOME_ROOM];
    unsigned bound = bound_of(pair);
    bool good = explore(pair_begin(pair), bound, &tally);
    bool complete = pair_outcomes(pair, good && bound >= 2, outcomes, sizeof outcomes);
    fprintf(out, "%-24s %5u %10llu %7u  %-6s  %s\n", pair->name, bound,
            (unsigned long long)tally.schedules, tally.longest, good && complete ? "ok" : "FAILED",
            outcomes);
    if (!good)
        show(pair, &tally, out);
    fflush(out);
    return good && complete ? 0 : 1;
}

/* ---- All of them, a few at a time ---- */

struct job {
    const struct pair *pair;
    pid_t pid;
    FILE *out;
};

static void start(struct job *job, const struct pair *pair)
{
    job->pair = pair;
    job->out = tmpfile();
    if (job->out == NULL) {
        perror("interleave: tmpfile");
        exit(2);
    }
    fflush(stdout);
    job->pid = fork();
    if (job->pid == 0)
        exit(explore_pair(pair, job->out));
}

static bool finish(struct job *job, int status)
{
    char line[512];
    bool good = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    rewind(job->out);
    while (fgets(line, sizeof line, job->out) != NULL)
        fputs(line, stdout);
    if (!WIFEXITED(status))
        printf("%-24s died of signal %d\n", job->pair->name, WTERMSIG(status));
    fclose(job->out);
    fflush(stdout);
    *job = (struct job){0};
    return good;
}

static int explore_pairs(const char *only)
{
    struct job jobs[JOBS] = {{0}};
    unsigned next = 0, running = 0, passed = 0, failed = 0;
    printf("%-24s %5s %10s %7s  %-6s  %s\n", "pair", "bound", "schedules", "longest", "",
           "answers A/B");
    for (;;) {
        while (running < JOBS && next < pair_count && !(stops && failed > 0)) {
            const struct pair *pair = &pairs[next++];
            if (only != NULL && strcmp(only, pair->name) != 0)
                continue;
            unsigned free = 0;
            while (jobs[free].pid != 0)
                free++;
            start(&jobs[free], pair);
            running++;
        }
        if (running == 0)
            break;
        int status;
        pid_t pid = wait(&status);
        for (unsigned i = 0; i < JOBS; i++)
            if (jobs[i].pid == pid && pid > 0) {
                bool good = finish(&jobs[i], status);
                passed += good;
                failed += !good;
                running--;
            }
    }
    printf("interleave: %u passed, %u failed\n", passed, failed);
    return failed == 0 && passed > 0 ? 0 : 1;
}

static int replay_one(const char *text)
{
    const char *colon = strchr(text, ':');
    const struct pair *pair = colon != NULL ? find(text, (size_t)(colon - text)) : NULL;
    struct schedule schedule;
    struct tally tally;
    if (pair == NULL || !schedule_parse(colon + 1, &schedule)) {
        fprintf(stderr, "interleave: no schedule: %s\n", text);
        return 2;
    }
    if (pair->files == FILES_NONE)
        printf("%s: before: %s\n  A: %s\n  B: %s\n", pair->name, pair->before, pair->a, pair->b);
    bool good = replay(pair_begin(pair), &schedule, stdout, &tally);
    printf("%s: %s\n", pair_outcome(), good ? "ok" : tally.failure);
    return good ? 0 : 1;
}

int main(int argc, char **argv)
{
    const char *only = NULL;
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--bound=", 8) == 0 && argv[i][8] != '\0') {
            bound_asked = (unsigned)atoi(argv[i] + 8);
        } else if (strcmp(argv[i], "--stop") == 0) {
            stops = true;
        } else if (strcmp(argv[i], "--everywhere") == 0) {
            explore_everywhere = true;
        } else if (strcmp(argv[i], "--replay") == 0 && i + 1 < argc) {
            return replay_one(argv[i + 1]);
        } else if (argv[i][0] != '-' && only == NULL) {
            only = argv[i];
        } else if (strcmp(argv[i], "--bound=") != 0) {
            fprintf(stderr, "usage: interleave [--bound=N] [--everywhere] [--stop] [PAIR] | "
                            "--replay PAIR:SCHEDULE\n");
            return 2;
        }
    }
    if (bound_asked > DEEPEST) {
        fprintf(stderr, "interleave: --bound is at most %u\n", (unsigned)DEEPEST);
        return 2;
    }
    return explore_pairs(only);
}
