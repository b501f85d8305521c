/* Keys and options of a lock: what has to be refused is refused, and what is granted can be
 * asked about, found, extended and given back. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"

#define ROOM ((size_t)24)
#define PREFIX "P-"

static cachify_t *opened(bool prefixed)
{
    static cachify_t *instances[2];
    if (instances[prefixed] != NULL)
        return instances[prefixed];
    cachify_config_t config = {.fd = memfd_create("keys", MFD_CLOEXEC | MFD_ALLOW_SEALING),
                               .max_locks = 64,
                               .key_max = (uint32_t)(prefixed ? ROOM + 2 : ROOM),
                               .prefix = prefixed ? PREFIX : ""};
    PROPERTY(config.fd > 0 && cachify_open(&config, &instances[prefixed]) == CACHIFY_OK);
    close(config.fd);
    return instances[prefixed];
}

static bool legal_time(int64_t ms)
{
    return (ms >= 0 && ms <= CACHIFY_MAX_MS) || ms == CACHIFY_NEVER;
}

/* What cachify_acquire has to say of a free lock. */
static cachify_status_t expected(const cachify_lock_t *lock, size_t len)
{
    if (!legal_time(lock->exp_ms) || !legal_time(lock->timeout_ms) || lock->value_len > 64 ||
        (lock->value_len > 0 && lock->value == NULL))
        return CACHIFY_INVALID;
    if (lock->key_len == 0)
        len = strlen(lock->key);
    if (len > ROOM)
        return CACHIFY_KEY_TOO_LONG;
    if (len == 0 || memchr(lock->key, '\0', len) != NULL)
        return CACHIFY_INVALID;
    return CACHIFY_OK;
}

static void check_held(cachify_t *instance, const cachify_lock_t *lock, const char *key,
                       cachify_lease_t *lease, int64_t extension)
{
    bool locked = false;
    cachify_info_t info = {0};
    if (lock->exp_ms == 0 || lock->exp_ms > 60000) {
        PROPERTY(cachify_lease_held(lease));
        PROPERTY(cachify_is_locked(instance, key, &locked) == CACHIFY_OK && locked);
        PROPERTY(cachify_query(instance, key, &info) == CACHIFY_OK);
        PROPERTY(info.state == CACHIFY_STATE_HELD && info.pid == getpid());
        PROPERTY(info.token == cachify_lease_token(lease));
        PROPERTY(info.value_len == lock->value_len);
        PROPERTY(lock->value_len == 0 || memcmp(info.value, lock->value, lock->value_len) == 0);
        cachify_lease_t second;
        PROPERTY(cachify_acquire(instance, &(cachify_lock_t){.key = key}, &second) ==
                 CACHIFY_LOCKED);
    }
    cachify_status_t status = fuzz_status(cachify_extend(lease, extension));
    PROPERTY(status == (legal_time(extension) ? CACHIFY_OK : CACHIFY_INVALID));
    PROPERTY(fuzz_status(cachify_release(lease)) == CACHIFY_OK);
    PROPERTY(cachify_is_locked(instance, key, &locked) == CACHIFY_OK && !locked);
}

void fuzz_keys(const uint8_t *data, size_t size)
{
    struct bytes bytes = {data, size};
    char note[256] = "what the job is for";
    size_t len;
    uint8_t flags = fuzz_byte(&bytes);
    cachify_t *instance = opened((flags & 1) != 0);
    cachify_lock_t lock = {
        .size = (flags & 2) != 0 ? (uint32_t)sizeof lock : 0,
        .value = (flags & 4) != 0 ? NULL : note,
        .value_len = fuzz_byte(&bytes),
        .wait = (flags & 8) != 0,
    };
    lock.exp_ms = (int64_t)fuzz_number(&bytes, (flags & 16) != 0 ? 8 : 0);
    lock.timeout_ms = (int64_t)fuzz_number(&bytes, (flags & 32) != 0 ? 8 : 0);
    int64_t extension = (int64_t)fuzz_number(&bytes, (flags & 64) != 0 ? 8 : 0);
    char *key = fuzz_string(&bytes, 2 * ROOM, &len);
    lock.key = key;
    lock.key_len = (flags & 128) != 0 ? (uint32_t)len : 0;

    cachify_lease_t lease = CACHIFY_LEASE_INIT;
    cachify_status_t status = fuzz_status(cachify_acquire(instance, &lock, &lease));
    PROPERTY(status == expected(&lock, len));
    if (status == CACHIFY_OK)
        check_held(instance, &lock, key, &lease, extension);
    cachify_info_t info = {0};
    bool locked;
    size_t cut = strlen(key);
    cachify_status_t by_key = cut == 0     ? CACHIFY_INVALID
                              : cut > ROOM ? CACHIFY_KEY_TOO_LONG
                                           : CACHIFY_OK;
    PROPERTY(fuzz_status(cachify_is_locked(instance, key, &locked)) == by_key);
    PROPERTY(fuzz_status(cachify_query(instance, key, &info)) == by_key);
    PROPERTY(fuzz_status(cachify_release_key(instance, key)) == by_key);
    free(key);
}
