#include "duration.h"

#include <string.h>

#include <cachify/cachify.h>

static const struct {
    const char *name; /* of two, one of which begins another, the longer first */
    int64_t ms;
} units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The unit at the beginning of the text, 0 if there is none. */
static int64_t unit_at(const char **text)
{
    for (unsigned i = 0; i < sizeof units / sizeof units[0]; i++) {
        size_t len = strlen(units[i].name);
        if (strncmp(*text, units[i].name, len) == 0) {
            *text += len;
            return units[i].ms;
        }
    }
    return 0;
}

/* One number with its unit. */
static bool parse_part(const char **text, double *ms)
{
    double number = 0, scale = 1;
    bool digits = false;
    for (; is_digit(**text); ++*text, digits = true)
        number = number * 10 + (**text - '0');
    if (**text == '.')
        for (++*text; is_digit(**text); ++*text, digits = true) {
            scale /= 10;
            number += (**text - '0') * scale;
        }
    int64_t unit = **text == '\0' ? 1000 : unit_at(text);
    *ms += number * (double)unit;
    return digits && unit != 0;
}

bool duration_parse(const char *text, int64_t *ms)
{
    double sum = 0;
    do
        if (!parse_part(&text, &sum))
            return false;
    while (*text != '\0');
    if (sum > (double)CACHIFY_MAX_MS)
        return false;
    *ms = (int64_t)(sum + 0.5);
    if (*ms == 0 && sum > 0)
        *ms = 1; /* what is not nothing stays so */
    return true;
}
