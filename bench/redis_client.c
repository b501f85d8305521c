/* What the Redis client costs on a Unix socket, on a server of its own.
 *
 *     bench/redis-client [ROUNDS] [COUNT]
 *
 * Each round measures all in turn; the medians are told:
 *   pair      acquire and release; beside hiredis alone, with the very same two commands
 *   handover  from before the release to where who slept has the lock; beside a round trip (PING) of
 *             a process that slept, too
 *   python    py-cachify's own two commands, SET NX EX and DEL, through python3-redis, if it is there
 * Ends with 1 if a bar is missed. */
#include <hiredis.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cachify/redis.h>

#include "redis/script.h"
#include "redis/value.h"
#include "server.h"

#define ROUNDS_MOST 101

static struct server server;
static cachify_t *cachify;
static redisContext *bare;
static char acquire_name[64], release_name[64];
static char value[CR_VALUE_MAX];
static size_t value_len;

_Noreturn static void fail(const char *what)
{
    fprintf(stderr, "redis-client: %s: %s\n", what, cachify_last_error());
    server_end(&server);
    exit(EXIT_FAILURE);
}

static double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* ---- Medians ---- */

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *samples, long n)
{
    qsort(samples, (size_t)n, sizeof *samples, compare);
    return samples[n / 2];
}

/* ---- Acquire and release ---- */

static double ours(long n)
{
    cachify_lock_t lock = {.key = "bench", .exp_ms = 60000};
    cachify_lease_t lease;
    double begun = now_ns();
    for (long i = 0; i < n; i++)
        if (cachify_acquire(cachify, &lock, &lease) != CACHIFY_OK ||
            cachify_release(&lease) != CACHIFY_OK)
            fail("acquire and release");
    return (now_ns() - begun) / (double)n;
}

#define OWNER "0123456789abcdef0123456789abcdef0123456789abcdef"
static const char void_key[] = "cachify:void:" OWNER;

static void ask(int argc, const char **argv, const size_t *len, long long expected)
{
    redisReply *reply = redisCommandArgv(bare, argc, argv, len);
    if (reply == NULL || (reply->type == REDIS_REPLY_ARRAY ? reply->element[0]->integer
                                                           : reply->integer) != expected)
        fail(reply != NULL && reply->str != NULL ? reply->str : "hiredis");
    freeReplyObject(reply);
}

/* The commands of lib/redis/lock.c, byte for byte but for the numbers. */
static double theirs(long n)
{
    const char *tail = value + CR_HEAD_LEN + (size_t)(2 * CR_DIGITS + 1);
    const char *take[] = {"EVALSHA",
                          acquire_name,
                          "5",
                          "PYC-bench",
                          "cachify:last:PYC-bench",
                          "cachify:wait:PYC-bench",
                          void_key,
                          "cachify:token",
                          OWNER,
                          "60000",
                          value,
                          tail,
                          "12345",
                          "0",
                          "",
                          "",
                          "0",
                          "600000",
                          "0",
                          "3600000"};
    const char *give[] = {"EVALSHA",
                          release_name,
                          "5",
                          "PYC-bench",
                          "cachify:last:PYC-bench",
                          "cachify:wait:PYC-bench",
                          void_key,
                          "cachify:done:0123456789abcdef0123456789abcdef:r1",
                          OWNER,
                          "0000000000000001",
                          "0",
                          "9000",
                          ""};
    size_t take_len[20], give_len[13];
    for (int i = 0; i < 20; i++)
        take_len[i] = strlen(take[i]);
    take_len[10] = CR_HEAD_LEN;
    take_len[11] = value_len - (size_t)(tail - value);
    for (int i = 0; i < 13; i++)
        give_len[i] = strlen(give[i]);
    double begun = now_ns();
    for (long i = 0; i < n; i++) {
        ask(20, take, take_len, 1);
        ask(13, give, give_len, 1);
    }
    return (now_ns() - begun) / (double)n;
}

/* By turns of few, so that both see the same weather. */
#define TURN 50
static void pairs(long n, double *our, double *their)
{
    double sum[2] = {0, 0};
    long turns = (n + TURN - 1) / TURN;
    for (long i = 0; i < turns; i++) {
        sum[0] += ours(TURN);
        sum[1] += theirs(TURN);
    }
    *our = sum[0] / (double)turns;
    *their = sum[1] / (double)turns;
}

static double ping(long n)
{
    const char *argv[] = {"PING"};
    const size_t len[] = {4};
    double begun = now_ns();
    for (long i = 0; i < n; i++)
        freeReplyObject(redisCommandArgv(bare, 1, argv, len));
    return (now_ns() - begun) / (double)n;
}

/* One at a time, when all have been asleep, as they are before a handover. */
static double rested_ping(long n)
{
    double took[1000];
    for (long i = 0; i < n; i++) {
        usleep(400);
        took[i] = ping(1);
    }
    return median(took, n);
}

/* ---- Handover, to a process that sleeps ---- */

struct meeting {
    _Atomic long asked, had; /* how often */
    _Atomic double at;       /* when it was had */
};
static struct meeting *meeting;
static pid_t child;

static _Noreturn void wait_always(pid_t parent)
{
    cachify_lock_t lock = {.key = "hand", .wait = true};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (getppid() == parent) {
        cachify_lease_t lease;
        while (meeting->asked == meeting->had)
            usleep(50);
        if (cachify_acquire(cachify, &lock, &lease) != CACHIFY_OK)
            break;
        meeting->at = now_ns();
        cachify_release(&lease);
        meeting->had++;
    }
    _exit(0);
}

