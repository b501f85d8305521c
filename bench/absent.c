/* What is not there to be measured, and why. */
#include "bench.h"

#include <string.h>

#define MAX_ABSENT 64

static struct absent absent[MAX_ABSENT];
static unsigned absent_count;

void leave_out(const char *what, const char *why)
{
    if (absent_count == MAX_ABSENT || left_out(what))
        return;
    struct absent *a = &absent[absent_count++];
    a->what = what;
    snprintf(a->why, sizeof a->why, "%s", why);
}

const struct absent *absent_at(unsigned i)
{
    return i < absent_count ? &absent[i] : NULL;
}

bool left_out(const char *what)
{
    for (unsigned i = 0; i < absent_count; i++)
        if (strcmp(absent[i].what, what) == 0)
            return true;
    return false;
}
