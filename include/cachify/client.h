/* The client contract: the store behind the locks.
 *
 * A client keeps values under keys for a time, and can set one only if there is none: set, get
 * and del are all that it must have.  The shared-memory client is the default; a user's own is
 * given in cachify_config_t.client.  That struct is copied by cachify_open; `self` must live until
 * `destroy` is called, which happens once, when the instance and its last lease are gone (and not
 * at all if cachify_open fails).  So a client belongs to one instance.
 *
 * Calls come from any thread at once, and never for a key that is empty, has a NUL byte or exceeds
 * key_max.  Times are milliseconds, CACHIFY_NEVER for none; clients refuse nothing that is in
 * range.  No call may leave by longjmp or exception, and each leaves errno as it was.  What they
 * return other than OK, LOCKED and LOST is the caller's answer, with what cachify_report said.
 *
 * A client that can do better has the owner-checked operations, from acquire to query, all of
 * them.  For one that has not, they are made of set, get and del: each acquisition stores a value
 * of its own (at most CACHIFY_MARK_BYTES, then the lock's note), and release and extend get it and
 * compare.  What is not atomic then:
 *  - between that get and the del or set after it, the lease may expire and another take the lock:
 *    the release frees, or the extend ends, the other's lease.  Leases that are over by this
 *    process's clock are never released so, but a process that is stopped just there does harm;
 *  - a late extend may find that another has had the lock meanwhile, and has given it back;
 *  - a lease that is over is LOST to whoever releases it, even where nobody took the lock;
 *  - there is no token (it is 0), and what is told of the holder is what it wrote down itself;
 *  - to ask a lease is to get its value, so not for signal handlers;
 *  - who waits asks once a poll interval.
 *
 * `make check-client CLIENT=...` puts a client through all that is written here (tests/client/).
 */
#ifndef CACHIFY_CLIENT_H
#define CACHIFY_CLIENT_H

#include <cachify/cachify.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What to acquire, or set. */
typedef struct cachify_request {
    const char *key; /* with its prefix; zero-padded to a multiple of 8 bytes */
    uint32_t key_len;
    uint32_t value_len;
    const void *value;
    int64_t exp_ms;
    bool same_key; /* as in this caller's last request: what was derived from it still holds */
} cachify_request_t;

/* What a client keeps of one acquisition: part of the caller's lease. */
typedef struct cachify_grant {
    uint64_t token; /* strictly increasing for a key; 0 if the client has none */
    uint64_t previous_token;
    int64_t previous_pid;
    uint32_t how; /* cachify_how_t */
    uint32_t reserved;
    uint64_t store[6]; /* the client's own */
} cachify_grant_t;

/* A thread of this process, as one instance knows it. */
typedef struct cachify_caller {
    uint32_t serial;       /* of the thread, from 1; never used again in this process */
    uint32_t thread_id;    /* the kernel's */
    uint64_t store[16];    /* the client's own, zero at first */
    cachify_info_t holder; /* who holds the lock: filled with a LOCKED answer; value_len is what
                              there is in value, at most 64 */
    bool holder_is_self;   /* this very thread, with a lease that never expires */
    bool same_key;         /* is_locked's key, as in this caller's last request or is_locked */
} cachify_caller_t;

/* A failure's details: clients report what was asked and what was found through this
 * (printf's format); the text becomes cachify_last_error().  Returns status. */
