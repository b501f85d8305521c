/* The segments that are looked at: the user's own, a named one, or all there are. */
#ifndef CACHIFY_TOOLS_SOURCES_H
#define CACHIFY_TOOLS_SOURCES_H

#include <stdbool.h>
#include <stddef.h>

#include <cachify/shm.h>

struct sources {
    cachify_shm_view_t **view;
    const char **path;
    size_t count;
    bool all; /* found, not named */
};

/* Ends the program if the one that is asked for cannot be opened.  Of all, those that cannot be
 * are passed over. */
void sources_open(struct sources *sources, const char *name, const char *path, bool all);

/* Says which ones are of another boot. */
void sources_warn(const struct sources *sources);

void sources_close(struct sources *sources);

#endif
