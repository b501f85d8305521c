/* By key, through the face: queries and values. */
#include "trial.h"

#include <unistd.h>

#define BRIEF_MS 25

static bool asked(struct trial *t, const char *key, cachify_info_t *info)
{
    memset(info, 0x5a, sizeof *info);
    info->size = sizeof *info;
    return trial_status(t, cachify_query(t->instance, key, info), CACHIFY_OK, "cachify_query");
}

static void query_free(struct trial *t)
{
    cachify_info_t info;
    if (asked(t, "lock", &info))
        WANT(t, info.state == CACHIFY_STATE_FREE,
             "a lock that never was has state %u, expected "
             "FREE",
             info.state);
    WANT_OK(t, take(t, "lock", LONG_MS, &t->lease[0]));
    WANT_OK(t, cachify_release(&t->lease[0]));
    if (asked(t, "lock", &info))
        WANT(t, info.state == CACHIFY_STATE_FREE,
             "a lock that was released has state %u, expected "
             "FREE",
             info.state);
    WANT_OK(t, take(t, "lock", BRIEF_MS, &t->lease[0]));
    WANT_SOON(t, !is_locked(t, "lock"));
    if (asked(t, "lock", &info))
        WANT(t, info.state == CACHIFY_STATE_FREE || info.state == CACHIFY_STATE_EXPIRED,
             "an expired lock has state %u, expected FREE or EXPIRED", info.state);
}

static void query_held(struct trial *t)
{
    cachify_info_t info;
    cachify_lock_t lock = {.key = "lock", .exp_ms = LONG_MS, .value = "a\0note", .value_len = 6};
    WANT_OK(t, cachify_acquire(t->instance, &lock, &t->lease[0]));
    if (!asked(t, "lock", &info))
        return;
    WANT(t, info.state == CACHIFY_STATE_HELD, "a held lock has state %u", info.state);
    WANT(t, info.pid == getpid(), "a held lock's pid is %lld, expected %ld", (long long)info.pid,
         (long)getpid());
    WANT(t, info.token == cachify_lease_token(&t->lease[0]), "query's token is not the lease's");
    WANT(t, info.held_ms >= 0 && info.held_ms < patience_ns(t) / MS, "a lock is held since %lld ms",
         (long long)info.held_ms);
    WANT(t, info.remaining_ms > 0 && info.remaining_ms <= LONG_MS,
         "a lock of %d ms has %lld ms left", LONG_MS, (long long)info.remaining_ms);
    WANT(t, info.value_len == 6 && memcmp(info.value, "a\0note", 6) == 0,
         "query did not give the note as it was (%u bytes, expected 6)", info.value_len);
    WANT_OK(t, cachify_extend(&t->lease[0], CACHIFY_NEVER));
    if (asked(t, "lock", &info))
        WANT(t, info.remaining_ms == CACHIFY_NEVER, "a lock without expiry has %lld ms left",
             (long long)info.remaining_ms);
    if (asked(t, "lock2", &info))
        WANT(t, info.state == CACHIFY_STATE_FREE, "a lock is held that another's key begins like");
}

static void locked(struct trial *t)
{
    WANT(t, !is_locked(t, "lock"), "a lock that never was is locked");
    WANT_OK(t, take(t, "lock", BRIEF_MS, &t->lease[0]));
    WANT_OK(t, take(t, "other", CACHIFY_NEVER, &t->lease[1]));
    WANT(t, is_locked(t, "other"), "a held lock is not locked");
    WANT_SOON(t, !is_locked(t, "lock"));
    WANT(t, is_locked(t, "other"), "a held lock is not locked");
    WANT_OK(t, cachify_release_key(t->instance, "other"));
    WANT(t, !is_locked(t, "other"), "a lock is locked after release by key");
}

/* ---- Values ---- */

