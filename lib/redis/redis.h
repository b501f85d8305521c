/* The client, and what its parts say to each other.  README.md has the protocol. */
#ifndef CR_REDIS_H
#define CR_REDIS_H

#include "redis/call.h"
#include "redis/lease.h"
#include "redis/line.h"
#include "redis/pool.h"
#include "redis/value.h"

#define CR_KEY_MAX 4096u
#define CR_GIVEN_BACK_MS "3600000" /* longer than what was sent may be on its way */
#define CR_REMEMBER_MS "600000"    /* the last holder, beyond its lease */

struct cr_orphan;

struct cr_client {
    struct cr_settings settings;
    struct cr_process process; /* whose all the rest is */
    uint64_t id[2];            /* random: no other client has it */
    int64_t pid;
    char host[64], command[16];
    struct cr_pool pool;
    struct cr_scripts scripts;
    struct cr_leases leases;
    struct cr_line line;
    struct cr_client *next; /* of this process; guarded by the registry's lock */

    pthread_mutex_t orphan_lock;
    struct cr_orphan *orphans; /* guarded by it */
    _Atomic bool has_orphans;
    _Atomic uint64_t operations;
};

/* The names beside a lock's own. */
struct cr_names {
    size_t last_len, wait_len;
    char last[CR_KEY_MAX + 16], wait[CR_KEY_MAX + 16];
};
void cr_names_make(struct cr_names *names, const char *key, uint32_t key_len);

/* ---- lock.c: the owner-checked operations ---- */

/* waiter: who waits for it, or NULL.  grant NULL: set. */
cachify_status_t cr_take(struct cr_client *c, cachify_caller_t *caller,
                         const cachify_request_t *request, struct cr_waiter *waiter, bool overwrite,
                         cachify_grant_t *grant);
cachify_status_t cr_release(void *self, cachify_caller_t *caller, cachify_grant_t *grant);
cachify_status_t cr_extend(void *self, cachify_caller_t *caller, cachify_grant_t *grant,
                           int64_t exp_ms);
int64_t cr_remaining_ns(void *self, cachify_caller_t *caller, const cachify_grant_t *grant);

/* One release by owner, as the script does it: 1, 0, or -1 and why. */
int cr_release_owner(struct cr_client *c, const char *key, uint32_t key_len, uint64_t number,
                     uint32_t serial, bool again, bool void_owner, struct cr_failure *f);

/* The number of the lease that an owner names, if it is of this client; else 0. */
uint64_t cr_own_number(const struct cr_client *c, const char *owner);

/* Operations are counted, so that a late one is known as such. */
void cr_operation_write(struct cr_client *c, char operation[CR_DIGITS + 1]);
/* Where this thread writes down what it did of a kind, and for how many ms that is to be remembered:
 * longer than it is asked for again. */
#define CR_DONE_ROOM 64u
void cr_done_write(struct cr_client *c, char done[CR_DONE_ROOM], uint32_t serial, char kind,
                   char remember[24]);

/* ---- bykey.c ---- */

cachify_status_t cr_set(void *self, cachify_caller_t *caller, const cachify_request_t *request,
                        bool nx);
cachify_status_t cr_get(void *self, cachify_caller_t *caller, const char *key, uint32_t key_len,
                        void *value, uint32_t *len);
cachify_status_t cr_del(void *self, cachify_caller_t *caller, const char *key, uint32_t key_len);
cachify_status_t cr_query(void *self, cachify_caller_t *caller, const char *key, uint32_t key_len,
                          cachify_info_t *info);
cachify_status_t cr_is_locked(void *self, cachify_caller_t *caller, const char *key,
                              uint32_t key_len, bool *locked);
cachify_status_t cr_waiters(void *self, cachify_caller_t *caller, const char *key, uint32_t key_len,
                            int (*fn)(void *context, const cachify_waiter_t *), void *context);

/* ---- wait.c ---- */

cachify_status_t cr_acquire(void *self, cachify_caller_t *caller, const cachify_request_t *request,
                            cachify_grant_t *grant);
cachify_status_t cr_wait(void *self, cachify_caller_t *caller, const cachify_request_t *request,
                         int64_t max_ns);
void cr_wait_end(void *self, cachify_caller_t *caller, const cachify_request_t *request, bool got);
cachify_status_t cr_pend(void *self, cachify_caller_t *caller, const cachify_request_t *request,
                         int timer, uint64_t until, uint64_t poll_ns, void **pending);
cachify_status_t cr_pend_try(void *self, cachify_caller_t *caller, const cachify_request_t *request,
                             void *pending, cachify_grant_t *grant);
void cr_pend_end(void *self, cachify_caller_t *caller, void *pending, bool got);
/* What a caller keeps for its waits. */
void cr_forget_caller(cachify_caller_t *caller);

/* Somebody waits no more: say so, and call the next if it was called for nothing.  False: it could
 * not be said.  *waiters, if not NULL: how many go on waiting. */
bool cr_say_leave(struct cr_client *c, const char *key, uint32_t key_len, const char *member,
                  uint32_t *waiters);

/* ---- orphan.c: what could not be said to the server, to be said later ---- */

void cr_orphan_lease(struct cr_client *c, const char *key, uint32_t key_len, uint64_t number);
void cr_orphan_waiter(struct cr_client *c, const char *key, uint32_t key_len, const char *member);
/* Says it.  False: not all of it. */
bool cr_orphans_mend(struct cr_client *c);
void cr_orphans_free(struct cr_client *c);

/* ---- Calls are left as they were entered ---- */

/* errno as it was; and no thread is cancelled in the middle. */
struct cr_guard {
    int error, cancel;
};
struct cr_guard cr_guard(void);
void cr_unguard(struct cr_guard guard);

#endif
