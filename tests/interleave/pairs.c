#include "pairs.h"

#include <string.h>

#include "monitor.h"
#include "program.h"
#include "world.h"

#define FIVE "C take d, C take g, C take j, C take m, C take p"
/* B has a spare, so that what it releases leaves its slot empty (T8). */
#define SPARE_OF_B "B take b, B release b"

const struct pair pairs[] = {
    {"insert-insert", "", "take a, release a", "take a, release a", "oo/oo oo/l- l-/oo", 3, 0,
     false},
    {"insert-insert-full", FIVE, "take a, release a", "take a, release a", NULL, 3, 0, false},
    {"insert-insert-room", SPARE_OF_B ", B take d, C take g, C take j, C take m, C take p",
     "take a, release a", "release d, take a, release a", NULL, 3, 0, false},
    {"insert-two-overflow", "C take d, C take g, C take j, C take m", "take a, release a",
     "take v, release v", NULL, 3, 0, false},
    {"insert-two-full", FIVE, "take a, release a", "take v, release v", NULL, 3, 0, false},
    {"insert-clear",
     "C take b, C take d, C take g, C take j, C take m, C take s, B take e, B take p, B release e, "
     "C release b, C release s",
     "take a, release a", "release p, take v, release v", NULL, 3, 0, false},
    {"insert-clear-same",
     "C take b, C take d, C take g, C take j, C take m, C take s, B take e, B take p, B release e, "
     "C release b, C release s",
     "take a, release a", "release p, take v, release v, take a", NULL, 3, 0, false},
    {"insert-dead-insert", "C half a, C die", "take a, release a", "take a, release a", NULL, 3, 0,
     false},
    {"late-release", "A brief a, pass", "release a", "take a, release a", NULL, 3, 0, false},
    {"release-idle", "A take a", "release a, take a, release a", "take a, release a", NULL, 3, 0,
     false},
    {"idle-idle", "A take a, A release a", "take a, release a", "take a, release a", NULL, 3, 0,
     false},
    {"idle-evict", "A take a, A release a", "take d, release d", "take a, release a", NULL, 3, 0,
     false},
    {"idle-room", "A take a, A release a, C take d, C take g, C take j, C take m",
     "take a, release a", "take p, release p", NULL, 3, 0, false},
    {"release-room", "A take a, C take d, C take g, C take j, C take m",
     "release a, take a, release a", "take p, release p", NULL, 3, 0, false},
    {"release-force", "A take a", "release a, take a", "force a", NULL, 3, 0, false},
    {"take-force", "", "take a, release a", "force a, take a, release a", NULL, 3, 0, false},
    {"force-force", "C take a", "force a, take a, release a", "force a", NULL, 3, 0, false},
    {"expired-expired", "C brief a, pass", "take a, release a", "take a, release a", NULL, 3, 0,
     false},
    {"dead-dead", "C take a, C die", "take a, release a", "take a, release a", NULL, 3, 0, false},
    {"expired-force", "C brief a, pass", "take a, release a", "force a", NULL, 3, 0, false},
    {"extend-expired", "A brief a, pass", "extend a, release a", "take a, release a", NULL, 3, 0,
     false},
    {"extend-force", "A take a", "extend a, release a", "force a", NULL, 3, 0, false},
    {"extend-held", "A take a", "extend a, extend a", "held a, take a", NULL, 3, 0, false},
    {"extend-release", "A take a", "extend a", "release a", NULL, 3, 0, true},
    {"extend-extend", "A take a", "extend a, release a", "extend a", NULL, 3, 0, true},
    {"release-release", "A take a", "release a", "release a", NULL, 3, 0, true},
    {"extend-full", "A brief a, C take b, pass", "extend a, release a", "take a, release a", NULL,
     3, 2, false},
    {"expired-full", "C brief a, C take b, pass", "take a, release a", "take a, release a", NULL, 3,
     2, false},
    {"insert-full-table", "C take c", "take a, release a", "take b, release b", NULL, 3, 2, false},
    {"sweep-sweep", "C take a, C take b, C half e, C brief c, A brief d, pass, C die", "sweep",
     "sweep", NULL, 2, 0, false},
    {"sweep-release", "A brief a, pass", "release a", "sweep, take a, release a", NULL, 2, 0,
     false},
    {"sweep-extend", "A brief a, pass", "extend a, release a", "sweep, take a", NULL, 2, 0, false},
    {"sweep-expired", "C brief a, pass", "take a, release a", "sweep, take a", NULL, 2, 0, false},
    {"sweep-dead", "C take a, C die", "take a, release a", "sweep, take a", NULL, 2, 0, false},
    {"sweep-force", "C brief a, pass", "force a", "sweep, take a", NULL, 2, 0, false},
    {"sweep-insert", "C half a, C die", "take a, release a", "sweep", NULL, 2, 0, false},
    {"wait-release", "A take a", "release a", "wait a, take a, release a", NULL, 3, 0, false},
    {"wait-force", "C take a", "force a", "wait a, take a, release a", NULL, 3, 0, false},
    {"wait-retake", "A take a", "release a, take a, release a", "wait a, take a", NULL, 3, 0,
     false},
};
const unsigned pair_count = sizeof pairs / sizeof pairs[0];