static double hand_over(void)
{
    cachify_lock_t lock = {.key = "hand", .wait = true};
    cachify_lease_t lease;
    cachify_info_t info = {0};
    if (cachify_acquire(cachify, &lock, &lease) != CACHIFY_OK)
        fail("acquire");
    meeting->asked++;
    do {
        usleep(200);
        if (cachify_query(cachify, "hand", &info) != CACHIFY_OK)
            fail("query");
    } while (info.waiters == 0);
    usleep(200); /* asleep by now */
    double begun = now_ns();
    cachify_release(&lease);
    while (meeting->asked != meeting->had)
        usleep(3000); /* out of the way */
    return meeting->at - begun;
}

static double handover(long n)
{
    double took[1000];
    for (long i = 0; i < n; i++)
        took[i] = hand_over();
    return median(took, n);
}

/* ---- Python ---- */

static double python(long n)
{
    char command[1024];
    double took = 0;
    snprintf(
        command, sizeof command,
        "for p in python3 /usr/bin/python3; do $p -c 'import redis' 2>/dev/null && exec $p -c '\n"
        "import pickle, redis, time\n"
        "r = redis.Redis(unix_socket_path=\"%s\")\n"
        "r.ping()\n"
        "b = time.monotonic()\n"
        "for i in range(%ld):\n"
        "  r.set(name=\"PYC-py\", value=pickle.dumps(1), ex=30, nx=True)\n"
        "  r.delete(\"PYC-py\")\n"
        "print((time.monotonic() - b) * 1e9 / %ld)'; done",
        server.path, n, n);
    FILE *pipe = popen(command, "r");
    if (pipe == NULL || fscanf(pipe, "%lf", &took) != 1)
        took = 0;
    if (pipe != NULL)
        pclose(pipe);
    return took;
}

/* ---- All of it ---- */

static void load(const char *script, char name[64])
{
    redisReply *reply = redisCommand(bare, "SCRIPT LOAD %s", script);
    if (reply == NULL || reply->type != REDIS_REPLY_STRING)
        fail("SCRIPT LOAD");
    snprintf(name, 64, "%s", reply->str);
    freeReplyObject(reply);
}

static void begin(void)
{
    const uint64_t number = 0x0123456789abcdef; /* of OWNER */
    struct cr_holder h = {.client = {number, number},
                          .number = number,
                          .pid = 12345,
                          .thread = 12345,
                          .host = "host",
                          .command = "redis-client"};
    cachify_client_t client;
    if (!server_start(&server, NULL))
        fail("redis-server");
    if (cachify_redis_client(server.url, NULL, &client) != CACHIFY_OK ||
        cachify_open(&(cachify_config_t){.client = &client, .poll_interval_ms = 5000}, &cachify) !=
            CACHIFY_OK)
        fail("cachify_redis_client");
    meeting =
        mmap(NULL, sizeof *meeting, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t parent = getpid();
    child = fork();
    if (child < 0)
        fail("fork");
    if (child == 0)
        wait_always(parent);
    bare = redisConnectUnix(server.path);
    if (bare == NULL || bare->err != 0)
        fail("hiredis");
    load(cr_script_text[CR_ACQUIRE], acquire_name);
    load(cr_script_text[CR_RELEASE], release_name);
    value_len = cr_value_write(value, &h);
}

static void end(void)
{
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    redisFree(bare);
    cachify_close(cachify);
    server_end(&server);
}

static bool bar(const char *what, double figure, double at_most)
{
    bool reached = figure <= at_most;
    printf("%-44s %6.2f x   bar %.1f x   %s\n", what, figure, at_most,
           reached ? "reached" : "MISSED");
    return reached;
}

int main(int argc, char **argv)
{
    enum { OURS, THEIRS, PING, RESTED, HANDOVER, PYTHON, SUBJECTS };
    static const char *const names[] = {
        "acquire and release",   "hiredis, the same two commands",
        "hiredis, PING",         "hiredis, PING after a rest",
        "handover to a sleeper", "python3-redis, SET NX EX and DEL"};
    static double took[SUBJECTS][ROUNDS_MOST];
    long rounds = argc > 1 ? atol(argv[1]) : 9, n = argc > 2 ? atol(argv[2]) : 5000;
    if (rounds < 1 || rounds > ROUNDS_MOST || n < 1) {
        fprintf(stderr, "usage: redis-client [ROUNDS (1 to %d)] [COUNT]\n", ROUNDS_MOST);
        return 2;
    }
    begin();
    ours(n / 10 + 1);
    for (long i = 0; i < rounds; i++) {
        pairs(n, &took[OURS][i], &took[THEIRS][i]);
        took[PING][i] = ping(n);
        took[RESTED][i] = rested_ping(100);
        took[HANDOVER][i] = handover(100);
        took[PYTHON][i] = python(n);
    }
    end();
    for (int s = 0; s < SUBJECTS; s++)
        if (median(took[s], rounds) > 0)
            printf("%-44s %6.1f us\n", names[s], median(took[s], rounds) / 1000);
    double m[SUBJECTS];
    for (int s = 0; s < SUBJECTS; s++)
        m[s] = median(took[s], rounds);
    bool reached = bar("acquire and release, by hiredis's", m[OURS] / m[THEIRS], 1.2);
    reached = bar("handover, by PINGs after a rest", m[HANDOVER] / m[RESTED], 2.0) && reached;
    printf("%-44s %6.2f x\n", "handover, by PINGs one after another", m[HANDOVER] / m[PING]);
    printf("%-44s %6.2f x\n", "handover, by acquire and release", m[HANDOVER] / m[OURS]);
    if (m[PYTHON] > 0)
        printf("%-44s %6.2f x\n", "acquire and release, by Python's", m[OURS] / m[PYTHON]);
    return !reached;
}
