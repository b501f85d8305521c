/* The table for people. */
#include "bench.h"

#include <cachify/cachify.h>
#include <math.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static FILE *out;

static const char *unit(const struct subject *s)
{
    return s->of->unit != NULL ? s->of->unit : "ns";
}

static int decimals(double value)
{
    return value < 10 ? 3 : value < 1000 ? 1 : 0;
}

static void print_machine(void)
{
    struct utsname u;
    uname(&u);
    fprintf(out, "%ld x %s, %s %s, %s\n", sysconf(_SC_NPROCESSORS_ONLN), processor(), u.sysname,
            u.release, COMPILER);
    for (unsigned i = 0; i < peer_count; i++) {
        char version[128];
        if (peers[i]->version == NULL || !is_measured(peers[i]))
            continue;
        peers[i]->version(version, sizeof version);
        fprintf(out, "%s: %s\n", peers[i]->name, version);
    }
    fputc('\n', out);
}

static void print_number(double value, int width)
{
    if (isnan(value))
        fprintf(out, " %*s", width, "-");
    else
        fprintf(out, " %*.*f", width, decimals(value), value);
}

/* Beside the library's own figure, where it has one. */
static void print_beside(const struct subject *s)
{
    const struct subject *own = find(s->of->name, cachify_peer.name);
    if (own == NULL || own == s || median(own) == 0)
        fprintf(out, " %9s", "");
    else
        fprintf(out, " %8.2fx", median(s) / median(own));
}

static void print_subject(struct subject *s)
{
    if (isnan(median(s)))
        return;
    double low = s->round[0], high = s->round[s->rounds - 1];
    fprintf(out, "%-16s %-31s", s->of->name, s->peer->name);
    print_number(median(s), 10);
    fprintf(out, " %-5s", unit(s));
    print_beside(s);
    print_number(p99(s), 10);
    fprintf(out, "  %.*f to %.*f", decimals(low), low, decimals(high), high);
    if (scaled_down(s->of))
        fprintf(out, "  (scaled down to %ld)", s->count);
    fputc('\n', out);
}

static void print_limit(const struct bar *b, bool inverse)
{
    if (b->at_least > 0 || inverse)
        fprintf(out, " (at least %.7g)", inverse ? 1 / b->at_most : b->at_least);
    else if (b->at_most > 0)
        fprintf(out, " (at most %.7g)", b->at_most);
}

/* A bar below 1 of what costs less reads better the other way round. */
static void print_bar(const struct bar *b)
{
    const struct subject *s;
    double value = bar_value(b, &s);
    bool inverse = b->to != NULL && b->at_most > 0 && b->at_most < 0.1;
    if (isnan(value))
        return;
    fprintf(out, "%-16s %-13s %9.2f ", b->bench_case, b->name, inverse ? 1 / value : value);
    if (b->to != NULL)
        fprintf(out, "x %s%s", inverse ? "faster than " : "", bar_to(b));
    else
        fputs(unit(s), out);
    print_limit(b, inverse);
    if (bar_judged(b))
        fputs(bar_met(b, value) ? ": met\n" : ": NOT MET\n", out);
    else
        fputs(scaled_down(s->of) ? ": scaled down\n" : "\n", out);
}

static void print_absent(void)
{
    for (unsigned i = 0; absent_at(i) != NULL; i++)
        fprintf(out, "%smissing: %s: %s\n", i == 0 ? "\n" : "", absent_at(i)->what,
                absent_at(i)->why);
}

void report_text(FILE *to)
{
    out = to;
    print_machine();
    fprintf(out, "%-16s %-31s %10s %-5s %9s %10s  spread over %d rounds\n", "case", "subject",
            "median", "unit", "x cachify", "p99", wishes.rounds);
    for (unsigned i = 0; i < subject_count; i++)
        if (subjects[i].rounds > 0)
            print_subject(&subjects[i]);
    fputc('\n', out);
    for (unsigned i = 0; i < bar_count; i++)
        print_bar(&bars[i]);
    print_absent();
}

void print_samples(FILE *to)
{
    for (unsigned i = 0; i < subject_count; i++)
        for (long j = 0; j < subjects[i].samples; j++)
            fprintf(to, "%s %s %.6g\n", subjects[i].of->name, subjects[i].peer->name,
                    subjects[i].sample[j]);
}
