/* The table of cases. */
#include "bench.h"

/* How much is held, or who is there, for some of them. */
static const struct setting held_thousand = {1000, held_open, held_close};
static const struct setting held_ten_thousand = {10000, held_open, held_close};
static const struct setting held_hundred_thousand = {100000, held_open, held_close};
static const struct setting held_million = {1000000, held_open, held_close};
static const struct setting held_four_million = {4000000, held_open, held_close};
static const struct setting one_process = {1, crowd_open, crowd_close};
static const struct setting hundred_processes = {100, crowd_open, crowd_close};
static const struct setting thousand_processes = {1000, crowd_open, crowd_close};

#define LOOP(which) .loop = (which), .ms = 100
#define RACE .unit = "M/s", .run = contended, .takes = can_sleep, .ms = 150
#define MANY .unit = "M/s", .run = many_keys, .takes = can_take_keys, .ms = 150
#define FAIR .run = fair, .takes = can_sleep, .people = 8, .ms = 1000
#define HELD_PAIR .loop = HELD, .ms = 100
#define REGISTERED .unit = "us", .loop = REGISTER, .ms = 30

const struct bench_case cases[] = {
    {"pair_uncontended", LOOP(PAIR)},
    {"pair_global", LOOP(PAIR_GLOBAL), .n = 50000},
    {"pair_random_keys", LOOP(RANDOM_KEYS)},
    {"fresh_keys", LOOP(FRESH_KEYS)},
    {"acquire", LOOP(ACQUIRE)},
    {"busy_nowait", LOOP(BUSY)},
    {"is_locked", LOOP(IS_LOCKED)},
    {"extend", LOOP(EXTEND)},
    {"lease_held", LOOP(LEASE_HELD)},
    {"expired_takeover", LOOP(EXPIRED)},
    {"open_close", LOOP(OPEN_CLOSE)},
    {"contended_2", RACE, .people = 2},
    {"contended_4", RACE, .people = 4},
    {"contended_8", RACE, .people = 8},
    {"contended_16", RACE, .people = 16},
    {"contended_64", RACE, .people = 64},
    {"many_keys_1", MANY, .people = 1},
    {"many_keys_2", MANY, .people = 2},
    {"many_keys_4", MANY, .people = 4},
    {"many_keys_16", MANY, .people = 16},
    {"handoff", .unit = "us", .run = handoff, .takes = can_wait, .n = 20},
    {"handoff_1_cpu", .unit = "us", .run = handoff, .takes = can_sleep, .people = 1, .n = 20},
    {"handoff_2_cpus", .unit = "us", .run = handoff, .takes = can_sleep, .people = 2, .n = 20},
    {"async_handoff", .unit = "us", .run = async_handoff, .takes = can_be_async, .n = 20},
    {"kill_to_waiter", .unit = "us", .run = kill_to_waiter, .takes = can_die, .n = 10},
    {"fair_8", .unit = "share", FAIR},
    {"fair_8_wait", .unit = "ms", .run = fair_wait, .takes = can_sleep, .people = 8, .ms = 1000},
    {"herd_1000", .unit = "wakes", .run = herd, .takes = can_pool, .people = 1000},
    {"sleepers_cpu", .unit = "ms/s", .run = sleepers_cpu, .takes = is_library, .people = 100,
     .ms = 1000},
    {"memory_per_lock", .unit = "bytes", .loop = LOCK_BYTES, .once = true},
    {"binary_size", .unit = "bytes", .loop = TEXT_BYTES, .once = true},
    {"register_1", REGISTERED, .setting = &one_process},
    {"register_100", REGISTERED, .setting = &hundred_processes},
    {"register_1000", REGISTERED, .setting = &thousand_processes},
    {"held_1k", HELD_PAIR, .setting = &held_thousand},
    {"held_10k", HELD_PAIR, .setting = &held_ten_thousand},
    {"held_100k", HELD_PAIR, .setting = &held_hundred_thousand},
    {"held_1m", HELD_PAIR, .setting = &held_million},
    {"fill_1m", .loop = FILL, .once = true, .setting = &held_million},
    {"list_1m", .unit = "s", .loop = LIST, .setting = &held_million},
    {"held_4m", HELD_PAIR, .setting = &held_four_million},
    {"fill_4m", .loop = FILL, .once = true, .setting = &held_four_million},
};
const unsigned case_count = sizeof cases / sizeof cases[0];
