/* memcached on a Unix socket of its own, in its text protocol: add takes, delete gives.  Whoever
 * asks for the key by name may delete it. */
#include "peers/loops.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LEASE_S (LEASE_MS / 1000)

static char path[108];
static int connection = -1;

static const char *open_server(void)
{
    snprintf(path, sizeof path, "%s/memcached", room_path());
    char *const command[] = {"memcached", "-u", "root", "-s", path, "-a", "700", NULL};
    if (!server_start(command, path))
        return "memcached (Debian: memcached)";
    connection = connect_to(path);
    return connection >= 0 ? NULL : "a connection to memcached";
}

static void attach(void)
{
    close(connection);
    connection = connect_to(path);
    if (connection < 0)
        fail("memcached: no connection");
}

/* A command, and the answer's first line without its end.  Answers are short, so they come whole;
 * that of a get ends with another line. */
static const char *ask_memcached(const char *command, size_t length, const char *end)
{
    static char answer[512];
    size_t got = 0, end_length = strlen(end);
    if (send(connection, command, length, MSG_NOSIGNAL) != (ssize_t)length)
        fail("memcached: %s", strerror(errno));
    while (got < end_length || memcmp(answer + got - end_length, end, end_length) != 0) {
        ssize_t more = recv(connection, answer + got, sizeof answer - 1 - got, 0);
        if (more <= 0)
            fail("memcached: no answer");
        got += (size_t)more;
    }
    answer[got] = '\0';
    answer[strcspn(answer, "\r")] = '\0';
    return answer;
}

/* With the key in it, and a line that is the answer expected. */
static void must_answer(const char *format, const char *key, const char *expected)
{
    char command[128];
    int length = snprintf(command, sizeof command, format, key);
    const char *answer = ask_memcached(command, (size_t)length, "\r\n");
    if (strcmp(answer, expected) != 0)
        fail("memcached: %s; expected %s", answer, expected);
}

static void version(char *text, size_t room)
{
    snprintf(text, room, "memcached %s", ask_memcached("version\r\n", 9, "\r\n") + 8);
}

#define ADD "add %s 0 30 1\r\n1\r\n"
_Static_assert(LEASE_S == 30, "the lease in ADD");

static void take_name(const char *name)
{
    must_answer(ADD, name, "STORED");
}

static void give_name(const char *name)
{
    must_answer("delete %s\r\n", name, "DELETED");
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
    static const char command[] = "add " HOT " 0 30 1\r\n1\r\n";
    while (strcmp(ask_memcached(command, sizeof command - 1, "\r\n"), "STORED") != 0)
        usleep(POLL_US);
}

static void give(void)
{
    give_name(HOT);
}

static const struct lock lock = {
    .attach = attach, .take = take, .give = give, .take_key = take_key, .give_key = give_key};

static void busy(void)
{
    must_answer(ADD, HOT, "NOT_STORED");
}

LOCK_LOOPS

static void ask(void)
{
    ask_memcached("get " HOT "\r\n", sizeof "get " HOT "\r\n" - 1, "END\r\n");
}

static double is_locked_loop(long n)
{
    return ns_each(n, ask);
}

static void extend(void)
{
    must_answer("touch %s 30\r\n", HOT, "TOUCHED");
}

static double extend_loop(long n)
{
    return ns_each_held(n, &lock, extend);
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
    int own = connection;
    connection = connect_to(path);
    if (connection < 0)
        fail("memcached: no connection: %s", strerror(errno));
    ask_memcached("version\r\n", 9, "\r\n");
    close(connection);
    connection = own;
}

static double open_close_loop(long n)
{
    return ns_each(n, open_close);
}

const struct peer memcached_peer = {.name = "memcached",
                                    .open = open_server,
                                    .version = version,
                                    .lock = &lock,
                                    .polls = true,
                                    .loop = {[PAIR] = pair_loop,
                                             [RANDOM_KEYS] = keys_loop,
                                             [BUSY] = busy_loop,
                                             [IS_LOCKED] = is_locked_loop,
                                             [EXTEND] = extend_loop,
                                             [FRESH_KEYS] = fresh_loop,
                                             [OPEN_CLOSE] = open_close_loop}};
