#include "scheduler.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "ground/atomics.h"
#include "memory.h"
#include "stepped.h"

#define STACK ((size_t)256 * 1024)
#define MANY_POINTS 50000u /* of a run that makes no progress */
#define EVERYWHERE UINT32_MAX

/* What was seen of a word in any run: who reads it and who writes it, two bits an actor. */
#define READS 1u
#define WRITES 2u

bool explore_everywhere;

static struct {
    const struct game *game;
    const struct schedule *schedule;
    ucontext_t outside, actor[ACTORS];
    void *stack[ACTORS];
    unsigned current;
    bool running, finished[ACTORS], moved[ACTORS];
    uint32_t points;
    unsigned departed; /* departures made */
    uint32_t *candidates, candidate_count;
    uint8_t *seen;
    bool learnt;
    bool pending; /* an access was made that may have changed a word */
    unsigned pending_actor;
    uint32_t pending_word;
    uint64_t pending_old;
    FILE *trace;
    struct tally *tally;
} s;

/* ---- Failing ---- */

void wrong(const char *format, ...)
{
    if (s.tally->failure[0] == '\0') {
        va_list args;
        va_start(args, format);
        vsnprintf(s.tally->failure, sizeof s.tally->failure, format, args);
        va_end(args);
        s.tally->failing = *s.schedule;
    }
    if (s.running) {
        s.running = false;
        setcontext(&s.outside);
    }
}

/* ---- Points ---- */

void scheduler_settle(void)
{
    if (!s.pending)
        return;
    s.pending = false;
    s.game->changed(s.pending_actor, s.pending_word, s.pending_old);
}

static void hand_over(void)
{
    unsigned from = s.current;
    s.current = 1 - from;
    swapcontext(&s.actor[from], &s.actor[s.current]);
}

/* Counts a point; whether the schedule departs here. */
static bool departs(uint32_t word)
{
    if (++s.points > MANY_POINTS)
        wrong("no end after %u points", s.points);
    if (s.finished[1 - s.current])
        return false;
    if (s.departed < s.schedule->count) {
        if (s.schedule->at[s.departed] != s.points)
            return false;
        s.departed++;
        return true;
    }
    unsigned seen = word == EVERYWHERE ? 0 : s.seen[word];
    bool shared = (seen & 3) != 0 && seen >> 2 != 0 && (seen & (WRITES | WRITES << 2)) != 0;
    if (word == EVERYWHERE || shared || explore_everywhere)
        s.candidates[s.candidate_count++] = s.points;
    return false;
}

static void learn(uint32_t word, bool writes)
{
    unsigned before = s.seen[word];
    unsigned after = before | (writes ? WRITES : READS) << 2 * s.current;
    if (after == before)
        return;
    s.seen[word] = (uint8_t)after;
    /* New, and of consequence: shared now, and written. */
    if ((after & 3) != 0 && after >> 2 != 0 && (after & (WRITES | WRITES << 2)) != 0 &&
        !((before & 3) != 0 && before >> 2 != 0 && (before & (WRITES | WRITES << 2)) != 0))
        s.learnt = true;
}

static void tell(uint32_t point, const char *what, uint32_t word, uint64_t value, bool writes,
                 const char *where)
{
    char name[200], text[200];
    const char *file = strrchr(where, '/');
    s.game->name(word, memory_value(word), name, sizeof name);
    text[0] = '\0';
    if (writes)
        snprintf(text, sizeof text, " <- %llx", (unsigned long long)value);
    fprintf(s.trace, "%6u %*s%c %-5s %s%s   [%s]\n", point, (int)(s.current * 2), "",
            "AB"[s.current], what, name, text, file != NULL ? file + 1 : where);
}

void cf_step(const volatile void *p, enum step_kind kind, unsigned size, uint64_t value,
             const char *where)
{
    static const char *const names[] = {"load", "store", "add", "cas"};
    uint32_t word;
    (void)size;
    if (!memory_find(p, &word))
        return;
    if (kind != STEP_LOAD)
        memory_dirty(word);
    if (!s.running)
        return;
    scheduler_settle();
    bool leaves = departs(word);
    uint32_t point = s.points;
    if (leaves)
        hand_over();
    learn(word, kind != STEP_LOAD);
    s.moved[s.current] = true;
    if (s.trace != NULL)
        tell(point, names[kind], word, value, kind != STEP_LOAD, where);
    if (kind != STEP_LOAD) {
        s.pending = true;
        s.pending_actor = s.current;
        s.pending_word = word;
        s.pending_old = memory_value(word);
    }
}

/* Who pauses again without having looked at anything since waits no longer for that. */
void cf_step_pause(const char *where)
{
    if (!s.running)
        return;
    scheduler_settle();
    if (!s.moved[s.current] || s.finished[1 - s.current])
        return;
    s.moved[s.current] = false;
    bool goes_on = departs(EVERYWHERE);
    if (s.trace != NULL)
        fprintf(s.trace, "%6u %*s%c pause%s   [%s]\n", s.points, (int)(s.current * 2), "",
                "AB"[s.current], goes_on ? ", going on" : "", where);
    if (!goes_on)
        hand_over();
}