static bool want_value(struct trial *t, const char *key, const void *expected,
                       uint32_t expected_len)
{
    char value[8192];
    uint32_t len = sizeof value;
    cachify_status_t status = cachify_get(t->instance, key, value, &len);
    return trial_status(t, status, CACHIFY_OK, "cachify_get") &&
           trial_want(t, len == expected_len && memcmp(value, expected, len) == 0,
                      "cachify_get gave %u bytes, not the %u that were set", len, expected_len);
}

/* A value of each end's length and one more. */
static void set(struct trial *t)
{
    char value[4097];
    uint32_t most = value_most(t), len = sizeof value;
    for (uint32_t i = 0; i < sizeof value; i++)
        value[i] = (char)(i * 7);
    WANT_STATUS(t, cachify_get(t->instance, "key", value, &len), CACHIFY_LOST);
    uint32_t surely = t->client.acquire != NULL ? most : most - CACHIFY_MARK_BYTES;
    cachify_lock_t lock = {.key = "key", .exp_ms = LONG_MS, .value = value, .value_len = surely};
    WANT_OK(t, cachify_set(t->instance, &lock, true));
    WANT_STATUS(t, cachify_set(t->instance, &lock, true), CACHIFY_LOCKED);
    if (!want_value(t, "key", value, surely))
        return;
    lock.value_len = most + 1;
    WANT_STATUS(t, cachify_set(t->instance, &lock, false), CACHIFY_INVALID);
    lock.key = "other";
    WANT_STATUS(t, cachify_acquire(t->instance, &lock, &t->lease[0]), CACHIFY_INVALID);
    WANT(t, !is_locked(t, "other"), "a lock is locked whose value was refused");
    if (!want_value(t, "key", value, surely))
        return;
    lock.value_len = surely;
    WANT_OK(t, cachify_acquire(t->instance, &lock, &t->lease[0]));
    WANT_OK(t, cachify_release_key(t->instance, "key"));
    WANT_STATUS(t, cachify_get(t->instance, "key", value, &len), CACHIFY_LOST);
}

static void overwritten(struct trial *t)
{
    cachify_lock_t lock = {.key = "lock", .exp_ms = LONG_MS, .value = "mine", .value_len = 4};
    WANT_OK(t, take(t, "lock", LONG_MS, &t->lease[0]));
    WANT_STATUS(t, cachify_set(t->instance, &lock, true), CACHIFY_LOCKED);
    WANT_OK(t, cachify_set(t->instance, &lock, false));
    WANT(t, !cachify_lease_held(&t->lease[0]), "a lease that was overwritten is held");
    WANT_STATUS(t, cachify_extend(&t->lease[0], LONG_MS), CACHIFY_LOST);
    WANT_STATUS(t, cachify_release(&t->lease[0]), CACHIFY_LOST);
    WANT_STATUS(t, take(t, "lock", LONG_MS, &t->lease[1]), CACHIFY_LOCKED);
    want_value(t, "lock", "mine", 4);
}

static void keys(struct trial *t)
{
    char key[4097] = "";
    uint32_t most = key_most(t) - 4; /* beside "PYC-" */
    memset(key, 'k', most);
    WANT_OK(t, take(t, key, LONG_MS, &t->lease[0]));
    WANT_STATUS(t, take(t, key, LONG_MS, &t->lease[1]), CACHIFY_LOCKED);
    key[most] = 'k';
    WANT_STATUS(t, take(t, key, LONG_MS, &t->lease[1]), CACHIFY_KEY_TOO_LONG);
    WANT_STATUS(t, take(t, "", LONG_MS, &t->lease[1]), CACHIFY_INVALID);
    WANT_OK(t, take(t, "k", LONG_MS, &t->lease[1]));
}

const struct check by_key_checks[] = {
    {"query-free", "FREE before and after, or EXPIRED", query_free, FACE},
    {"query-held", "who holds it, how long, with which note", query_held, FACE},
    {"is-locked", "as long as it is held, and not longer", locked, FACE},
    {"set-get", "values through the face, up to the longest", set, FACE},
    {"set-lease", "set without nx ends another's lease", overwritten, FACE},
    {"keys-face", "keys with their prefix, up to the longest", keys, FACE},
    {0},
};
