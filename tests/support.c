#include "support.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent.h"
#include "clients/client_shm.h"
#include "face/instance.h"
#include "ground/hash.h"
#include "litter.h"
#include "shm/liveness.h"
#include "shm/table.h"

struct here here;

static uint64_t suite_seed;

/* ---- Suites ---- */

TCase *group(Suite *suite, const char *name, void (*setup)(void), void (*teardown)(void))
{
    TCase *tcase = tcase_create(name);
    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, setup, teardown);
    suite_add_tcase(suite, tcase);
    return tcase;
}

int run_suite(Suite *suite)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    const char *given = getenv("CACHIFY_SEED");
    suite_seed = given != NULL ? strtoull(given, NULL, 10) : cf_random() >> 1;
    litter_begin();
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    /* A failed test leaves its files when it runs in a process of its own. */
    unsigned left = litter_sweep();
    if (failed == 0 && left > 0)
        printf("%u files were left in /dev/shm\n", left);
    return failed == 0 && left == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

bool under_valgrind(void)
{
    const char *preload = getenv("LD_PRELOAD");
    return preload != NULL && strstr(preload, "vgpreload") != NULL;
}

unsigned rounds(unsigned n)
{
#if SANITIZED
    n = n / 4 + 1;
#endif
    const char *divisor = getenv("CACHIFY_ROUNDS");
    if (divisor != NULL && atoi(divisor) > 0)
        n = n / (unsigned)atoi(divisor) + 1;
    return under_valgrind() ? n / 50 + 1 : n;
}

/* ---- A segment of the test's own ---- */

struct cf_mapping *mapping_of(cachify_t *instance)
{
    return cf_client_shm_mapping(&instance->client);
}

static void open_here(cachify_config_t config)
{
    new_path(here.path);
    config.path = here.path;
    here.config = config;
    assert_ok(cachify_open(&here.config, &here.cachify));
    here.m = mapping_of(here.cachify);
}

void setup_here(void)
{
    open_here(
        (cachify_config_t){.max_locks = 64, .key_max = 64, .prefix = "", .poll_interval_ms = 5000});
}

void reopen_here(cachify_config_t config)
{
    assert_ok(cachify_close(here.cachify));
    unlink(here.path);
    open_here(config);
}

void teardown_here(void)
{
    agents_end();
    if (here.cachify != NULL)
        cachify_close(here.cachify);
    here = (struct here){0};
    litter_check();
}

/* ---- Time ---- */

int64_t now_ms(void)
{
    return (int64_t)(cf_monotonic_ns() / CF_MS);
}

void tick(void)
{
    cf_nanosleep(CF_MS);
}

/* ---- Locks in one line ---- */

const char *status_name(cachify_status_t status)
{
    static const char *const names[] = {
        "OK",      "LOCKED",       "TIMEOUT",   "LOST",      "DEADLOCK",   "NOT_INITIALIZED",
        "INVALID", "KEY_TOO_LONG", "FULL",      "NO_MEMORY", "PERMISSION", "INCOMPATIBLE",
        "CORRUPT", "GONE",         "CANCELLED", "PENDING",   "SYSTEM"};
    return (unsigned)status < sizeof names / sizeof names[0] ? names[status] : "no status";
}

cachify_status_t take(const char *key, int64_t exp_ms, cachify_lease_t *lease)
{
    return cachify_acquire(here.cachify, &(cachify_lock_t){.key = key, .exp_ms = exp_ms}, lease);
}

bool is_locked(const char *key)
{
    bool locked = false;
    assert_ok(cachify_is_locked(here.cachify, key, &locked));
    return locked;
}

cachify_info_t query(const char *key)
{
    cachify_info_t info = {0};
    assert_ok(cachify_query(here.cachify, key, &info));
    return info;
}

uint64_t pass(const char *key)
{
    cachify_lease_t lease = CACHIFY_LEASE_INIT;
    if (take(key, 0, &lease) != CACHIFY_OK)
        return 0;
    uint64_t token = cachify_lease_token(&lease);
    return cachify_release(&lease) == CACHIFY_OK ? token : 0;
}

const char *numbered(const char *name, unsigned number)
{
    static _Thread_local char texts[16][64];
    static _Thread_local unsigned next;
    char *text = texts[next++ % 16];
    snprintf(text, sizeof texts[0], "%s-%u", name, number);
    return text;
}

uint64_t hash_of(const char *key)
{
    return cf_hash(key, strlen(key), here.m->hash_seed);
}

