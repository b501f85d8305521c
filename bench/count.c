/* One call of the library, many times, for whoever counts its instructions: bench/instructions
 * has valgrind count within the functions counted_* alone.  Everything else is preparation. */
#include <cachify/cachify.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define COUNTED __attribute__((noinline, used))
#define KEYS 1000u
#define EXP_MS 3600000

static cachify_t *instance;
static cachify_lease_t lease;
static char names[KEYS][32];
static const cachify_lock_t job = {.key = "job:42", .exp_ms = EXP_MS};

void counted_acquire(const cachify_lock_t *lock);
void counted_busy(const cachify_lock_t *lock);
void counted_release(void);
void counted_extend(void);
void counted_held(void);
void counted_is_locked(const char *key);

static void must(cachify_status_t got, cachify_status_t expected)
{
    if (got != expected) {
        fprintf(stderr, "bench/count: %s, where %s was expected: %s\n", cachify_strerror(got),
                cachify_strerror(expected), cachify_last_error());
        exit(1);
    }
}

COUNTED void counted_acquire(const cachify_lock_t *lock)
{
    must(cachify_acquire(instance, lock, &lease), CACHIFY_OK);
}

COUNTED void counted_busy(const cachify_lock_t *lock)
{
    cachify_lease_t other = CACHIFY_LEASE_INIT;
    must(cachify_acquire(instance, lock, &other), CACHIFY_LOCKED);
}

COUNTED void counted_release(void)
{
    must(cachify_release(&lease), CACHIFY_OK);
}

COUNTED void counted_extend(void)
{
    must(cachify_extend(&lease, EXP_MS), CACHIFY_OK);
}

COUNTED void counted_held(void)
{
    if (!cachify_lease_held(&lease))
        must(CACHIFY_LOST, CACHIFY_OK);
}

COUNTED void counted_is_locked(const char *key)
{
    bool locked;
    must(cachify_is_locked(instance, key, &locked), CACHIFY_OK);
}

/* What is done so many times; of a pair valgrind counts one half. */
static void pair(unsigned i)
{
    (void)i;
    counted_acquire(&job);
    counted_release();
}

static void other_key(unsigned i)
{
    cachify_lock_t lock = {.key = names[i % KEYS], .exp_ms = EXP_MS};
    counted_acquire(&lock);
    counted_release();
}

static void while_held(unsigned i)
{
    (void)i;
    counted_busy(&job);
    counted_extend();
    counted_held();
    counted_is_locked(job.key);
}

static const struct work {
    const char *name;
    void (*run)(unsigned i);
    bool held;
} works[] = {{"pair", pair, false}, {"other-key", other_key, false}, {"held", while_held, true}};

static const struct work *work_named(const char *name)
{
    for (size_t i = 0; i < sizeof works / sizeof works[0]; i++)
        if (strcmp(works[i].name, name) == 0)
            return &works[i];
    fprintf(stderr, "usage: bench/count {pair|other-key|held} TIMES\n");
    exit(2);
}

int main(int argc, char **argv)
{
    const struct work *work = work_named(argc == 3 ? argv[1] : "");
    unsigned times = (unsigned)strtoul(argv[2], NULL, 10);
    cachify_config_t config = {.fd = memfd_create("bench/count", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
    must(cachify_open(&config, &instance), CACHIFY_OK);
    for (unsigned i = 0; i < KEYS; i++)
        snprintf(names[i], sizeof names[i], "order:%u", i);
    if (work->held)
        counted_acquire(&job);
    for (unsigned i = 0; i < times; i++)
        work->run(i);
    cachify_close(instance);
    return 0;
}