CACHIFY_API cachify_status_t cachify_report(cachify_status_t status, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    ;

/* What an acquisition by set, get and del puts before the note. */
#define CACHIFY_MARK_BYTES 160u

struct cachify_client {
    uint32_t size;      /* sizeof(cachify_client_t) */
    uint32_t key_max;   /* bytes; 0: 4096 */
    uint32_t value_max; /* bytes, at most 4096; 0: no notes.  Without owner-checked operations the
                           mark is part of them, so at least CACHIFY_MARK_BYTES, or 0: 4096 */
    uint32_t reserved;
    void *self;

    /* The store.  set with nx: exactly one of any number of concurrent callers succeeds
     * (OK), the others get LOCKED; without: overwrites, and so ends another's lease.  The value
     * is there for exp_ms, and not after.
     * get: *len is room on entry, the value's length on return; LOST if there is none; INVALID,
     * and nothing is touched, if it is longer.  Sees what was set by whoever was done before.
     * del: OK whether there was one or not; wakes waiters. */
    cachify_status_t (*set)(void *self, cachify_caller_t *, const cachify_request_t *, bool nx);
    cachify_status_t (*get)(void *self, cachify_caller_t *, const char *key, uint32_t key_len,
                            void *value, uint32_t *len);
    cachify_status_t (*del)(void *self, cachify_caller_t *, const char *key, uint32_t key_len);

    /* Owner-checked operations, each one atomic step.  acquire: OK, with the whole grant
     * filled, or LOCKED, with caller->holder filled and the grant untouched.  release, extend: OK
     * or LOST.  A grant may be released by one thread while another extends it: release wins.
     * extend succeeds late, too, as long as nobody took the lock. */
    cachify_status_t (*acquire)(void *self, cachify_caller_t *, const cachify_request_t *,
                                cachify_grant_t *);
    cachify_status_t (*release)(void *self, cachify_caller_t *, cachify_grant_t *);
    cachify_status_t (*extend)(void *self, cachify_caller_t *, cachify_grant_t *, int64_t exp_ms);
    /* Still mine?  Nanoseconds left, 0 if not, CACHIFY_NEVER. */
    int64_t (*remaining_ns)(void *self, cachify_caller_t *, const cachify_grant_t *);
    /* Sleep until the key may have come free, at most for max_ns.  May return early.  Who waits
     * calls it again and again, after tries to acquire, and wait_end at last: got says whether
     * the lock was had; if not, caller->holder.waiters may be set.  Both may be NULL. */
    cachify_status_t (*wait)(void *self, cachify_caller_t *, const cachify_request_t *,
                             int64_t max_ns);
    void (*wait_end)(void *self, cachify_caller_t *, const cachify_request_t *, bool got);
    /* Waiting from an event loop (cachify_acquire_start).  All three, or none: then the lock is
     * tried once a poll interval.  pend: from now on let timer, a timerfd, expire at once
     * whenever the lock may be had, and at until (ns, CLOCK_MONOTONIC; UINT64_MAX never) in any
     * case; look at the lock yourself every poll_ns.  The request stays valid until the end.
     * pend_try: as acquire; if LOCKED, the timer is set anew.  pend_end: got, whether the lock
     * was had.  Calls for one pending come from any thread, one at a time. */
    cachify_status_t (*pend)(void *self, cachify_caller_t *, const cachify_request_t *, int timer,
                             uint64_t until, uint64_t poll_ns, void **pending);
    cachify_status_t (*pend_try)(void *self, cachify_caller_t *, const cachify_request_t *,
                                 void *pending, cachify_grant_t *);
    void (*pend_end)(void *self, cachify_caller_t *, void *pending, bool got);
    /* Who holds it; *info is overwritten. */
    cachify_status_t (*query)(void *self, cachify_caller_t *, const char *key, uint32_t key_len,
                              cachify_info_t *);
    /* Whether query would find it held, for less; may be NULL. */
    cachify_status_t (*is_locked)(void *self, cachify_caller_t *, const char *key, uint32_t key_len,
                                  bool *locked);

    /* Who waits, as cachify_waiters tells it; may be NULL. */
    cachify_status_t (*waiters)(void *self, cachify_caller_t *, const char *key, uint32_t key_len,
                                int (*fn)(void *context, const cachify_waiter_t *), void *context);

    /* A thread is about to make its first call (also each thread of a forked child), or
     * has made its last: this one within a lock of the library's, so it must neither call the
     * library nor wait for another thread.  May be NULL. */
    cachify_status_t (*enter)(void *self, cachify_caller_t *);
    void (*leave)(void *self, cachify_caller_t *);
    void (*destroy)(void *self);
};

/* For languages that cannot read this file: all zero, size included. */
CACHIFY_API void cachify_client_init(cachify_client_t *client);

/* A client in the memory of this process, for locks between its threads: nothing is shared with
 * others, and a child made by fork begins with none held.  Owner-checked, with tokens; waiters are
 * woken by the release, first come first called; poll_interval_ms is not needed.  max_locks: at
 * most so many held (0: 16384); then acquire is FULL.  Fills *client, for one cachify_open.  OK;
 * INVALID; NO_MEMORY (but liburcu ends the process where it has no memory for the table). */
CACHIFY_API cachify_status_t cachify_memory_client(uint32_t max_locks, cachify_client_t *client);

#ifdef __cplusplus
}
#endif

#endif
