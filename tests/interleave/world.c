#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "clients/client_shm.h"
#include "ground/hash.h"
#include "shm/process.h"
#include "shm/segment.h"

#include "memory.h"

#define LOCKS_MOST 64u

struct world world;
cachify_client_t world_client;
static struct world kept;
static struct cf_mapping *opened;
static uint8_t *fresh; /* the segment as it was created and registered in */
static struct {
    struct cf_mapping m;
} registered[WHO];
static char names[KEYS][8];
static uint32_t lengths[KEYS];
static uint64_t hashes[KEYS];

int __wrap_clock_gettime(clockid_t clock, struct timespec *t);
int __wrap_clock_gettime(clockid_t clock, struct timespec *t)
{
    (void)clock;
    if (world.passes)
        scheduler_point("clock");
    t->tv_sec = (time_t)(world.now / CF_SECOND);
    t->tv_nsec = (long)(world.now % CF_SECOND);
    return 0;
}

static _Noreturn void give_up(const char *what)
{
    fprintf(stderr, "interleave: %s: %s\n", what, cachify_last_error());
    exit(2);
}

/* A letter, and a number that gives it the home and the tag of its place. */
static void name_key(unsigned key)
{
    for (unsigned n = 0; n < 1000000; n++) {
        char name[64] = {0};
        uint32_t len = (uint32_t)snprintf(name, sizeof name, "%c%u", 'a' + (int)key, n);
        uint64_t hash = cf_hash(name, len, 0);
        if ((hash & CF_TAG_MASK) == key && (hash >> 32) * GROUPS >> 32 == key % GROUPS) {
            memcpy(names[key], name, sizeof names[key]);
            lengths[key] = len;
            hashes[key] = hash;
            return;
        }
    }
    give_up("no name for a key");
}

