/* What cachify-lock is asked to do. */
#ifndef CACHIFY_TOOLS_LOCK_OPTIONS_H
#define CACHIFY_TOOLS_LOCK_OPTIONS_H

#include <cachify/cachify.h>

#define NOTE_BYTES 64 /* of a command line, when there is no --note */

enum act { ACT_RUN, ACT_IS_LOCKED, ACT_WHO, ACT_RELEASE, ACT_AWAIT };

struct options {
    enum act act;
    const char *key;
    char **command; /* NULL-terminated */
    char *shell[4]; /* what command is with -c */
    const char *name;
    const char *path;
    const char *client; /* the URL of a server, instead of a segment; NULL */
    const char *prefix; /* NULL: the library's */
    const char *note;   /* NULL: the command line */
    int64_t wait_ms;    /* 0: do not wait; CACHIFY_NEVER: without limit */
    int64_t exp_ms;     /* CACHIFY_NEVER */
    int64_t max_hold_ms;
    int64_t grace_ms;
    int conflict; /* exit status */
    bool verbose;
};

/* Ends the program where there is nothing more to do: help, version, mistakes. */
void options_parse(int argc, char **argv, struct options *options);

/* An instance of the segment that they name, or the server; fails if it cannot be. */
cachify_t *options_open(const struct options *options);

/* The file of the segment, in a buffer of its own. */
const char *options_segment(const struct options *options);

/* The prefix as it will be. */
const char *options_prefix(const struct options *options);

#endif
