/* Somebody who keeps locks: the library, or what would be picked instead.  A peer is an entry of
 * the table in peers.c; what it does not have is NULL, and it is left out of the cases that ask for
 * it. */
#ifndef BENCH_PEERS_PEER_H
#define BENCH_PEERS_PEER_H

#include <stdbool.h>
#include <stddef.h>

#define KEYS 1000u     /* that have a number */
#define MANY_KEYS 64u  /* of them a process each may have one; the peer may open them ahead */
#define LEASE_MS 30000 /* for whoever has leases */
#define POLL_US 100000 /* the reference's interval, for whoever cannot sleep for a lock */
#define HOT "order-12345"

/* What is measured in a loop, in ns an operation unless the case has another unit. */
enum loop {
    PAIR,        /* take and give one key */
    PAIR_GLOBAL, /* through the global instance */
    ACQUIRE,     /* the first half of a pair */
    RANDOM_KEYS, /* a pair on one of KEYS */
    BUSY,        /* be told that another has it */
    IS_LOCKED,
    EXTEND,
    LEASE_HELD,
    EXPIRED,    /* take what has expired */
    FRESH_KEYS, /* a pair on a name that was never seen */
    OPEN_CLOSE, /* get ready to use it, and end that */
    REGISTER,   /* get ready while others are: us */
    HELD,       /* a pair on a free key while many are held */
    FILL,       /* take so many */
    LIST,       /* list so many: s */
    LOCK_BYTES, /* bytes a lock */
    TEXT_BYTES, /* bytes of program */
    LOOPS
};

/* One key's lock, as processes use it. */
struct lock {
    void (*attach)(void); /* in a forked process, before all else; NULL: nothing to do */
    void (*take)(void);   /* waits while another has it */
    void (*give)(void);
    void (*hold)(void); /* take, and keep until death, which frees it; NULL: that would not */
    void (*take_key)(unsigned key); /* one that is free */
    void (*give_key)(unsigned key);
};

struct peer {
    const char *name;
    /* NULL, or what is missing, with the Debian package that brings it. */
    const char *(*open)(void);
    void (*version)(char *text, size_t room);
    double (*loop[LOOPS])(long n);
    const struct lock *lock;
    const struct lock *async; /* the lock as an event loop takes it */
    const struct lock *pool;  /* as threads of one process take it */
    bool polls;               /* who waits sleeps POLL_US and looks again */
    /* Hold so many keys, and give them back. */
    void (*fill)(long count);
    void (*empty)(long count);
    long fill_most;
};

extern const struct peer *const peers[];
extern const unsigned peer_count;

extern const struct peer cachify_peer, cachify_empty_peer;
extern const struct peer inspect_table_peer, inspect_raw_peer, inspect_json_peer;
extern const struct peer robust_mutex_peer, plain_mutex_peer;
extern const struct peer semaphore_peer;
extern const struct peer flock_peer, flock_name_peer;
extern const struct peer ofd_peer;
extern const struct peer sysv_peer;
extern const struct peer boost_peer;
extern const struct peer redis_peer;
extern const struct peer memcached_peer;
extern const struct peer py_memory_peer, py_redis_peer;
extern const struct peer protocol_memory_peer, protocol_redis_peer;

void version_of_libc(char *text, size_t room);
void version_of_kernel(char *text, size_t room);

#endif
