#include "pairs.h"

#include <stdio.h>
#include <string.h>

#include "monitor.h"
#include "program.h"
#include "world.h"

/* Group 0 but for one slot; all of it. */
#define FOUR "C take d, C take g, C take j, C take m"
#define FIVE FOUR ", C take p"
/* B has a spare, so that what it releases leaves its slot empty (T8). */
#define SPARE_OF_B "B take b, B release b"
/* Group 0 is full, one of it B's, and has an overflow bit that nobody needs any more: s was
 * beyond it, and C, having a spare, removed it. */
#define BIT_LEFT                                                                                   \
    "C take b, " FOUR ", C take s, B take e, B take p, B release e, C release b, C release s"
/* Groups 0 and 1 are full, one slot of each B's, and have such bits. */
#define BITS_LEFT                                                                                  \
    "C take c, " FOUR ", C take e, C take h, C take k, C take n, B take f, B take p, B take q, "   \
    "C take s, B release f, C release c, C release s"

const struct pair pairs[] = {
    /* New keys. */
    {.name = "insert-insert",
     .before = "",
     .a = "take a, release a",
     .b = "take a, release a",
     .outcomes = "oo/oo oo/l- l-/oo",
     .bound = 4},
    {.name = "insert-insert-full",
     .before = FIVE,
     .a = "take a, release a",
     .b = "take a, release a",
     .outcomes = "oo/oo oo/l- l-/oo",
     .bound = 4},
    {.name = "insert-insert-room",
     .before = SPARE_OF_B ", B take d, C take g, C take j, C take m, C take p",
     .a = "take a, release a",
     .b = "release d, take a, release a",
     .outcomes = "oo/ooo oo/ol- l-/ooo",
     .bound = 4},
    {.name = "insert-two-overflow",
     .before = FOUR,
     .a = "take a, release a",
     .b = "take v, release v",
     .outcomes = "oo/oo",
     .bound = 4},
    {.name = "insert-two-full",
     .before = FIVE,
     .a = "take a, release a",
     .b = "take v, release v",
     .outcomes = "oo/oo",
     .bound = 4},
    {.name = "insert-gone",
     .before = "",
     .a = "take a, release a, take a, release a, take d",
     .b = "take a, release a",
     .outcomes = "ooooo/oo=d ooooo/l-=d l-l-o/oo=d oolxo/oo=d l-ooo/oo=d",
     .bound = 3},
    {.name = "insert-insert-few",
     .before = "",
     .a = "take a, release a",
     .b = "take a, take d",
     .outcomes = "oo/oo=ad l-/oo=ad f-/oo=ad oo/lo=d",
     .bound = 3,
     .locks = 2},
    {.name = "insert-dead-insert",
     .before = "C half a, C die",
     .a = "take a, release a",
     .b = "take a, release a",
     .outcomes = "oo/oo oo/l- l-/oo",
     .bound = 3},
    {.name = "insert-clear",
     .before = BIT_LEFT,
     .a = "take a, release a",
     .b = "release p, take v, release v",
     .outcomes = "oo/ooo",
     .bound = 4},
    {.name = "insert-clear-same",
     .before = BIT_LEFT,
     .a = "take a, release a",
     .b = "release p, take v, release v, take a",
     .outcomes = "oo/oooo=a l-/oooo=a oo/oool",
     .bound = 3},
    {.name = "insert-clear-two",
     .before = BITS_LEFT,
     .a = "take a",
     .b = "release p, release q, take v",
     .outcomes = "o/ooo=av",
     .bound = 3,
     .locks = 24},
    {.name = "insert-clear-far",
     .before = BITS_LEFT,
     .a = "take a, release a",
     .b = "release p, release q, take v, take a",
     .outcomes = "oo/oooo=av l-/oooo=av oo/oool=v",
     .bound = 3,
     .locks = 24},
    {.name = "held-clear",
     .before = FIVE ", C take s, C take b, B take e, B take v, B release e",
     .a = "held s, held s",
     .b = "release v, take a, release a",
     .outcomes = "yy/ooo=s",
     .bound = 3,
     .locks = 24},
    {.name = "held-moves",
     .before = FIVE ", C release d",
     .a = "held d, take a",
     .b = "take d, release d, take v, take d",
     .outcomes = "no/oooo=adv yo/oooo=adv",
     .bound = 3,
     .locks = 24},
    {.name = "insert-full-table",
     .before = "C take c",
     .a = "take a, release a",
     .b = "take b, release b",
     .outcomes = "oo/oo oo/f- f-/oo",
     .bound = 4,
     .locks = 2},
    /* Idle locks. */
    {.name = "release-idle",
     .before = "A take a",
     .a = "release a, take a, release a",
     .b = "take a, release a",
     .outcomes = "ooo/oo ooo/l- olx/oo",
     .bound = 4},
    {.name = "idle-idle",
     .before = "A take a, A release a",
     .a = "take a, release a",
     .b = "take a, release a",
     .outcomes = "oo/oo oo/l- lx/oo",
     .bound = 4},
    {.name = "idle-evict",
     .before = "A take a, A release a",
     .a = "take d, release d",
     .b = "take a, release a",
     .outcomes = "oo/oo",
     .bound = 4},
    {.name = "idle-room",
     .before = "A take a, A release a, " FOUR,
     .a = "take a, release a",
     .b = "take p, release p",
     .outcomes = "oo/oo",
     .bound = 4},
    {.name = "release-room",
     .before = "A take a, " FOUR,
     .a = "release a, take a, release a",
     .b = "take p, release p",
     .outcomes = "ooo/oo",
     .bound = 4},
    /* Leases that ended. */
    {.name = "release-expired",
     .before = "A brief a, pass",
     .a = "release a",
     .b = "take a, release a",
     .outcomes = "o/oo x/eo",
     .bound = 7},
    {.name = "remove-expired",
     .before = "A take d, A brief a, A release d, pass",
     .a = "release a, take a",
     .b = "take a, release a",
     .outcomes = "oo/l-=a xo/eo=a oo/oo=a xl/eo ol/oo",
     .bound = 4},
    {.name = "expired-expired",
     .before = "C brief a, pass",
     .a = "take a, release a",
     .b = "take a, release a",
     .outcomes = "eo/oo oo/eo eo/l- l-/eo",
     .bound = 4},
    {.name = "dead-dead",
     .before = "C take a, C die",
     .a = "take a, release a",
     .b = "take a, release a",
     .outcomes = "do/oo oo/do do/l- l-/do",
     .bound = 4},
    {.name = "expired-full",
     .before = "C brief a, C take b, pass",
     .a = "take a, release a",
     .b = "take a, release a",
     .outcomes = "eo/oo oo/eo eo/l- l-/eo",
     .bound = 3,
     .locks = 2},
    /* By force. */
    {.name = "release-force",
     .before = "A take a",
     .a = "release a, take a",
     .b = "force a",
     .outcomes = "oo/o xo/o=a oo/o=a",
     .bound = 5},
    {.name = "take-force",
     .before = "",
     .a = "take a, release a",
     .b = "force a, take a, release a",
     .outcomes = "oo/ooo ox/ooo l-/ooo oo/ol-",
     .bound = 4},
    {.name = "force-force",
     .before = "C take a",
     .a = "force a, take a, release a",
     .b = "force a",
     .outcomes = "ooo/o oox/o",
     .bound = 4},
    {.name = "expired-force",
     .before = "C brief a, pass",
     .a = "take a, release a",
     .b = "force a",
     .outcomes = "eo/o oo/o ex/o",
     .bound = 4},
    /* Extends. */
    {.name = "extend-expired",
     .before = "A brief a, pass",
     .a = "extend a, release a",
     .b = "take a, release a",
     .outcomes = "oo/oo xx/eo oo/l-",
     .bound = 4},
    {.name = "extend-force",
     .before = "A take a",
     .a = "extend a, release a",
     .b = "force a",
     .outcomes = "oo/o xx/o ox/o",
     .bound = 4},
    {.name = "extend-held",
     .before = "A take a",
     .a = "extend a, extend a",
     .b = "held a, take a",
     .outcomes = "oo/yl=a",
     .bound = 3},
    {.name = "extend-full",
     .before = "A brief a, C take b, pass",
     .a = "extend a, release a",
     .b = "take a, release a",
     .outcomes = "oo/oo xx/eo oo/l-",
     .bound = 3,
     .locks = 2},
    {.name = "extend-held-full",
     .before = "A take a",
     .a = "extend a",
     .b = "held a, take a",
     .outcomes = "o/yl=a",
     .bound = 3,
     .locks = 1},
    {.name = "extend-force-full",
     .before = "A take a",
     .a = "extend a, release a",
     .b = "force a, take b",
     .outcomes = "oo/oo=b xx/oo=b ox/oo=b",
     .bound = 3,
     .locks = 1},
    {.name = "extend-pressure",
     .before = "A brief a, pass",
     .a = "extend a, release a",
     .b = "take b, release b",
     .outcomes = "oo/oo xx/oo oo/f-",
     .bound = 3,
     .locks = 1},
    /* Threads of one process. */
    {.name = "extend-release",
     .before = "A take a",
     .a = "extend a",
     .b = "release a",
     .outcomes = "o/o x/o",
     .bound = 7,
     .threads = true},
    {.name = "extend-extend",
     .before = "A take a",
     .a = "extend a, release a",
     .b = "extend a",
     .outcomes = "oo/x oo/o",
     .bound = 3,
     .threads = true},
    {.name = "extend-release-full",
     .before = "A take a",
     .a = "extend a",
     .b = "release a",
     .outcomes = "o/o x/o",
     .bound = 5,
     .locks = 1,
     .threads = true},
    {.name = "extend-extend-full",
     .before = "A take a",
     .a = "extend a",
     .b = "extend a",
     .outcomes = "o/o=a",
     .bound = 2,
     .locks = 1,
     .threads = true},
    {.name = "release-release",
     .before = "A take a",
     .a = "release a",
     .b = "release a",
     .outcomes = "o/x x/o",
     .bound = 8,
     .threads = true},
    /* Sweeps. */
    {.name = "sweep-sweep",
     .before = "C take a, C take b, C half e, C brief c, A brief d, pass, C die",
     .a = "sweep",
     .b = "sweep",
     .outcomes = "s/s",
     .bound = 3},
    {.name = "sweep-release",
     .before = "A brief a, pass",
     .a = "release a",
     .b = "sweep, take a, release a",
     .outcomes = "o/soo x/soo",
     .bound = 6},
    {.name = "sweep-extend",
     .before = "A brief a, pass",
     .a = "extend a, release a",
     .b = "sweep, take a",
     .outcomes = "oo/so=a xx/so=a oo/sl",
     .bound = 3},
    {.name = "sweep-expired",
     .before = "C brief a, pass",
     .a = "take a, release a",
     .b = "sweep, take a",
     .outcomes = "eo/so=a l-/so=a eo/sl oo/so=a oo/sl",
     .bound = 3},
    {.name = "sweep-dead",
     .before = "C take a, C die",
     .a = "take a, release a",
     .b = "sweep, take a",
     .outcomes = "do/so=a l-/so=a do/sl oo/so=a oo/sl",
     .bound = 3},
    {.name = "sweep-force",
     .before = "C brief a, pass",
     .a = "force a",
     .b = "sweep, take a",
     .outcomes = "o/so=a o/so",
     .bound = 4},
    {.name = "sweep-force-live",
     .before = "C take a",
     .a = "force a",
     .b = "sweep, take b, release b",
     .outcomes = "o/soo",
     .bound = 3},
    {.name = "sweep-insert",
     .before = "C half a, C die",
     .a = "take a, release a",
     .b = "sweep",
     .outcomes = "oo/s",
     .bound = 4},
    /* Waiters. */
    {.name = "wait-release",
     .before = "A take a",
     .a = "release a",
     .b = "wait a, take a, release a",
     .outcomes = "o/ooo",
     .bound = 7},
    {.name = "wait-force",
     .before = "C take a",
     .a = "force a",
     .b = "wait a, take a, release a",
     .outcomes = "o/ooo",
     .bound = 4},
    {.name = "wait-retake",
     .before = "A take a",
     .a = "release a, take a, release a",
     .b = "wait a, take a",
     .outcomes = "ooo/oo=a olx/oo=a ooo/ol",
     .bound = 4},
    /* Opening. */
    {.name = "create-create", .files = FILES_CREATE, .bound = 8},
    {.name = "create-create-named", .files = FILES_CREATE_NAMED, .bound = 7},
    {.name = "replace-replace", .files = FILES_REPLACE, .bound = 5},
    {.name = "replace-replace-named", .files = FILES_REPLACE_NAMED, .bound = 5},
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
    if (pair->files != FILES_NONE)
        return files_begin(pair->files);
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
