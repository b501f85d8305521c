/* What the program is asked to do. */
#ifndef CACHIFY_TOOLS_OPTIONS_H
#define CACHIFY_TOOLS_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "filter.h"

enum view_of {
    VIEW_LOCKS,
    VIEW_TREE, /* who waits, behind whom */
    VIEW_WAITERS,
    VIEW_PROCESSES,
    VIEW_STATS,
    VIEW_HEADER,
    VIEW_CHECK,
};

enum act { ACT_NONE, ACT_RELEASE, ACT_SWEEP, ACT_UNLINK };

struct options {
    const char *name;
    const char *path;
    bool all;
    enum view_of view;
    const char *output; /* columns, or NULL */
    bool output_all;
    bool list_columns;
    const char *sort;
    bool noheadings;
    bool raw;
    bool json;
    bool prometheus;
    bool per_key;
    int64_t watch_ms; /* 0: once */
    struct filter filter;
    bool filtered;
    enum act act;
    const char *release; /* the key */
    bool dry_run;
    bool force;
    bool help;
};

/* Ends the program on what cannot be done. */
struct options options_parse(int argc, char **argv);

void options_help(void);

#endif
