/* Rounds: all subjects in turn, again and again, so that what disturbs the machine disturbs all. */
#include "bench.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BATCHES 10 /* samples of a loop in a round */
#define TRIES 3
#define SCALE 10 /* of a quick run */
#define SCALED_FROM 500000

struct subject *subjects;
unsigned subject_count;

void sample(struct subject *s, double value)
{
    if (s->samples == s->room) {
        s->room = s->room > 0 ? 2 * s->room : 64;
        double *more = realloc(s->sample, (size_t)s->room * sizeof *more);
        if (more == NULL)
            fail("no memory for %ld samples", s->room);
        s->sample = more;
    }
    s->sample[s->samples++] = value;
}

const struct subject *find(const char *bench_case, const char *name)
{
    for (unsigned i = 0; i < subject_count; i++)
        if (strcmp(subjects[i].of->name, bench_case) == 0 &&
            strcmp(subjects[i].peer->name, name) == 0)
            return &subjects[i];
    return NULL;
}

/* ---- Who is measured ---- */

bool is_measured(const struct peer *p)
{
    for (unsigned i = 0; i < subject_count; i++)
        if (subjects[i].peer == p)
            return true;
    return false;
}

long scaled(long count)
{
    return wishes.quick && count >= SCALED_FROM ? count / SCALE : count;
}

bool scaled_down(const struct bench_case *c)
{
    return c->setting != NULL && scaled(c->setting->count) != c->setting->count;
}

static bool takes_part(const struct bench_case *c, const struct peer *p)
{
    bool filled = c->setting == NULL || c->setting->open != held_open || c->loop != HELD ||
                  p->fill == NULL || p->fill_most >= c->setting->count;
    return filled && (c->run != NULL ? c->takes(p) : p->loop[c->loop] != NULL);
}

static bool is_chosen(const struct bench_case *c)
{
    return wishes.only == NULL || fnmatch(wishes.only, c->name, 0) == 0;
}

/* A peer that has nothing is one that was not built. */
static bool is_needed(const struct peer *p)
{
    bool has_loop = false;
    for (unsigned i = 0; i < LOOPS; i++)
        has_loop = has_loop || p->loop[i] != NULL;
    for (unsigned i = 0; i < case_count; i++)
        if (is_chosen(&cases[i]) && takes_part(&cases[i], p))
            return true;
    return !has_loop;
}

static void peers_open(void)
{
    for (unsigned i = 0; i < peer_count; i++) {
        const char *missing = NULL;
        if (is_needed(peers[i]) && peers[i]->open != NULL)
            missing = peers[i]->open();
        if (missing != NULL)
            leave_out(peers[i]->name, missing);
    }
}

void subjects_choose(void)
{
    subjects = calloc((size_t)case_count * peer_count, sizeof *subjects);
    if (subjects == NULL)
        fail("no memory for the subjects");
    peers_open();
    for (unsigned c = 0; c < case_count; c++)
        for (unsigned p = 0; p < peer_count; p++)
            if (is_chosen(&cases[c]) && !left_out(peers[p]->name) &&
                takes_part(&cases[c], peers[p]))
                subjects[subject_count++] = (struct subject){
                    .of = &cases[c],
                    .peer = peers[p],
                    .n = cases[c].n,
                    .count = cases[c].setting != NULL ? scaled(cases[c].setting->count) : 0};
}

/* ---- Loops ---- */

/* In ms; the shortest of a few, as one may be disturbed, or be the first. */
static double shortest(double (*loop)(long n), long n, double enough)
{
    double shortest = 0;
    for (int i = 0; i < TRIES; i++) {
        uint64_t begin = now_ns();
        loop(n);
        double took = (double)(now_ns() - begin) / 1e6;
        shortest = i == 0 || took < shortest ? took : shortest;
        if (shortest < enough)
            break;
    }
    return shortest;
}

/* How many operations take a batch's time; as many are done unmeasured, which warms up. */
static long fitting(const struct subject *s)
{
    double ms = (double)s->of->ms / BATCHES / (wishes.quick ? SCALE : 1);
    for (long n = 1;; n *= 2) {
        double took = shortest(s->peer->loop[s->of->loop], n, ms / 2);
        if (took >= ms / 2)
            return took > ms ? n : (long)((double)n * ms / took);
    }
}

static void run_loop(struct subject *s)
{
    double (*loop)(long n) = s->peer->loop[s->of->loop];
    bool fits = s->of->ms > 0;
    if (s->n == 0)
        s->n = fits ? fitting(s) : 1;
    for (int i = 0; i < (fits ? BATCHES : 1); i++)
        sample(s, loop(s->n));
}

/* ---- Rounds ---- */

static void say(const struct subject *s, int round)
{
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[Kround %d of %d: %s, %s", round + 1, wishes.rounds, s->of->name,
                s->peer->name);
}

/* Of the samples from so many on.  A copy is sorted: they stay in the order in which they were
 * taken. */
static double median_from(const struct subject *s, long first)
{
    double middle = 0;
    long count = s->samples - first;
    double *copy = malloc((size_t)count * sizeof *copy);
    if (copy != NULL) {
        memcpy(copy, s->sample + first, (size_t)count * sizeof *copy);
        middle = median_of(copy, count);
    } else {
        fail("no memory for %ld samples", count);
    }
    free(copy);
    return middle;
}

static void measure(struct subject *s, int round)
{
    long before = s->samples;
    if (round > 0 && s->of->once)
        return;
    say(s, round);
    if (s->of->run != NULL)
        s->of->run(s);
    else
        run_loop(s);
    s->round[s->rounds++] = median_from(s, before);
}

static bool is_first_of(const struct setting *setting, unsigned at)
{
    for (unsigned i = 0; i < at; i++)
        if (subjects[i].of->setting == setting)
            return false;
    return true;
}

static void measure_in(const struct setting *setting)
{
    for (int round = 0; round < wishes.rounds; round++)
        for (unsigned i = 0; i < subject_count; i++)
            if (subjects[i].of->setting == setting)
                measure(&subjects[i], round);
}

static void leave_out_all_of(const struct setting *setting, const char *why)
{
    for (unsigned i = 0; i < subject_count; i++)
        if (subjects[i].of->setting == setting)
            leave_out(subjects[i].of->name, why);
}

void measure_all(void)
{
    for (unsigned i = 0; i < subject_count; i++) {
        const struct setting *setting = subjects[i].of->setting;
        if (!is_first_of(setting, i))
            continue;
        const char *missing = setting != NULL ? setting->open(subjects[i].count) : NULL;
        if (missing == NULL)
            measure_in(setting);
        else
            leave_out_all_of(setting, missing);
        if (setting != NULL)
            setting->close(subjects[i].count);
    }
    for (unsigned i = 0; i < subject_count; i++)
        sort(subjects[i].round, subjects[i].rounds);
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
}
