/* cachify: named locks with leases, for the processes of one host.
 *
 * What to know before anything else:
 *
 *  - A lease is not a mutex.  It ends when it expires, even if its holder works on.
 *    A holder that may outlive its lease renews it (cachify_extend), asks before it
 *    writes (cachify_lease_held), and hands its token (cachify_lease_token) to whatever
 *    it writes to, which refuses a token smaller than the largest it has seen.
 *  - A lease belongs to the process that took it.  A child made by fork() has none.
 *  - Any thread of that process may use a lease; extend and release may race.
 *  - Locks are not reentrant.
 *  - Times are milliseconds in int64_t.  Only a monotonic clock decides; time that the
 *    machine sleeps (suspend) does not count.
 *
 * Every function returns a cachify_status_t, 0 for success, unless it cannot fail.
 * Out-parameters are untouched on failure, errno always.  cachify_last_error() has the
 * details of this thread's last failure.  Functions may be called by any thread at any
 * time.  A thread's first call on an instance may also be NO_MEMORY, and a forked child's FULL,
 * GONE or SYSTEM.  After fork() the child may use all of them; it gets an entry of its own in the
 * segment at its first call.  A signal handler may only call cachify_strerror and, in a
 * thread that has used the lease's instance before, ask a lease (of a built-in client).
 *
 * Option structs begin with their size: 0 is the first version's, a larger one than the
 * library knows is accepted if the rest is zero.  Zero in any other field is its default.
 */
#ifndef CACHIFY_CACHIFY_H
#define CACHIFY_CACHIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define CACHIFY_API __attribute__((visibility("default")))
#else
#define CACHIFY_API
#endif

/* Answers.  The values are fixed once and for all. */
typedef enum cachify_status {
    CACHIFY_OK = 0,
    CACHIFY_LOCKED = 1,          /* somebody holds the lock */
    CACHIFY_TIMEOUT = 2,         /* somebody still held it at the end of timeout_ms */
    CACHIFY_LOST = 3,            /* the lease had ended and another has the lock, or had it */
    CACHIFY_DEADLOCK = 4,        /* this thread would wait for ever for a lease that it took
                                    itself through this instance, and that no other thread has
                                    extended since */
    CACHIFY_NOT_INITIALIZED = 5, /* no cachify_init before a call on the global instance */
    CACHIFY_INVALID = 6,         /* an argument is not what it has to be */
    CACHIFY_KEY_TOO_LONG = 7,
    CACHIFY_FULL = 8,          /* no room for another lease, process or file */
    CACHIFY_NO_MEMORY = 9,     /* of this process */
    CACHIFY_PERMISSION = 10,   /* file permissions, or a segment of another user */
    CACHIFY_INCOMPATIBLE = 11, /* another layout version, or a clock that does not fit */
    CACHIFY_CORRUPT = 12,      /* what lies in the segment cannot be right */
    CACHIFY_GONE = 13,         /* the segment was unlinked, replaced or truncated */
    CACHIFY_CANCELLED = 14,    /* the acquisition was a forked child's parent's */
    CACHIFY_PENDING = 15,      /* not yet: wait for the descriptor again */
    CACHIFY_SYSTEM = 16        /* a system call failed; errno is in cachify_last_error */
} cachify_status_t;

/* No expiry; no limit to waiting. */
#define CACHIFY_NEVER INT64_MAX
/* The longest expiry or timeout that is not CACHIFY_NEVER: a hundred years. */
#define CACHIFY_MAX_MS INT64_C(3155760000000)

typedef struct cachify_instance cachify_t;      /* an instance */
typedef struct cachify_async cachify_async_t;   /* an acquisition that is pending */
typedef struct cachify_client cachify_client_t; /* <cachify/client.h> */

/* An instance: where its locks lie, and their defaults. */
typedef struct cachify_config {
    uint32_t size; /* sizeof(cachify_config_t), or 0 */
    uint32_t mode; /* permissions of a segment that is created, whatever the umask; 0600 */

    /* The segment: at most one of name, path, fd.  None: the user's own, /dev/shm/cachify.UID. */
    const char *name; /* /dev/shm/NAME: no '/', not "." or ".." */
    const char *path; /* any file system with shared mappings */
    int32_t fd;       /* > 0: a memfd, which is sealed against shrinking; stays the caller's.
                         An empty one is made into a segment. */
    uint32_t flags;   /* CACHIFY_ANY_OWNER */

    /* For the process that creates the segment; one that exists stays as it is. */
    uint32_t max_locks; /* leases at one time; 16384, at most 6000000.  Each thread that has
                           used the segment keeps a record; beyond 256 such threads, or
                           max_locks / 16 if that is more, it is full that much sooner */
    uint32_t key_max;   /* bytes of a key with its prefix; 192, at most 4096 */
    uint32_t value_max; /* bytes of a lock's value; 64, at most 4096 */
    uint32_t reserved;

    const char *prefix;       /* put before every key; NULL is "PYC-", "" is none */
    int64_t default_exp_ms;   /* of locks that say none; 30000 */
    int64_t poll_interval_ms; /* a waiter looks again by then; 100, at most an hour */
    const cachify_client_t
        *client; /* NULL: shared memory.  See <cachify/client.h> for ownership. */
} cachify_config_t;

