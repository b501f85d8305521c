/* A pair as a game for the scheduler, and the answers that its runs gave. */
#include <stdio.h>
#include <string.h>

#include "monitor.h"
#include "pairs.h"
#include "program.h"
#include "world.h"

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
    world.passes = program_passes(&act[A]) || program_passes(&act[B]);
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