void scheduler_point(const char *what)
{
    if (!s.running)
        return;
    scheduler_settle();
    if (departs(EVERYWHERE))
        hand_over();
    s.moved[s.current] = true;
    if (s.trace != NULL)
        fprintf(s.trace, "%6u %*s%c %s\n", s.points, (int)(s.current * 2), "", "AB"[s.current],
                what);
}

bool scheduler_block(void)
{
    scheduler_settle();
    if (s.finished[1 - s.current])
        return false;
    hand_over();
    return true;
}

int scheduler_actor(void)
{
    return s.running ? (int)s.current : -1;
}

/* ---- A run ---- */

static void enter(void)
{
    s.game->act(s.current);
    scheduler_settle();
    s.finished[s.current] = true;
    if (s.trace != NULL)
        fprintf(s.trace, "       %*s%c ends\n", (int)(s.current * 2), "", "AB"[s.current]);
    if (s.finished[1 - s.current]) {
        s.running = false;
        setcontext(&s.outside);
    }
    s.current = 1 - s.current;
    setcontext(&s.actor[s.current]);
}

static bool run(const struct schedule *schedule)
{
    s.game->begin();
    s.schedule = schedule;
    s.points = 0;
    s.departed = 0;
    s.candidate_count = 0;
    s.pending = false;
    for (unsigned i = 0; i < ACTORS; i++) {
        s.finished[i] = s.moved[i] = false;
        getcontext(&s.actor[i]);
        s.actor[i].uc_stack.ss_sp = s.stack[i];
        s.actor[i].uc_stack.ss_size = STACK;
        s.actor[i].uc_link = NULL;
        makecontext(&s.actor[i], enter, 0);
    }
    s.current = schedule->first;
    s.running = true;
    swapcontext(&s.outside, &s.actor[s.current]);
    s.running = false;
    if (s.tally->failure[0] == '\0')
        s.game->end();
    s.tally->schedules++;
    if (s.points > s.tally->longest)
        s.tally->longest = s.points;
    if (s.tally->failure[0] == '\0' && s.departed < schedule->count)
        wrong("the schedule has departures after the end of the run");
    return s.tally->failure[0] == '\0';
}

static void prepare(const struct game *game, struct tally *tally)
{
    s.game = game;
    s.tally = tally;
    s.trace = NULL;
    *tally = (struct tally){0};
    free(s.seen);
    s.seen = calloc(memory_words() + 1, 1);
    if (s.candidates == NULL)
        s.candidates = calloc(MANY_POINTS + 2, sizeof *s.candidates);
    for (unsigned i = 0; i < ACTORS; i++)
        if (s.stack[i] == NULL)
            s.stack[i] = malloc(STACK);
    if (s.seen == NULL || s.candidates == NULL || s.stack[0] == NULL || s.stack[1] == NULL)
        abort();
}

/* The schedule, and every one that goes on from it with departures further on. */
static bool explore_from(struct schedule *schedule, unsigned bound)
{
    if (!run(schedule))
        return false;
    if (s.learnt || schedule->count == bound)
        return true;
    uint32_t count = s.candidate_count;
    uint32_t *at = malloc((count + 1) * sizeof *at);
    if (at == NULL)
        abort();
    memcpy(at, s.candidates, count * sizeof *at);
    bool good = true;
    for (uint32_t i = 0; i < count && good && !s.learnt; i++) {
        schedule->at[schedule->count++] = at[i];
        good = explore_from(schedule, bound);
        schedule->count--;
    }
    free(at);
    return good;
}

static bool explore_all(unsigned bound)
{
    bool good = true;
    do {
        s.learnt = false;
        s.tally->schedules = 0;
        s.tally->longest = 0;
        for (unsigned first = 0; first < ACTORS && good; first++) {
            struct schedule schedule = {.first = first};
            good = explore_from(&schedule, bound);
        }
    } while (good && s.learnt);
    return good;
}

/* A smaller bound first: most is learnt there, and a failure found there is the shorter one. */
bool explore(const struct game *game, unsigned bound, struct tally *tally)
{
    prepare(game, tally);
    bool good = true;
    for (unsigned b = 0; b <= bound && good; b++)
        good = explore_all(b);
    return good;
}

bool replay(const struct game *game, const struct schedule *schedule, FILE *trace,
            struct tally *tally)
{
    prepare(game, tally);
    s.trace = trace;
    bool good = run(schedule);
    s.trace = NULL;
    return good;
}

/* ---- Schedules as text ---- */

void schedule_print(const struct schedule *schedule, char *text, size_t room)
{
    int n = snprintf(text, room, "%c", "AB"[schedule->first]);
    for (unsigned i = 0; i < schedule->count; i++)
        n += snprintf(text + n, room - (size_t)n, "%c%u", i == 0 ? ':' : ',', schedule->at[i]);
}

bool schedule_parse(const char *text, struct schedule *schedule)
{
    *schedule = (struct schedule){.first = text[0] == 'B'};
    if (text[0] != 'A' && text[0] != 'B')
        return false;
    for (text++; *text != '\0' && schedule->count < DEEPEST;) {
        char *end;
        if (*text != ':' && *text != ',')
            return false;
        schedule->at[schedule->count++] = (uint32_t)strtoul(text + 1, &end, 10);
        if (end == text + 1)
            return false;
        text = end;
    }
    return *text == '\0';
}