/* Open a segment that is neither this user's nor root's.  Whoever owns it can disturb every lock in it. */
#define CACHIFY_ANY_OWNER 1u

/* What to lock and how.  No state: may be shared, reused, constant. */
typedef struct cachify_lock {
    uint32_t size;      /* sizeof(cachify_lock_t), or 0 */
    uint32_t key_len;   /* bytes of key; 0: up to its NUL */
    const char *key;    /* 1 to key_max bytes with the prefix, any but NUL */
    bool wait;          /* false: a busy lock is CACHIFY_LOCKED at once */
    int64_t timeout_ms; /* with wait: how long; 0 or CACHIFY_NEVER: without limit */
    int64_t exp_ms;     /* the lease's length; 0: the instance's default; CACHIFY_NEVER */
    const void *value;  /* a note kept with the lease (job id, purpose), shown to whoever asks; */
    uint32_t value_len; /* at most value_max bytes */
} cachify_lock_t;

/* The proof of one acquisition.  Lives in the caller's memory, holds no other; not to be
 * copied or moved: of two copies one can release, and what the instance needs is given back
 * only with the one that cachify_acquire filled.  CACHIFY_LEASE_INIT is empty. */
typedef struct cachify_lease {
    uint64_t opaque[20];
} cachify_lease_t;
#ifdef __cplusplus
#define CACHIFY_LEASE_INIT                                                                         \
    {                                                                                              \
    }
#else
#define CACHIFY_LEASE_INIT                                                                         \
    {                                                                                              \
        {                                                                                          \
            0                                                                                      \
        }                                                                                          \
    }
#endif

/* How a lock was got. */
typedef enum cachify_how {
    CACHIFY_FRESH = 0,      /* it was free */
    CACHIFY_EXPIRED = 1,    /* it had expired: its holder may still believe in it */
    CACHIFY_OWNER_DIED = 2, /* its holder died: what it did may be half done */
} cachify_how_t;

typedef struct cachify_origin {
    uint32_t size;           /* set by the caller: sizeof(cachify_origin_t), or 0 */
    uint32_t how;            /* cachify_how_t */
    int64_t previous_pid;    /* of who had it, as that process saw itself; 0 if fresh */
    uint64_t previous_token; /* 0 if fresh */
} cachify_origin_t;

/* What is known of one key. */
typedef enum cachify_state {
    CACHIFY_STATE_FREE = 0,
    CACHIFY_STATE_HELD = 1,
    CACHIFY_STATE_EXPIRED = 2,    /* free, but nobody took it since it expired */
    CACHIFY_STATE_OWNER_DEAD = 3, /* free, but nobody took it since its holder died */
    CACHIFY_STATE_KEPT = 4,       /* free, and kept a moment for who has waited longest: told
                                     with LOCKED and TIMEOUT only, never by cachify_query */
} cachify_state_t;

typedef struct cachify_info {
    uint32_t size;        /* set by the caller: sizeof(cachify_info_t), or 0 */
    uint32_t state;       /* cachify_state_t; of a free one only state and waiters are set */
    int64_t pid;          /* of the holder, as it sees itself in its own PID namespace */
    int64_t thread;       /* kernel thread id of who acquired */
    int64_t held_ms;      /* since it was acquired */
    int64_t remaining_ms; /* 0 when over; CACHIFY_NEVER */
    uint64_t token;
    uint32_t waiters; /* how many wait for it */
    uint32_t value_len;
    char value[64];   /* the first bytes of it; cachify_get has all */
    char command[16]; /* of the holder, NUL-terminated */
} cachify_info_t;

/* Somebody who waits for a lock. */
typedef struct cachify_waiter {
    const char *key; /* with its prefix, key_len bytes, not NUL-terminated */
    uint32_t key_len;
    bool event_loop;     /* by cachify_acquire_start: nobody sleeps */
    int64_t pid;         /* as it sees itself in its own PID namespace */
    int64_t thread;      /* kernel thread id */
    int64_t waited_ms;   /* since it came */
    int64_t awaited_pid; /* who has to go first: the holder, or who is before it in line;
                            0: not known at this moment */
    char command[16];    /* NUL-terminated */
    char awaited_command[16];
} cachify_waiter_t;

