/* Time, and the middle of samples of it. */
#include "bench.h"

#include <stdlib.h>
#include <time.h>

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
