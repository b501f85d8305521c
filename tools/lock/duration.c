#include "duration.h"

#include <cachify/cachify.h>
#include <string.h>
#include <time.h>

static const struct {
    const char *name;
    int64_t ms;
} units[] = {{"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};

static int64_t unit_ms(const char *name)
{
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (strcmp(name, units[i].name) == 0)
            return units[i].ms;
    return 0;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool duration_parse(const char *text, int64_t *ms)
{
    int64_t whole = 0, fraction = 0, scale = 1;
    bool digits = false;
    if (strcmp(text, "never") == 0) {
        *ms = CACHIFY_NEVER;
        return true;
    }
    for (; is_digit(*text); text++, digits = true)
        if ((whole = whole * 10 + (*text - '0')) > CACHIFY_MAX_MS)
            return false;
    if (*text == '.')
        for (text++; is_digit(*text); text++, digits = true)
            if (scale < 1000000000) { /* finer than a day has milliseconds */
                fraction = fraction * 10 + (*text - '0');
                scale *= 10;
            }
    int64_t unit = unit_ms(text);
    if (!digits || unit == 0 || whole > CACHIFY_MAX_MS / unit)
        return false;
    *ms = whole * unit + (fraction * unit + scale - 1) / scale;
    return *ms <= CACHIFY_MAX_MS;
}

static int64_t read_clock(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t monotonic_ms(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

int64_t wall_ms(void)
{
    return read_clock(CLOCK_REALTIME);
}