/* The global instance, for calls with a NULL instance.  NULL config: all defaults.
 * init again replaces it safely under running threads: calls under way, and leases
 * taken before, stay with the old one.  Statuses as cachify_open; shutdown without init
 * is OK. */
CACHIFY_API cachify_status_t cachify_init(const cachify_config_t *config);
CACHIFY_API cachify_status_t cachify_shutdown(void);

/* An instance of one's own.  OK; INVALID (an option), PERMISSION, INCOMPATIBLE, CORRUPT,
 * FULL (no space for the file, or all process entries taken: every open instance has one, at
 * least 64 to a segment, a sixteenth of max_locks, at most 4096), NO_MEMORY, SYSTEM.
 * close: OK, also for NULL; INVALID if it was closed before.  Leases stay usable: what
 * they need goes with the last of them. */
CACHIFY_API cachify_status_t cachify_open(const cachify_config_t *config, cachify_t **instance);
CACHIFY_API cachify_status_t cachify_close(cachify_t *instance);

/* Take a lock, or wait for it.  *lease is overwritten without a look; release it first.
 * OK; LOCKED; TIMEOUT; DEADLOCK; NOT_INITIALIZED; INVALID; KEY_TOO_LONG; FULL (max_locks
 * live leases); CORRUPT; GONE; SYSTEM. */
CACHIFY_API cachify_status_t cachify_acquire(cachify_t *instance, const cachify_lock_t *lock,
                                             cachify_lease_t *lease);

/* The same from an event loop (poll, epoll, libuv, libev, GLib): nothing here blocks.
 *
 *     cachify_acquire_start(instance, &lock, &async);
 *     ... when cachify_async_fd(async) is readable:
 *     status = cachify_async_finish(async, &lease);
 *     ... CACHIFY_PENDING: wait for the descriptor again; anything else: async is gone
 *
 * start: lock, its key and its note are copied.  A lock that is free is taken at once, and
 * held from then on; a busy one with wait false is LOCKED.  OK, with *async to be finished or
 * cancelled; LOCKED; NOT_INITIALIZED; INVALID; KEY_TOO_LONG; FULL; CORRUPT; GONE; NO_MEMORY
 * (also: no thread), SYSTEM (no descriptor).
 * fd: the descriptor, readable as long as there is something to do: the lock may be had, or
 * timeout_ms is over.  It is the library's: do not read it, set it or close it; take it out of
 * the loop before finish or cancel, which close it.  -1 for NULL.
 * finish: OK, and the lease is held; TIMEOUT; PENDING, and async lives on; CANCELLED in a
 * forked child, whose parent goes on undisturbed; else as start.  Where a thread's first call
 * on the instance cannot be made (NO_MEMORY and the like), async lives on as well, also in cancel.  A lock that was kept for the
 * loop goes to the next who waits if nobody comes to finish within 2 ms.
 * cancel: OK, also for NULL; a lock that was had by then is given back.
 * Any thread may call these, one at a time for one async.  After the lock has come free by
 * release, expiry, force or its owner's death the descriptor is readable within about a
 * millisecond (a client without `pend` is asked once a poll interval instead).  DEADLOCK is not
 * looked for. */
CACHIFY_API cachify_status_t cachify_acquire_start(cachify_t *instance, const cachify_lock_t *lock,
                                                   cachify_async_t **async);
CACHIFY_API int cachify_async_fd(const cachify_async_t *async);
CACHIFY_API cachify_status_t cachify_async_finish(cachify_async_t *async, cachify_lease_t *lease);
CACHIFY_API cachify_status_t cachify_async_cancel(cachify_async_t *async);

/* Give it back.  OK, also for an empty lease; LOST (nobody else is hurt); INVALID in a
 * forked child (the parent keeps it); GONE; CORRUPT.  The lease is empty afterwards, unless
 * the status is NO_MEMORY, or whatever kept a thread's first call on the instance from being
 * made: then it is held as before. */
CACHIFY_API cachify_status_t cachify_release(cachify_lease_t *lease);

/* From now on for exp_ms (0: the instance's default; CACHIFY_NEVER), token unchanged.  Succeeds late too,
 * as long as nobody took the lock, released it by key, or ran short of room and gave back what had
 * expired.  OK; LOST (also for an empty lease); INVALID; FULL (no room to write it down); GONE;
 * CORRUPT. */
