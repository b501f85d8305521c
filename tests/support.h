/* What every suite uses: a segment of the test's own, conditions instead of sleeps, crowds,
 * and a census of what lies in a segment.  README.md says how suites are written. */
#ifndef CF_TESTS_SUPPORT_H
#define CF_TESTS_SUPPORT_H

#include <check.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

#include <cachify/cachify.h>

#include "shm/mapping.h"

/* ---- Suites ---- */

/* A test case whose tests run between setup and teardown (NULL: none). */
TCase *group(Suite *suite, const char *name, void (*setup)(void), void (*teardown)(void));

/* Runs it; then nothing of this run may be left in /dev/shm.  What main returns. */
int run_suite(Suite *suite);

/* In a test: say why it cannot run here, and leave it. */
#define SKIP(why)                                                                                  \
    do {                                                                                           \
        printf("%s: skipped: %s\n", __func__, why);                                                \
        return;                                                                                    \
    } while (0)

/* Built with a sanitizer that changes what a process maps, and how fast it is. */
#if defined(CF_TSAN) || defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* For properties that hold after any number of rounds: fewer under a slow checker. */
unsigned rounds(unsigned n);
bool under_valgrind(void);

/* ---- A segment of the test's own ---- */

#define PATH_ROOM 128

/* What setup opened: all tests of most suites start here. */
struct here {
    char path[PATH_ROOM];
    cachify_config_t config; /* of path; agents open with it too */
    cachify_t *cachify;
    struct cf_mapping *m; /* the instance's */
};
extern struct here here;

/* 64 locks, keys up to 64 bytes, no prefix, a poll interval of 5 s: whoever is awake before
 * that was woken. */
void setup_here(void);
/* Ends agents, closes, and fails if the library left any file but the segment. */
void teardown_here(void);
/* Close, remove, and open another with this configuration; its path is filled in. */
void reopen_here(cachify_config_t config);

struct cf_mapping *mapping_of(cachify_t *instance);

/* A path under /dev/shm that nobody else uses; removed at the end of the test. */
void new_path(char path[PATH_ROOM]);
/* A directory of the same kind. */
void new_directory(char path[PATH_ROOM]);
/* How many entries a directory has. */
unsigned count_entries(const char *directory);
/* How many descriptors and mappings this process has; 0 mappings where a checker makes its own. */
unsigned count_descriptors(void);
unsigned count_mappings(void);

/* ---- Asserting ---- */

const char *status_name(cachify_status_t status);

#define assert_status(call, expected)                                                              \
    do {                                                                                           \
        cachify_status_t got_ = (call);                                                            \
        ck_assert_msg(got_ == (expected), "%s is %s (%s), expected %s", #call, status_name(got_),  \
                      cachify_last_error(), status_name(expected));                                \
    } while (0)
#define assert_ok(call) assert_status(call, CACHIFY_OK)

/* The last error has this text in it. */
#define assert_says(text)                                                                          \
    ck_assert_msg(strstr(cachify_last_error(), text) != NULL, "\"%s\" is not in the error \"%s\"", \
                  text, cachify_last_error())

/* A condition that has to come true within ms; looked at every millisecond. */
#define EVENTUALLY(condition, ms)                                                                  \
    do {                                                                                           \
        const int64_t until_ = now_ms() + (ms);                                                    \
        while (!(condition)) {                                                                     \
            ck_assert_msg(now_ms() < until_, "not within %d ms: %s", (int)(ms), #condition);       \
            tick();                                                                                \
        }                                                                                          \
    } while (0)

/* A condition that has to stay true for ms. */
#define STAYS(condition, ms)                                                                       \
    do {                                                                                           \
        const int64_t until_ = now_ms() + (ms);                                                    \
        do {                                                                                       \
            ck_assert_msg(condition, "no longer: %s", #condition);                                 \
            tick();                                                                                \
        } while (now_ms() < until_);                                                               \
    } while (0)

int64_t now_ms(void);
void tick(void); /* a millisecond */

/* More than anything here takes, however loaded the machine. */
#define LONG_MS 20000

/* ---- Locks in one line ---- */

/* Without waiting; exp_ms 0 is the default. */
cachify_status_t take(const char *key, int64_t exp_ms, cachify_lease_t *lease);
bool is_locked(const char *key);
cachify_info_t query(const char *key);
/* Take and release: the token it got, or 0. */
uint64_t pass(const char *key);

/* "NAME-NUMBER" in a buffer of the calling thread's that the 16th further call reuses. */
const char *numbered(const char *name, unsigned number);
/* A key whose home is this group, the nth such; tag: of its hash, or -1 for any.  Good until
 * the 64th further call. */
const char *key_at(uint32_t group, int tag, unsigned nth);
uint64_t hash_of(const char *key);
/* Where the key's word is, and the word; 0 if nowhere. */
cf_word word_of(const char *key, uint32_t *slot);

/* ---- Chance ---- */

/* The suite's seed, printed at its first use; CACHIFY_SEED=N repeats a run. */
uint64_t seed(void);
uint64_t chance(uint64_t *state);

/* ---- Crowds ---- */

/* n threads, started at the same moment, joined.  They must not assert: act returns. */
typedef int64_t crowd_act(unsigned i, void *context);
void threads_together(unsigned n, crowd_act *act, void *context, int64_t *results);
/* n children, likewise, reaped; result -1: it died. */
void processes_together(unsigned n, crowd_act *act, void *context, int64_t *results);
/* How children end: at an ordinary exit checkers look for leaks, and say so. */
_Noreturn void end_child(void);
/* Counts of executed lines are written at an ordinary exit only, and most children die. */
void keep_counts(void);
/* To a process that the test started: never to a group, whatever went wrong before. */
void send_signal(pid_t pid, int number);
/* Zeroed memory that children share. */
void *shared(size_t size);

/* ---- Census ---- */

struct census {
    uint32_t held, idle, inserting; /* words */
    uint32_t taken;                 /* records */
    uint32_t unnamed;               /* records taken that no word names */
    uint32_t overflowing;           /* groups with their bit set */
    uint32_t entries;               /* processes whose byte is locked */
};
struct census census(const struct cf_mapping *m);

/* Fails unless every word names a taken record of its generation that knows its slot, keys
 * are where walks find them, and no two words have one key. */
void assert_sound(const struct cf_mapping *m);

#endif
