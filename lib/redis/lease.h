/* What this process knows of the leases it has: to ask them costs no word with the server, and no
 * lock, so that signal handlers may. */
#ifndef CR_LEASE_H
#define CR_LEASE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

#include "redis/system.h"

#define CR_LEASE_CHUNK 256u
#define CR_LEASE_CHUNKS 4096u

/* Memory that stays until the client goes; used again for other leases.  A lease is known by its
 * number, which is never used again: its place and how often that was used. */
struct cr_lease {
    _Atomic uint64_t number;   /* 0: none */
    _Atomic uint64_t deadline; /* cr_lease_now_ns; 0: over; UINT64_MAX: never */
    /* The rest is guarded by the list's lock. */
    uint32_t place, uses;
    uint32_t serial; /* of the thread that it would wait for itself in; 0: none */
    bool again;      /* the acquisition was sent more than once */
    uint32_t key_len;
    uint32_t value_len;
    char *text; /* key, value */
    struct cr_lease *next_free;
};

struct cr_leases {
    pthread_mutex_t lock;
    struct cr_lease *chunk[CR_LEASE_CHUNKS];
    uint32_t count; /* places ever used */
    struct cr_lease *free;
};

bool cr_leases_init(struct cr_leases *all);
void cr_leases_free(struct cr_leases *all);

/* A new one, not to be found yet as held: NULL, and why (NO_MEMORY, FULL). */
struct cr_lease *cr_lease_make(struct cr_leases *all, struct cr_failure *f);
/* What it is of; its text is to be freed with it.  Then it may be asked. */
void cr_lease_begin(struct cr_leases *all, struct cr_lease *lease, uint64_t deadline,
                    const struct cr_lease *facts);
/* A copy of what is known, with a text of its own, to be freed.  False: there is no such lease, or
 * (and *f says so) no memory. */
bool cr_lease_look(struct cr_leases *all, struct cr_lease *lease, uint64_t number,
                   struct cr_lease *copy, struct cr_failure *f);
/* It is another's, or nobody's, by now; but to be released still. */
void cr_lease_end(struct cr_leases *all, uint64_t number);
/* Has another deadline.  serial: of who extended it. */
void cr_lease_renew(struct cr_leases *all, struct cr_lease *lease, uint64_t number,
                    uint64_t deadline, uint32_t serial);
/* Is no more.  False: there was none. */
bool cr_lease_drop(struct cr_leases *all, struct cr_lease *lease, uint64_t number);

/* Async-signal-safe. */
uint64_t cr_lease_deadline(const struct cr_lease *lease, uint64_t number);
/* Whether it is this thread's, never expires, and was not extended by another. */
bool cr_lease_is_self(struct cr_leases *all, uint64_t number, uint32_t serial);

#endif