CACHIFY_API cachify_status_t cachify_extend(cachify_lease_t *lease, int64_t exp_ms);

/* Ask the lease.  These cannot fail.  held: still mine at this moment (false in a forked
 * child); token: 0 if empty, or of a client without tokens; remaining_ms: 0 if over, lost or empty, CACHIFY_NEVER;
 * origin: how it was got (fills *origin if not NULL; FRESH if empty). */
CACHIFY_API bool cachify_lease_held(const cachify_lease_t *lease);
CACHIFY_API uint64_t cachify_lease_token(const cachify_lease_t *lease);
CACHIFY_API int64_t cachify_lease_remaining_ms(const cachify_lease_t *lease);
CACHIFY_API cachify_how_t cachify_lease_origin(const cachify_lease_t *lease,
                                               cachify_origin_t *origin);

/* By key (NUL-terminated, without the prefix).  is_locked: true only for a live lease;
 * changes nothing.  release_key: whoever holds it loses it; wakes waiters; OK also when
 * it was free.  query: state FREE is OK too.
 * OK; NOT_INITIALIZED; INVALID; KEY_TOO_LONG; GONE; CORRUPT. */
CACHIFY_API cachify_status_t cachify_is_locked(cachify_t *instance, const char *key, bool *locked);
CACHIFY_API cachify_status_t cachify_release_key(cachify_t *instance, const char *key);
CACHIFY_API cachify_status_t cachify_query(cachify_t *instance, const char *key,
                                           cachify_info_t *info);

/* The store behind the locks, for whoever wants set-if-not-exists itself.  set: the lock's value
 * under its key, for its expiry; wait is not looked at.  nx: OK for exactly one of any number of
 * callers at once if there is none, else LOCKED.  Without nx it overwrites, and so ends another's
 * lease.  What is set is held as a lease is, without the proof: it ends by expiry, by
 * cachify_release_key, which is the store's delete, or (shared memory) with the instance that set
 * it: when that is closed and its last lease gone, and so with its process.  A value is whatever
 * the lock's holder gave.
 * get: *len is room on entry, the value's length on return; LOST if nobody holds the lock; INVALID
 * if the value is longer (it has at most 4096 bytes).  Else as cachify_acquire and cachify_query; INVALID also for a client
 * that has not the operation. */
CACHIFY_API cachify_status_t cachify_set(cachify_t *instance, const cachify_lock_t *lock, bool nx);
CACHIFY_API cachify_status_t cachify_get(cachify_t *instance, const char *key, void *value,
                                         uint32_t *len);

/* How long a key (without the prefix) and a value may be, in bytes; either may be NULL.  OK;
 * NOT_INITIALIZED; INVALID. */
CACHIFY_API cachify_status_t cachify_limits(cachify_t *instance, uint32_t *key_max,
                                            uint32_t *value_max);

/* Call fn for everybody who waits for the key, in order of arrival, until it returns other
 * than 0.  What it is given is valid until it returns; it must not call the library.  OK, also
 * where nobody waits; INVALID (also: a client that cannot tell); NO_MEMORY; else as query. */
CACHIFY_API cachify_status_t cachify_waiters(cachify_t *instance, const char *key,
                                             int (*fn)(void *context,
                                                       const cachify_waiter_t *waiter),
                                             void *context);

/* A fixed text for a status (any number).  Never NULL. */
CACHIFY_API const char *cachify_strerror(cachify_status_t status);

/* What this thread's last failed call found: what was given, what was expected; for a
 * busy lock who holds it, since when, until when.  Never NULL, "" before the first
 * failure; valid until the thread's next call. */
CACHIFY_API const char *cachify_last_error(void);

/* "MAJOR.MINOR.PATCH" of the library linked. */
CACHIFY_API const char *cachify_version(void);

/* For languages that cannot read this file.  sizeof: bytes of a public struct by its name, such
 * as "cachify_lock_t"; 0 for what is none.  The others fill a struct with its defaults (what {0}
 * is in C), its size included where it has one; NULL is ignored. */
CACHIFY_API size_t cachify_sizeof(const char *type);
CACHIFY_API void cachify_config_init(cachify_config_t *config);
CACHIFY_API void cachify_lock_init(cachify_lock_t *lock);
CACHIFY_API void cachify_lease_init(cachify_lease_t *lease);
CACHIFY_API void cachify_origin_init(cachify_origin_t *origin);
CACHIFY_API void cachify_info_init(cachify_info_t *info);

#ifdef __cplusplus
}
#endif

#include <cachify/scope.h>
#include <cachify/wrap.h>

#endif
