/* The process-memory client, as its two halves know it: leases (client_memory.c) and those who
 * wait for them (memory_wait.c). */
#ifndef CF_CLIENTS_MEMORY_H
#define CF_CLIENTS_MEMORY_H

#include "clients/memory_line.h"
#include "clients/memory_table.h"

#define CF_MEMORY_LINES 64u

struct cf_memory {
    uint64_t process; /* serial of the process whose table it is */
    uint32_t max_locks;
    int64_t pid;
    char command[16];
    struct cf_memory_table table;
    struct cf_memory_line line[CF_MEMORY_LINES]; /* a key's is found by its hash */
};

static inline struct cf_memory_line *cf_memory_line_of(struct cf_memory *m, uint64_t hash)
{
    return &m->line[hash % CF_MEMORY_LINES];
}

static inline uint32_t cf_memory_count_waiters(struct cf_memory *m, uint64_t hash)
{
    return cf_memory_line_each(cf_memory_line_of(m, hash), hash, NULL, NULL);
}

/* Until when the lock is held, monotonic clock: UINT64_MAX without end, 0 if it is not. */
uint64_t cf_memory_held_until(struct cf_memory *m, const struct cf_wanted *w);

/* What cachify/client.h says of them. */
cachify_status_t cf_memory_acquire(void *self, cachify_caller_t *caller,
                                   const cachify_request_t *request, cachify_grant_t *grant);
cachify_status_t cf_memory_wait(void *self, cachify_caller_t *caller,
                                const cachify_request_t *request, int64_t max_ns);
void cf_memory_wait_end(void *self, cachify_caller_t *caller, const cachify_request_t *request,
                        bool got);
cachify_status_t cf_memory_pend(void *self, cachify_caller_t *caller,
                                const cachify_request_t *request, int timer, uint64_t until,
                                uint64_t poll_ns, void **pending);
cachify_status_t cf_memory_pend_try(void *self, cachify_caller_t *caller,
                                    const cachify_request_t *request, void *pending,
                                    cachify_grant_t *grant);
void cf_memory_pend_end(void *self, cachify_caller_t *caller, void *pending, bool got);
cachify_status_t cf_memory_waiters(void *self, cachify_caller_t *caller, const char *key,
                                   uint32_t key_len,
                                   int (*fn)(void *context, const cachify_waiter_t *),
                                   void *context);

#endif
