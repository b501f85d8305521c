/* Boost.Interprocess named_mutex, where configure found it.  Each use looks the name up; who dies
 * does not give it back. */
#include "peers/boost_calls.h"
#include "peers/loops.h"

#include <stdio.h>
#include <string.h>

#define NAME_ROOM 96

#ifdef BENCH_BOOST

static char names[KEYS][NAME_ROOM];

/* They lie in /dev/shm, beside the bench's directory, whose name they begin with. */
static void name_of(char *name, const char *key)
{
    snprintf(name, NAME_ROOM, "%s.%.31s", strrchr(room_path(), '/') + 1, key);
}

static const char *open_names(void)
{
    for (unsigned i = 0; i < KEYS; i++) {
        name_of(names[i], key_name(i));
        boost_calls_make(names[i]);
    }
    return NULL;
}

static void version(char *text, size_t room)
{
    snprintf(text, room, "Boost %s", boost_calls_version());
}

static void take_key(unsigned key)
{
    boost_calls_take(names[key]);
}

static void give_key(unsigned key)
{
    (void)key;
    boost_calls_give();
}

static void take(void)
{
    take_key(0);
}

static void give(void)
{
    boost_calls_give();
}

static void busy(void)
{
    if (boost_calls_try(names[0]) != 0)
        fail("a named_mutex is not busy");
}

static void fresh_pair(const char *key)
{
    char name[NAME_ROOM];
    name_of(name, key);
    boost_calls_take(name);
    boost_calls_give();
}

static void fresh_drop(const char *key)
{
    char name[NAME_ROOM];
    name_of(name, key);
    boost_calls_remove(name);
}

static const struct lock lock = {
    .take = take, .give = give, .take_key = take_key, .give_key = give_key};

LOCK_LOOPS

static double fresh_loop(long n)
{
    return ns_each_fresh(n, fresh_pair, fresh_drop);
}

const struct peer boost_peer = {.name = "boost_named_mutex",
                                .open = open_names,
                                .version = version,
                                .lock = &lock,
                                .loop = {[PAIR] = pair_loop,
                                         [RANDOM_KEYS] = keys_loop,
                                         [BUSY] = busy_loop,
                                         [FRESH_KEYS] = fresh_loop}};

#else

static const char *is_missing(void)
{
    return "Boost.Interprocess or a C++ compiler when this was configured (Debian: libboost-dev, "
           "g++)";
}

const struct peer boost_peer = {.name = "boost_named_mutex", .open = is_missing};

#endif
