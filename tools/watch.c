#include "watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "columns.h"
#include "hot.h"
#include "say.h"
#include "screen.h"
#include "sources.h"
#include "views.h"

/* By what the locks are sorted at the press of a letter, the largest first or the smallest. */
static const struct {
    char letter;
    bool descending;
    const char *field;
    const char *name;
} orders[] = {
    {'w', true, "waited_ms", "waited"}, {'n', true, "waiters", "number waiting"},
    {'t', true, "taken", "taken"},      {'h', true, "held_ms", "held"},
    {'l', false, "left_ms", "left"},    {'p', false, "pid", "pid"},
    {'s', false, "state", "state"},     {'k', false, "key", "key"},
};

#define ORDERS (sizeof orders / sizeof orders[0])

struct watch {
    struct options *options;
    struct choice choice;
    const char *order; /* its name */
    struct memory memory;
    struct totals totals;
    bool screen; /* else plain lines */
    bool colours;
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- What a frame says ---- */

static void put_title(const struct watch *w, const struct sources *sources, struct text *t)
{
    char clock[16] = "";
    time_t now = time(NULL);
    struct tm tm;
    if (localtime_r(&now, &tm) != NULL)
        strftime(clock, sizeof clock, "%H:%M:%S", &tm);
    text_string(t, clock);
    text_string(t, "  ");
    if (sources->all) {
        text_unsigned(t, sources->count);
        text_string(t, " segments");
    } else {
        text_escaped(t, sources->path[0], strlen(sources->path[0]));
    }
    text_string(t, ", every ");
    text_duration(t, w->options->watch_ms);
    if (w->options->view != VIEW_LOCKS)
        return;
    text_string(t, ", by ");
    text_string(t, w->order);
    text_string(t, w->choice.sort != NULL && w->choice.descending ? ", falling" : "");
}

static void put_totals(const struct totals *n, struct text *t)
{
    char line[256];
    snprintf(line, sizeof line,
             "locks %llu held, %llu expired, %llu owner-dead, of %llu; %llu waiting; %llu "
             "processes; %.1f taken/s",
             (unsigned long long)n->held, (unsigned long long)n->expired,
             (unsigned long long)n->owner_dead, (unsigned long long)n->max_locks,
             (unsigned long long)n->waiters, (unsigned long long)n->processes, n->taken);
    text_string(t, line);
}

static void put_keys(const struct watch *w, struct text *t)
{
    text_string(t, "q quit");
    if (w->options->view != VIEW_LOCKS)
        return;
    text_string(t, "  r reverse  sort:");
    for (size_t i = 0; i < ORDERS; i++) {
        char entry[32];
        snprintf(entry, sizeof entry, " %c %s", orders[i].letter, orders[i].name);
        text_string(t, entry);
    }
}

/* ---- Drawing ---- */

static const char *style_of(const struct watch *w, const void *row)
{
    const struct column *state = column_of_field(w->choice.kind, "state");
    if (!w->colours || state == NULL)
        return "";
    struct value v = state->of(row);
    if (v.len == strlen("expired") && memcmp(v.bytes, "expired", v.len) == 0)
        return "\033[33m";
    bool dead = (v.len == strlen("owner-dead") && memcmp(v.bytes, "owner-dead", v.len) == 0) ||
                (v.len == strlen("dead") && memcmp(v.bytes, "dead", v.len) == 0);
    return dead ? "\033[31m" : "";
}

/* A frame under way. */
struct drawing {
    struct text *frame;
    struct text line;
    struct size size;
    unsigned drawn; /* lines */
};

static void end_line(struct drawing *d, const char *style)
{
    d->drawn++;
    screen_line(d->frame, style, d->line.bytes, d->line.len, d->size, d->drawn == d->size.lines);
    d->line.len = 0;
}

/* As many lines as there is room for, and the keys in the last one. */
static bool draw(const struct watch *w, const struct sources *sources, const struct listing *l,
                 struct text *frame)
{
    struct drawing d = {.frame = frame, .size = screen_size()};
    screen_begin(frame);
    put_title(w, sources, &d.line);
    end_line(&d, "");
    if (w->options->view == VIEW_LOCKS && d.drawn + 1 < d.size.lines) {
        put_totals(&w->totals, &d.line);
        end_line(&d, "");
    }
    if (w->choice.headings && d.drawn + 1 < d.size.lines) {
        listing_line(l, NULL, &d.line);
        end_line(&d, "\033[7m");
    }
    for (size_t r = 0; r < l->count && d.drawn + 1 < d.size.lines; r++) {
        listing_line(l, listing_row(l, r), &d.line);
        end_line(&d, style_of(w, listing_row(l, r)));
    }
    while (d.drawn + 1 < d.size.lines)
        end_line(&d, "");
    if (d.drawn < d.size.lines) {
        put_keys(w, &d.line);
        end_line(&d, "");
    }
    frame->failed = frame->failed || d.line.failed;
    text_free(&d.line);
    return screen_show(frame);
}

static bool print_plain(const struct watch *w, const struct sources *sources,
                        const struct listing *l)
{
    struct text t = {0};
    put_title(w, sources, &t);
    text_string(&t, "\n");
    if (w->options->view == VIEW_LOCKS) {
        put_totals(&w->totals, &t);
        text_string(&t, "\n");
    }
    fwrite(t.bytes, 1, t.failed ? 0 : t.len, stdout);
    bool done = listing_table(l, stdout) && !t.failed;
    text_free(&t);
    fputs("\n", stdout);
    print_out();
    return done;
}

/* ---- Frame by frame ---- */

/* The segments are opened anew each time: they may be replaced, and more may come. */
static bool frame(struct watch *w, struct text *text)
{
    struct sources sources;
    struct listing l = {.choice = &w->choice};
    sources_open(&sources, w->options->name, w->options->path, w->options->all);
    if (w->options->view != VIEW_LOCKS)
        view_list(w->options, &sources, &l);
    else if (!hot_list(&l, &sources, &w->memory, now_ms(), &w->totals))
        fail(EXIT_FAILURE, "not enough memory for the list");
    bool done = w->screen ? draw(w, &sources, &l, text) : print_plain(w, &sources, &l);
    listing_free(&l);
    sources_close(&sources);
    return done;
}

static void set_order(struct watch *w, int key)
{
    for (size_t i = 0; i < ORDERS; i++)
        if (orders[i].letter == key) {
            w->choice.sort = column_of_field(w->choice.kind, orders[i].field);
            w->choice.descending = orders[i].descending;
            w->order = orders[i].name;
        }
    if (key == 'r' && w->choice.sort == NULL)
        set_order(w, 'w');
    if (key == 'r')
        w->choice.descending = !w->choice.descending;
}

/* False once it is to end. */
static bool wait_for_next(struct watch *w)
{
    int event = screen_wait(w->options->watch_ms);
    if (event == EVENT_QUIT || event == 'q' || event == 'Q')
        return false;
    if (event > 0 && w->options->view == VIEW_LOCKS)
        set_order(w, event);
    return true;
}

static bool wait_without_keys(int64_t ms)
{
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&time, NULL);
    return true;
}

int watch(struct options *o)
{
    struct watch w = {.options = o, .order = "waited", .screen = screen_possible()};
    struct text text = {0};
    view_choose(&w.choice, o, o->view == VIEW_LOCKS ? &hot : view_kind(o->view));
    if (w.choice.sort != NULL)
        w.order = w.choice.sort->field;
    w.colours = w.screen && screen_colours();
    struct sources sources; /* what cannot be opened is said before the screen is taken */
    sources_open(&sources, o->name, o->path, o->all);
    sources_warn(&sources);
    sources_close(&sources);
    if (w.screen) {
        say_first = screen_leave;
        screen_enter();
    }
    bool done;
    do
        done = frame(&w, &text);
    while (done && (w.screen ? wait_for_next(&w) : wait_without_keys(o->watch_ms)));
    screen_leave();
    hot_forget(&w.memory);
    text_free(&text);
    return done ? EXIT_SUCCESS : EXIT_FAILURE;
}