void world_open(void)
{
    int fd = memfd_create("cachify-interleave", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    world.now = 1000 * CF_SECOND;
    for (unsigned i = 0; i < KEYS; i++)
        name_key(i);
    cachify_config_t config = {.fd = fd, .max_locks = LOCKS_MOST, .key_max = 8};
    if (fd < 0 || cf_segment_open(&config, &opened) != CACHIFY_OK)
        give_up("cannot make a segment");
    opened->groups = GROUPS;
    opened->processes = WHO;
    opened->waiters = WHO;
    opened->processors = 1; /* no spinning */
    opened->hash_seed = 0;
    for (unsigned w = 0; w < WHO; w++) {
        registered[w].m = *opened;
        if (cf_process_register(&registered[w].m) != CACHIFY_OK)
            give_up("cannot register");
        registered[w].m.pid = 101 + w;
        /* So that nobody asks the kernel about the living. */
        cf_store_relaxed(
            &registered[w].m.process_at[cf_owner_entry(cf_self(&registered[w].m))].seen_alive,
            world.now);
    }
    if (cf_client_shm(&config, &world_client) != CACHIFY_OK)
        give_up("cannot make a client");
    for (uint32_t g = 0; g < GROUPS; g++)
        cf_store_relaxed(&opened->group_at[g].token, 1000);
    fresh = malloc(opened->size);
    if (fresh == NULL)
        give_up("no memory");
    memcpy(fresh, opened->base, opened->size);
    memory_share(opened->base, opened->size, world.grant, sizeof world.grant);
}

void world_begin(uint32_t locks, bool threads)
{
    memcpy(opened->base, fresh, opened->size);
    uint64_t now = 1000 * CF_SECOND;
    world = (struct world){.now = now, .threads = threads};
    for (unsigned w = 0; w < WHO; w++) {
        struct cf_mapping *m = &world.mapping[w];
        *m = registered[w].m;
        m->max_locks = locks;
        m->records = locks + SPARES;
        world.caller[w] = (cachify_caller_t){.serial = w + 1, .thread_id = 201 + w};
    }
}

void world_keep(void)
{
    for (unsigned w = 0; w < WHO; w++)
        if (!world.dead[w])
            cf_store_relaxed(
                &opened->process_at[cf_owner_entry(cf_self(&world.mapping[w]))].seen_alive,
                world.now);
    memory_keep();
    kept = world;
}

void world_restore(void)
{
    memory_restore();
    world = kept;
}

struct cf_key world_key(unsigned key)
{
    return (struct cf_key){.bytes = names[key], .len = lengths[key], .hash = hashes[key]};
}

unsigned world_key_of(uint64_t hash)
{
    unsigned key = (unsigned)(hash & CF_TAG_MASK);
    return key < KEYS && world_key(key).hash == hash ? key : KEYS;
}

/* The page that keeps the locked description open goes. */
void world_kill(enum who who)
{
    munmap(registered[who].m.live_page, CF_PAGE);
    registered[who].m.live_page = NULL;
    world.dead[who] = true;
    cf_store_relaxed(&opened->process_at[cf_owner_entry(cf_self(&world.mapping[who]))].seen_alive,
                     0);
}

enum who world_process_of(cf_owner owner)
{
    for (unsigned w = 0; w < WHO; w++)
        if (cf_self(&world.mapping[w]) == owner)
            return (enum who)w;
    return WHO;
}

/* ---- Names ---- */

static void name_word(uint64_t value, char *text, size_t room)
{
    static const char *const states[] = {"empty", "inserting", "held", "idle"};
    if (value == 0)
        snprintf(text, room, "empty");
    else
        snprintf(text, room, "%s(record %u, generation %llu)", states[cf_word_state(value)],
                 cf_word_record(value), (unsigned long long)cf_word_generation(value));
}

static const char *field(uint64_t offset)
{
    static const char *const fields[] = {"state", "hash",     "deadline", "token",
                                         "owner", "acquired", "thread",   "slot and lengths"};
    return offset / 8 < 8 ? fields[offset / 8] : "text";
}

void world_name(uint32_t word, uint64_t value, char *text, size_t room)
{
    char meaning[100];
    const uint8_t *at = memory_at(word);
    const struct cf_mapping *m = opened;
    const uint8_t *groups = (const uint8_t *)m->group_at;
    snprintf(meaning, sizeof meaning, "%llu", (unsigned long long)value);
    if (at < m->base || at >= m->base + m->size) {
        name_word(value, meaning, sizeof meaning);
        snprintf(text, room, "lease: %s", meaning);
    } else if (at >= m->record_at) {
        uint64_t offset = (uint64_t)(at - m->record_at);
        if (offset % m->record_size == 0)
            snprintf(meaning, sizeof meaning, "%s(generation %llu)",
                     cf_state_is_taken(value) ? "taken" : "free",
                     (unsigned long long)cf_state_generation(value));
        snprintf(text, room, "record %u %s: %s", (unsigned)(offset / m->record_size),
                 field(offset % m->record_size), meaning);
    } else if (at >= groups) {
        uint64_t offset = (uint64_t)(at - groups);
        unsigned g = (unsigned)(offset / 64), part = (unsigned)(offset % 64 / 8);
        static const char *const parts[] = {"control", "token", "wait"};
        if (part >= CF_FIRST_SLOT) {
            name_word(value, meaning, sizeof meaning);
            snprintf(text, room, "group %u slot %u: %s", g, part - CF_FIRST_SLOT, meaning);
        } else {
            snprintf(text, room, "group %u %s: %s", g, parts[part], meaning);
        }
    } else if (at >= (const uint8_t *)m->waiter_at) {
        snprintf(text, room, "waiter: %s", meaning);
    } else {
        uint64_t offset = (uint64_t)(at - (const uint8_t *)m->process_at);
        unsigned part = (unsigned)(offset % sizeof(struct cf_process) / 8);
        if (part >= 8 && part < 8 + CF_INTENTS)
            name_word(value, meaning, sizeof meaning);
        snprintf(text, room, "process %u %s: %s", (unsigned)(offset / sizeof(struct cf_process)),
                 part == 0   ? "generation"
                 : part == 6 ? "seen alive"
                 : part >= 8 ? "intent"
                             : "identity",
                 meaning);
    }
}
