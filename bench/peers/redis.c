/* Redis on a Unix socket of its own: SET NX PX takes, a script that compares and deletes gives. */
#include "peers/loops.h"

#ifdef BENCH_HIREDIS

#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILL_AHEAD 1000
#define EXPIRE_BATCH 500
#define MEMORY_LOCKS 10000

#define GIVE_SCRIPT                                                                                \
    "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) "             \
    "else return 0 end"
#define EXTEND_SCRIPT                                                                              \
    "if redis.call('get', KEYS[1]) == ARGV[1] then "                                               \
    "return redis.call('pexpire', KEYS[1], ARGV[2]) else return 0 end"

static redisContext *connection;
static char give_sha[41], extend_sha[41];
static char token[48]; /* of the last acquisition */
static unsigned long tokens;

static redisReply *checked(redisReply *reply)
{
    if (reply == NULL || reply->type == REDIS_REPLY_ERROR)
        fail("redis: %s", reply != NULL ? reply->str : connection->errstr);
    return reply;
}

/* Sends a command; its answer as a number: an integer's value, 1 for OK and other texts, else 0. */
static long long ask_redis(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    redisReply *reply = checked(redisvCommand(connection, format, arguments));
    va_end(arguments);
    long long number = reply->type == REDIS_REPLY_INTEGER ? reply->integer
                       : reply->type == REDIS_REPLY_NIL   ? 0
                                                          : 1;
    freeReplyObject(reply);
    return number;
}

static void load(const char *script, char *sha)
{
    redisReply *reply = checked(redisCommand(connection, "SCRIPT LOAD %s", script));
    snprintf(sha, 41, "%s", reply->str);
    freeReplyObject(reply);
}

static redisContext *connect_again(void)
{
    redisContext *made = redisConnectUnix(redis_server_socket());
    if (made == NULL || made->err != 0)
        fail("redis: no connection: %s", made != NULL ? made->errstr : "no memory");
    return made;
}

static const char *open_server(void)
{
    const char *missing = redis_server_start();
    if (missing != NULL)
        return missing;
    connection = connect_again();
    load(GIVE_SCRIPT, give_sha);
    load(EXTEND_SCRIPT, extend_sha);
    return NULL;
}

/* The other process's connection is left alone: only the descriptor is closed. */
static void attach(void)
{
    close(connection->fd);
    connection = connect_again();
}

static void read_info(const char *section, const char *field, char *text, size_t room)
{
    char word[64];
    redisReply *reply = checked(redisCommand(connection, "INFO %s", section));
    snprintf(word, sizeof word, "%s:", field);
    const char *at = strstr(reply->str, word);
    snprintf(text, room, "%.*s", at != NULL ? (int)strcspn(at + strlen(word), "\r") : 1,
             at != NULL ? at + strlen(word) : "?");
    freeReplyObject(reply);
}

static void version(char *text, size_t room)
{
    char server[32];
    read_info("server", "redis_version", server, sizeof server);
    snprintf(text, room, "redis-server %s, hiredis %d.%d.%d", server, HIREDIS_MAJOR, HIREDIS_MINOR,
             HIREDIS_PATCH);
}

/* ---- The lock ---- */

static bool try_name(const char *name, long ms)
{
    snprintf(token, sizeof token, "%d-%lu", (int)getpid(), ++tokens);
    return ask_redis("SET %s %s NX PX %ld", name, token, ms) == 1;
}

static void take_name(const char *name)
{
    if (!try_name(name, LEASE_MS))
        fail("redis: %s is not free", name);
}

static void give_name(const char *name)
{
    if (ask_redis("EVALSHA %s 1 %s %s", give_sha, name, token) != 1)
        fail("redis: %s is lost", name);
}

static void take_key(unsigned key)
{
    take_name(key_name(key));
}

static void give_key(unsigned key)
{
    give_name(key_name(key));
}

static void take(void)
{
    while (!try_name(HOT, LEASE_MS))
        usleep(POLL_US);
}

static void give(void)
{
    give_name(HOT);
}

