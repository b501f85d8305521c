/* The reference, in Python: py-cachify itself, where python3 has it, and a script that does what
 * its clients do.  Each is a process of python_reference.py, which is told what to measure and
 * answers with the nanoseconds that took. */
#include "peers/loops.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct python {
    const char *client; /* the script's word for it */
    const char *missing;
    bool needs_redis;
    FILE *to, *from;
    char version[96];
};

static struct python py_memory = {.client = "py_cachify-memory",
                                  .missing =
                                      "py_cachify for python3 (not in Debian; PyPI: py-cachify)"};
static struct python py_redis = {
    .client = "py_cachify-redis",
    .missing = "py_cachify and redis for python3 (not in Debian, PyPI: py-cachify; "
               "Debian: python3-redis)",
    .needs_redis = true};
static struct python protocol_memory = {.client = "protocol-memory",
                                        .missing = "python3 (Debian: python3)"};
static struct python protocol_redis = {.client = "protocol-redis",
                                       .missing = "python3 with redis (Debian: python3-redis)",
                                       .needs_redis = true};

/* Reads "ready VERSION", which the script says when it has all that it needs. */
static bool started(struct python *p, const char *interpreter)
{
    char script[256], line[128] = "";
    const char *source = getenv("BENCH_SRCDIR");
    snprintf(script, sizeof script, "%s/peers/python_reference.py",
             source != NULL ? source : "bench");
    char *const command[] = {(char *)interpreter, script, (char *)p->client,
                             (char *)redis_server_socket(), NULL};
    if (!coprocess_start(command, &p->to, &p->from))
        return false;
    if (fgets(line, sizeof line, p->from) != NULL &&
        sscanf(line, "ready %95[^\n]", p->version) == 1)
        return true;
    coprocess_end(p->to, p->from);
    p->to = NULL;
    return false;
}

static const char *start(struct python *p)
{
    if (p->needs_redis) {
        const char *missing = redis_server_start();
        if (missing != NULL)
            return missing;
    }
    return started(p, "python3") || started(p, "/usr/bin/python3") ? NULL : p->missing;
}

static double measure(struct python *p, const char *what, long n)
{
    char line[64];
    fprintf(p->to, "%s %ld\n", what, n);
    if (fflush(p->to) != 0 || fgets(line, sizeof line, p->from) == NULL)
        fail("%s: no answer", p->client);
    return strtod(line, NULL) / (double)n;
}

static void copy_version(const struct python *p, char *text, size_t room)
{
    snprintf(text, room, "%s", p->version);
}

/* An entry of the table for each: the same functions, with another process. */
#define PYTHON_PEER(who, called)                                                                   \
    static const char *who##_open(void)                                                            \
    {                                                                                              \
        return start(&(who));                                                                      \
    }                                                                                              \
    static void who##_version(char *text, size_t room)                                             \
    {                                                                                              \
        copy_version(&(who), text, room);                                                          \
    }                                                                                              \
    static double who##_pair(long n)                                                               \
    {                                                                                              \
        return measure(&(who), "pair", n);                                                         \
    }                                                                                              \
    static double who##_keys(long n)                                                               \
    {                                                                                              \
        return measure(&(who), "keys", n);                                                         \
    }                                                                                              \
    static double who##_busy(long n)                                                               \
    {                                                                                              \
        return measure(&(who), "busy", n);                                                         \
    }                                                                                              \
    static double who##_is_locked(long n)                                                          \
    {                                                                                              \
        return measure(&(who), "is_locked", n);                                                    \
    }                                                                                              \
    static double who##_fresh(long n)                                                              \
    {                                                                                              \
        return measure(&(who), "fresh", n);                                                        \
    }                                                                                              \
    const struct peer who##_peer = {.name = (called),                                              \
                                    .open = who##_open,                                            \
                                    .version = who##_version,                                      \
                                    .loop = {[PAIR] = who##_pair,                                  \
                                             [RANDOM_KEYS] = who##_keys,                           \
                                             [BUSY] = who##_busy,                                  \
                                             [IS_LOCKED] = who##_is_locked,                        \
                                             [FRESH_KEYS] = who##_fresh}}

PYTHON_PEER(py_memory, "py_cachify_memory");
PYTHON_PEER(py_redis, "py_cachify_redis");
PYTHON_PEER(protocol_memory, "python_reference_protocol");
PYTHON_PEER(protocol_redis, "python_reference_protocol_redis");
