/* cachify-shm-inspect, run as a process, and what it said. */
#ifndef CF_TESTS_TOOL_H
#define CF_TESTS_TOOL_H

#include "support.h"

#define TOOL_ROOM (1 << 20)
#define TOOL_LINES 4000

/* Of the last run. */
extern struct ran {
    int status; /* of its exit */
    char out[TOOL_ROOM];
    char error[4096];
    char *line[TOOL_LINES]; /* of out, without their ends */
    unsigned lines;
} ran;

/* Its output to a file, or NULL to read it. */
void run_to(const char *to, char **arguments);

#define RUN(...) run_to(NULL, (char *[]){"cachify-shm-inspect", __VA_ARGS__, NULL})

/* On this test's segment, and it has to succeed without a word of complaint. */
#define RUN_HERE(...)                                                                              \
    do {                                                                                           \
        RUN("--path", here.path, __VA_ARGS__);                                                     \
        ck_assert_msg(ran.status == 0, "exit status %d: %s", ran.status, ran.error);               \
        ck_assert_str_eq(ran.error, "");                                                           \
    } while (0)

/* With this exit status, this in its message, and nothing else said. */
void assert_fails(int status, const char *says);

/* Reads to the end, NUL-terminates and closes. */
void tool_read(int fd, char *to, size_t room);

/* A file of the source tree. */
void tool_read_source(const char *name, char *to, size_t room);

/* ---- Its JSON ---- */

void assert_json(void);

/* The object of a row in its line. */
const char *object_in(unsigned line);

void assert_member(const char *object, const char *name, const char *expected);

/* What the field and its _hex say is these bytes. */
void assert_bytes(const char *object, const char *field, const char *bytes, size_t len);

#endif