static const struct lock lock = {
    .attach = attach, .take = take, .give = give, .take_key = take_key, .give_key = give_key};

/* ---- Loops ---- */

static void busy(void)
{
    if (ask_redis("SET %s other NX PX %ld", HOT, (long)LEASE_MS) != 0)
        fail("redis: %s is not busy", HOT);
}

LOCK_LOOPS

static void ask(void)
{
    if (ask_redis("EXISTS %s", HOT) != 0)
        fail("redis: %s is not free", HOT);
}

static double is_locked_loop(long n)
{
    return ns_each(n, ask);
}

static void extend(void)
{
    if (ask_redis("EVALSHA %s 1 %s %s %ld", extend_sha, HOT, token, (long)LEASE_MS) != 1)
        fail("redis: %s is lost", HOT);
}

static double extend_loop(long n)
{
    return ns_each_held(n, &lock, extend);
}

static double expired_loop(long n)
{
    uint64_t ns = 0;
    for (long done = 0; done < n;) {
        unsigned batch = n - done < EXPIRE_BATCH ? (unsigned)(n - done) : EXPIRE_BATCH;
        for (unsigned i = 0; i < batch; i++)
            try_name(key_name(i), 1);
        usleep(3000);
        uint64_t begin = now_ns();
        for (unsigned i = 0; i < batch; i++)
            take_key(i);
        ns += now_ns() - begin;
        for (unsigned i = 0; i < batch; i++)
            ask_redis("DEL %s", key_name(i));
        done += batch;
    }
    return (double)ns / (double)n;
}

static void fresh_pair(const char *name)
{
    take_name(name);
    give_name(name);
}

static double fresh_loop(long n)
{
    return ns_each_fresh(n, fresh_pair, NULL);
}

/* With an answer, for a connection that nobody took is none. */
static void open_close(void)
{
    redisContext *other = connect_again();
    freeReplyObject(checked(redisCommand(other, "PING")));
    redisFree(other);
}

static double open_close_loop(long n)
{
    return ns_each(n, open_close);
}

/* ---- Many held ---- */

/* Appends a command for each of so many keys, and reads the answers behind them. */
static void for_each_held(const char *format, long count)
{
    void *reply;
    for (long i = 0; i < count + FILL_AHEAD; i++) {
        if (i < count)
            redisAppendCommand(connection, format, i);
        if (i >= FILL_AHEAD && redisGetReply(connection, &reply) == REDIS_OK)
            freeReplyObject(checked(reply));
    }
}

static void fill(long count)
{
    for_each_held("SET held-%07ld 12345-1234567 NX PX 86400000", count);
}

static void empty(long count)
{
    (void)count;
    ask_redis("FLUSHALL");
}

static double used_memory(void)
{
    char bytes[32];
    read_info("memory", "used_memory", bytes, sizeof bytes);
    return strtod(bytes, NULL);
}

static double lock_bytes(long n)
{
    double before = used_memory();
    (void)n;
    fill(MEMORY_LOCKS);
    double bytes = (used_memory() - before) / MEMORY_LOCKS;
    empty(MEMORY_LOCKS);
    return bytes;
}

const struct peer redis_peer = {.name = "redis",
                                .open = open_server,
                                .version = version,
                                .lock = &lock,
                                .polls = true,
                                .fill = fill,
                                .empty = empty,
                                .fill_most = 1000000,
                                .loop = {[PAIR] = pair_loop,
                                         [RANDOM_KEYS] = keys_loop,
                                         [BUSY] = busy_loop,
                                         [IS_LOCKED] = is_locked_loop,
                                         [EXTEND] = extend_loop,
                                         [EXPIRED] = expired_loop,
                                         [FRESH_KEYS] = fresh_loop,
                                         [OPEN_CLOSE] = open_close_loop,
                                         [HELD] = keys_loop,
                                         [LOCK_BYTES] = lock_bytes}};

#else

static const char *is_missing(void)
{
    return "hiredis when this was configured (Debian: libhiredis-dev)";
}

const struct peer redis_peer = {.name = "redis", .open = is_missing};

#endif
