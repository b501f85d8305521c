/* The segment itself, for tools that look and do not lock.
 *
 * A view maps the file read-only, registers nothing, takes no lock and changes nothing;
 * it works on another user's segment that may be read, under full load, and on a copy
 * (no process lives in a copy: its leases that have not expired are OWNER_DEAD).
 * What it lists is each time one consistent lease, the list as a whole is not one moment.
 * A lock that moves during the listing may be listed twice or not at all.
 * Any thread may use a view, several at once, and a forked child too; close it once.
 */
#ifndef CACHIFY_SHM_H
#define CACHIFY_SHM_H

#include <cachify/cachify.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct cachify_shm_view cachify_shm_view_t;

typedef struct cachify_shm_header {
    uint32_t size; /* set by the caller: sizeof(cachify_shm_header_t), or 0 */
    uint32_t version;
    uint64_t bytes; /* of the file */
    uint32_t max_locks;
    uint32_t key_max;
    uint32_t value_max;
    uint32_t max_processes;
    uint32_t records; /* leases it has memory for: max_locks and spares */
    uint32_t groups;
    int64_t age_ms;       /* since it was created, by the monotonic clock */
    uint32_t other_boot;  /* 1: of another boot; its leases are OWNER_DEAD, their times 0 */
    uint32_t max_waiters; /* places in line */
    uint32_t record_size; /* bytes of a lease with its key and value */
    uint32_t format;      /* a number for the layout's sizes and offsets */
    int64_t created_ms;   /* since 1970, by the wall clock of its creator at that moment */
} cachify_shm_header_t;

typedef struct cachify_shm_lease {
    const char *key; /* key_len bytes, not NUL-terminated; valid until the callback returns */
    uint32_t key_len;
    cachify_info_t info; /* its state is never FREE */
} cachify_shm_lease_t;

/* By what a process is known to live, or not to. */
typedef enum cachify_shm_evidence {
    CACHIFY_SHM_BYTE_LOCKED = 1, /* alive: its byte of the file is locked, as only it does */
    CACHIFY_SHM_BYTE_FREE = 2,   /* dead, or it closed the segment: its byte is not locked */
    CACHIFY_SHM_OTHER_BOOT = 3,  /* dead: it was a process of another boot */
    CACHIFY_SHM_NOT_TOLD = 4,    /* the kernel does not tell: counts as alive */
} cachify_shm_evidence_t;

/* An entry that a process has, or had and no other has taken since. */
typedef struct cachify_shm_process {
    uint32_t entry;         /* its number */
    uint32_t evidence;      /* cachify_shm_evidence_t */
    uint32_t leases;        /* that it holds; of a dead one: that it left and nobody took since */
    uint32_t waits;         /* places that it has in line */
    int64_t pid;            /* as it saw itself in its own PID namespace */
    uint64_t pid_namespace; /* inode number, 0 unknown */
    int64_t registered_ms;  /* since it came */
    int64_t asked_ms;       /* since others asked the kernel and heard that it lives; -1: never */
    char command[16];       /* NUL-terminated */
} cachify_shm_process_t;

typedef struct cachify_shm_counts {
    uint32_t size;      /* set by the caller: sizeof(cachify_shm_counts_t), or 0 */
    uint32_t held;      /* words that name a lease, live or not */
    uint32_t idle;      /* words that keep a released lock warm */
    uint32_t inserting; /* candidates */
    uint32_t taken;     /* records in use, whatever for */
    uint32_t processes; /* entries of living processes */
    uint32_t waiters;
    uint32_t overflowing;  /* groups with their overflow bit set */
    uint32_t longest_path; /* groups on the longest probe path */
} cachify_shm_counts_t;

/* Open by name or path, both NULL: the user's own.  OK; INVALID, PERMISSION,
 * INCOMPATIBLE, CORRUPT, NO_MEMORY, SYSTEM (ENOENT when there is none). */
CACHIFY_API cachify_status_t cachify_shm_open(const char *name, const char *path,
                                              cachify_shm_view_t **view);
CACHIFY_API void cachify_shm_close(cachify_shm_view_t *view); /* NULL is fine */

/* The file's path, valid until the view is closed ("" for NULL); and its numbers: OK; INVALID. */
CACHIFY_API const char *cachify_shm_path(const cachify_shm_view_t *view);
CACHIFY_API cachify_status_t cachify_shm_header(const cachify_shm_view_t *view,
                                                cachify_shm_header_t *header);

/* Call fn for every lease that is held, or was and not taken since, in no order that means
 * anything.  A non-zero return ends the walk and is returned through *ended (NULL allowed).
 * command is "" where the entry of a dead holder has a new process already.
 * OK; INVALID; NO_MEMORY. */
CACHIFY_API cachify_status_t cachify_shm_leases(const cachify_shm_view_t *view,
                                                int (*fn)(void *context,
                                                          const cachify_shm_lease_t *lease),
                                                void *context, int *ended);

/* Call fn for everybody who waits, in order of arrival.  key_len is 0 where the lock is between
 * two holders at that moment.  A non-zero return ends the walk and is returned through *ended
 * (NULL allowed).  OK; INVALID; NO_MEMORY. */
CACHIFY_API cachify_status_t cachify_shm_waiters(const cachify_shm_view_t *view,
                                                 int (*fn)(void *context,
                                                           const cachify_waiter_t *waiter),
                                                 void *context, int *ended);

/* Call fn for every entry that a process has or had, in the order of their numbers.  A non-zero
 * return ends the walk and is returned through *ended (NULL allowed).
 * OK; INVALID; NO_MEMORY. */
CACHIFY_API cachify_status_t cachify_shm_processes(const cachify_shm_view_t *view,
                                                   int (*fn)(void *context,
                                                             const cachify_shm_process_t *process),
                                                   void *context, int *ended);

/* Looks at every word, record and entry.  OK; INVALID; NO_MEMORY. */
CACHIFY_API cachify_status_t cachify_shm_count(const cachify_shm_view_t *view,
                                               cachify_shm_counts_t *counts);

/* Look whether all that lies in the segment is what the library leaves there, and tell fn (NULL
 * allowed) a sentence for each thing that is not: words that name what does not exist, two that
 * name one lease or one key, leases where nobody would find them.  What processes change, leave
 * when they die or have under way is no such thing: a finding means that somebody else wrote
 * into the segment, that its memory failed, or a defect of the library.  What looks wrong is
 * looked at again 10 ms later, and told if it is wrong still.  A non-zero return of fn ends it.
 * *findings (NULL allowed): how many were told.  OK, whatever was found; INVALID; NO_MEMORY. */
CACHIFY_API cachify_status_t cachify_shm_check(const cachify_shm_view_t *view,
                                               int (*fn)(void *context, const char *finding),
                                               void *context, uint64_t *findings);

/* Give back what dead processes left in the instance's segment (shared-memory clients only):
 * their leases, records, entries and waits; and expired leases.  Not needed in normal use:
 * whoever runs short does it.  OK; NOT_INITIALIZED; INVALID (another client); GONE. */
CACHIFY_API cachify_status_t cachify_shm_sweep(cachify_t *instance);

#ifdef __cplusplus
}
#endif

#endif
