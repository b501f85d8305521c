/* The terminal, while a program redraws it in place: the alternate screen, keys as they are
 * pressed, its size, and a frame in one write. */
#ifndef CACHIFY_TOOLS_SCREEN_H
#define CACHIFY_TOOLS_SCREEN_H

#include <stdbool.h>
#include <stdint.h>

#include "text.h"

struct size {
    unsigned lines;
    unsigned columns;
};

/* Standard output is a terminal that can do this. */
bool screen_possible(void);

/* Colours are wanted: NO_COLOR is not set. */
bool screen_colours(void);

void screen_enter(void);
void screen_leave(void); /* may be called at any time, by signal handlers too */

struct size screen_size(void);

/* Begin a frame; put a line as far as the screen is wide, style being what is put before it
 * ("" or an escape sequence); write it, at once.  False: the terminal is gone. */
void screen_begin(struct text *frame);
void screen_line(struct text *frame, const char *style, const char *bytes, size_t len,
                 struct size size, bool last);
bool screen_show(struct text *frame);

/* What happened first, within ms: a key; or one of these. */
enum { EVENT_NONE = 0, EVENT_QUIT = -1, EVENT_RESIZE = -2 };
int screen_wait(int64_t ms);

#endif
