/* From samples to figures: the median over the rounds, the 99th of a hundred samples, bars. */
#include "bench.h"

#include <math.h>
#include <string.h>

#define ENOUGH 50 /* samples for a 99th percentile to mean something */

double median(const struct subject *s)
{
    return s->rounds > 0 ? s->round[s->rounds / 2] : NAN;
}

double p99(struct subject *s)
{
    if (s->samples < ENOUGH)
        return NAN;
    sort(s->sample, s->samples);
    return s->sample[s->samples * 99 / 100];
}

double bar_value(const struct bar *b, const struct subject **s)
{
    const struct subject *to = b->to != NULL ? find(b->to_case, b->to) : NULL;
    *s = find(b->bench_case, b->name);
    if (*s == NULL || (b->to != NULL && to == NULL))
        return NAN;
    return to != NULL ? median(*s) / median(to) : median(*s);
}

/* What a subject is compared with: a peer of its case, or one of another. */
const char *bar_to(const struct bar *b)
{
    static char text[96];
    bool elsewhere = strcmp(b->to_case, b->bench_case) != 0;
    snprintf(text, sizeof text, "%s%s%s", elsewhere ? b->to_case : "", elsewhere ? "/" : "", b->to);
    return text;
}

/* Neither what is only shown, nor what was measured smaller than it is asked. */
bool bar_judged(const struct bar *b)
{
    const struct subject *s = find(b->bench_case, b->name);
    return (b->at_most > 0 || b->at_least > 0) && !scaled_down(s->of);
}

bool bar_met(const struct bar *b, double value)
{
    return (b->at_most == 0 || value <= b->at_most) && value >= b->at_least;
}