const char *key_at(uint32_t group, int tag, unsigned nth)
{
    static _Thread_local char keys[64][16];
    static _Thread_local unsigned next;
    char *key = keys[next++ % 64];
    for (unsigned i = 0, met = 0;; i++) {
        snprintf(key, sizeof keys[0], "k%u", i);
        uint64_t hash = hash_of(key);
        if (cf_home(here.m, hash) == group && (tag < 0 || (hash & CF_TAG_MASK) == (uint64_t)tag) &&
            met++ == nth)
            return key;
    }
}

cf_word word_of(const char *key, uint32_t *slot)
{
    _Alignas(8) char padded[CF_KEY_MAX_LIMIT + 8] = {0};
    struct cf_key k = {.bytes = padded, .len = (uint32_t)strlen(key), .hash = hash_of(key)};
    struct cf_found found;
    memcpy(padded, key, k.len);
    ck_assert(cf_table_find(here.m, &k, &found));
    if (slot != NULL)
        *slot = found.slot;
    return found.slot != 0 ? found.word : 0;
}

/* ---- Chance ---- */

uint64_t seed(void)
{
    printf("CACHIFY_SEED=%llu\n", (unsigned long long)suite_seed);
    return suite_seed;
}

uint64_t chance(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

/* ---- Census ---- */

struct census census(const struct cf_mapping *m)
{
    struct census c = {0};
    uint32_t naming = 0;
    for (uint32_t g = 0; g < m->groups; g++) {
        c.overflowing += (uint32_t)(cf_load_relaxed(&m->group_at[g].control) & 1);
        for (unsigned place = 0; place < CF_SLOTS; place++) {
            cf_word w = cf_load_acquire(&m->group_at[g].slot[place]);
            c.held += cf_word_state(w) == CF_HELD;
            c.idle += cf_word_state(w) == CF_IDLE;
            c.inserting += cf_word_state(w) == CF_INSERTING;
            naming += w != 0;
        }
    }
    for (uint32_t r = 0; r < m->records; r++)
        c.taken += cf_state_is_taken(cf_load_acquire(&cf_record_at(m, r)->state)) ? 1 : 0;
    c.unnamed = c.taken - naming;
    uint32_t self = cf_self(m) != 0 ? cf_owner_entry(cf_self(m)) : UINT32_MAX;
    for (uint32_t e = 0; e < m->processes; e++)
        c.entries += e == self || cf_byte_ask(m, e) == CF_BYTE_LOCKED;
    return c;
}

static void assert_word_sound(const struct cf_mapping *m, uint32_t slot, cf_word w)
{
    ck_assert_uint_lt(cf_word_record(w), m->records);
    struct cf_record *r = cf_record_at(m, cf_word_record(w));
    cf_state s = cf_load_relaxed(&r->state);
    ck_assert_msg(cf_state_is_taken(s), "slot %u names record %u, which is free", slot,
                  cf_word_record(w));
    ck_assert_uint_eq(cf_state_generation(s), cf_word_generation(w));
    ck_assert_uint_eq(cf_load_relaxed(&r->slot), slot);
    ck_assert(cf_word_tag_matches(w, cf_load_relaxed(&r->hash)));
    /* A walk finds it: every group from its home to before its own says "on". */
    uint32_t g = cf_home(m, cf_load_relaxed(&r->hash));
    for (; g != slot / 8; g = g + 1 == m->groups ? 0 : g + 1)
        ck_assert_msg((cf_load_relaxed(&m->group_at[g].control) & 1) != 0,
                      "the word in slot %u lies beyond group %u, whose overflow bit is clear", slot,
                      g);
}

void assert_sound(const struct cf_mapping *m)
{
    for (uint32_t g = 0; g < m->groups; g++)
        for (unsigned place = 0; place < CF_SLOTS; place++) {
            uint32_t slot = cf_slot_number(g, place);
            cf_word w = cf_load_acquire(cf_slot_at(m, slot));
            if (w != 0)
                assert_word_sound(m, slot, w);
        }
    for (uint32_t r = 0; r < m->records; r++)
        for (uint32_t q = r + 1; q < m->records && m->records <= 1024; q++) {
            struct cf_record *a = cf_record_at(m, r), *b = cf_record_at(m, q);
            uint32_t x = cf_load_relaxed(&a->slot), y = cf_load_relaxed(&b->slot);
            if (x == y || !cf_slot_valid(m, x) || !cf_slot_valid(m, y))
                continue;
            cf_word v = cf_load_relaxed(cf_slot_at(m, x)), w = cf_load_relaxed(cf_slot_at(m, y));
            if (v == 0 || w == 0 || cf_word_record(v) != r || cf_word_record(w) != q)
                continue;
            ck_assert_msg(cf_load_relaxed(&a->hash) != cf_load_relaxed(&b->hash),
                          "slots %u and %u have one key", x, y);
        }
}
