/* The ledger: a file that is only appended to, with one line for each hold of a lock.
 *
 *   file token start end until pid how previous_pid previous_token told result checksum path
 *
 * `file` counts from 0 in the sorted list of files.  Times are nanoseconds of CLOCK_MONOTONIC:
 * start was read after the lock was got and end before it was given back, so between them it
 * was held; until is how long the holder could believe in its lease.  Blanks and control
 * characters of a path are written as %NN. */
#ifndef CACHIFY_DEMO_LEDGER_H
#define CACHIFY_DEMO_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "tree.h"

enum result {
    HASHED, /* did the work */
    SEEN,   /* found it done */
    LOST,   /* was told that the lease had gone to another, and left the work alone */
    KILLED, /* written by the foreman, for who was killed while holding */
};

struct hold {
    uint32_t file;
    uint64_t token;
    int64_t start;
    int64_t end;
    int64_t until;
    int64_t pid;
    uint32_t how; /* cachify_how_t */
    int64_t previous_pid;
    uint64_t previous_token;
    uint32_t told; /* cachify_status_t of the release */
    enum result result;
    uint64_t checksum;
};

static inline int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Blanks and control characters as %NN, NUL-terminated; the length. */
#define SHOWN_ROOM (3 * TREE_PATH_MAX + 1)
size_t show_path(char shown[SHOWN_ROOM], const char *path);

/* One write of one line.  False: errno says why. */
bool ledger_append(int fd, const struct hold *hold, const char *path);

struct ledger {
    struct hold *hold; /* in the order of the lines */
    size_t count;
};

/* False, with a message, if it cannot be read or a line is not as above. */
bool ledger_read(const char *path, struct ledger *ledger);
void ledger_free(struct ledger *ledger);

#endif