static const struct pair *playing;
static struct program act[ACTORS];
static uint32_t keys;
static char outcomes[OUTCOMES][OUTCOME_ROOM];
static unsigned outcome_count;
static char outcome[OUTCOME_ROOM];

static void begin(void)
{
    world_restore();
}

static void run_actor(unsigned actor)
{
    program_run(&act[actor]);
}

static bool in_list(const char *list, const char *one)
{
    size_t n = strlen(one);
    for (const char *at = list; (at = strstr(at, one)) != NULL; at += n)
        if ((at == list || at[-1] == ' ') && (at[n] == ' ' || at[n] == '\0'))
            return true;
    return false;
}

static void note_outcome(void)
{
    unsigned n = 0;
    int len = snprintf(outcome, sizeof outcome, "%s/%s", world.said[A], world.said[B]);
    for (unsigned key = 0, any = 0; key < KEYS; key++)
        if ((keys >> key & 1) != 0 && monitor_held(key))
            len += snprintf(outcome + len, sizeof outcome - (size_t)len, "%s%c",
                            any++ == 0 ? "=" : "", 'a' + (int)key);
    while (n < outcome_count && strcmp(outcomes[n], outcome) != 0)
        n++;
    if (n == outcome_count && outcome_count < OUTCOMES)
        memcpy(outcomes[outcome_count++], outcome, sizeof outcome);
    if (playing->outcomes != NULL && !in_list(playing->outcomes, outcome))
        wrong("the answers are %s, which no order of the calls gives", outcome);
}

static void end(void)
{
    note_outcome();
    monitor_census();
    program_audit(keys);
}

static const struct game game = {
    .begin = begin,
    .act = run_actor,
    .changed = monitor_changed,
    .end = end,
    .name = world_name,
};

const struct game *pair_begin(const struct pair *pair)
{
    struct program before;
    playing = pair;
    outcome_count = 0;
    world_open();
    world_begin(pair->locks != 0 ? pair->locks : 12, pair->threads);
    program_parse(pair->before, C, &before);
    program_parse(pair->a, A, &act[A]);
    program_parse(pair->b, B, &act[B]);
    keys = program_keys(&act[A]) | program_keys(&act[B]);
    program_run(&before);
    memset(world.said, 0, sizeof world.said);
    world_keep();
    return &game;
}

bool pair_outcomes(const struct pair *pair, bool complete, char *text, size_t room)
{
    size_t n = 0;
    text[0] = '\0';
    for (unsigned i = 0; i < outcome_count && n < room; i++)
        n += (size_t)snprintf(text + n, room - n, "%s%s", i == 0 ? "" : " ", outcomes[i]);
    if (pair->outcomes == NULL || !complete)
        return true;
    char list[1024], *rest = NULL;
    snprintf(list, sizeof list, "%s", pair->outcomes);
    for (char *one = strtok_r(list, " ", &rest); one != NULL; one = strtok_r(NULL, " ", &rest))
        if (!in_list(text, one)) {
            snprintf(text + n, room - n, "; never seen: %s", one);
            return false;
        }
    return true;
}

const char *pair_outcome(void)
{
    return outcome;
}
