/* The owner-checked operations of a client that has them, as the face calls them. */
#include "trial.h"

#include <unistd.h>

/* Grants come as they are in a lease that is overwritten without a look. */
static cachify_grant_t old_grant(void)
{
    cachify_grant_t grant;
    memset(&grant, 0x5a, sizeof grant);
    return grant;
}

static cachify_status_t acquire(struct trial *t, cachify_caller_t *caller, int64_t exp_ms,
                                cachify_grant_t *grant)
{
    static const _Alignas(8) char key[8] = "lock";
    cachify_request_t request = {
        .key = key, .key_len = 4, .value = "note", .value_len = 4, .exp_ms = exp_ms};
    return t->client.acquire(t->client.self, caller, &request, grant);
}

static cachify_status_t release(struct trial *t, cachify_grant_t *grant)
{
    return t->client.release(t->client.self, &t->caller, grant);
}

static cachify_status_t extend(struct trial *t, cachify_grant_t *grant, int64_t exp_ms)
{
    return t->client.extend(t->client.self, &t->caller, grant, exp_ms);
}

static int64_t remaining(struct trial *t, const cachify_grant_t *grant)
{
    return t->client.remaining_ns(t->client.self, &t->caller, grant);
}

static void whole(struct trial *t)
{
    const cachify_client_t *c = &t->client;
    WANT(t, c->release != NULL, "the client has acquire, but no release");
    WANT(t, c->extend != NULL, "the client has acquire, but no extend");
    WANT(t, c->remaining_ns != NULL, "the client has acquire, but no remaining_ns");
    WANT(t, c->query != NULL, "the client has acquire, but no query");
    WANT(t,
         (c->pend == NULL) == (c->pend_try == NULL) && (c->pend == NULL) == (c->pend_end == NULL),
         "the client has some of pend, pend_try and pend_end, but not all");
}

static void busy(struct trial *t)
{
    cachify_grant_t grant = old_grant(), other = old_grant(), same = old_grant();
    WANT_OK(t, acquire(t, &t->caller, LONG_MS, &grant));
    WANT(t, grant.how <= CACHIFY_OWNER_DIED, "acquire left grant.how unfilled");
    memset(&t->caller.holder, 0x5a, sizeof t->caller.holder);
    t->caller.holder_is_self = true;
    WANT_STATUS(t, acquire(t, &t->caller, LONG_MS, &other), CACHIFY_LOCKED);
    WANT(t, memcmp(&other, &same, sizeof same) == 0, "acquire that was LOCKED touched the grant");
    WANT(t, t->caller.holder.state == CACHIFY_STATE_HELD,
         "acquire that was LOCKED gave the holder's state as %u, expected HELD",
         t->caller.holder.state);
    WANT(t, !t->caller.holder_is_self, "holder_is_self is true for a lease that will expire");
    WANT(t, t->caller.holder.remaining_ms > 0 && t->caller.holder.remaining_ms <= LONG_MS,
         "acquire that was LOCKED gave %lld ms to remain of %d",
         (long long)t->caller.holder.remaining_ms, LONG_MS);
    const cachify_info_t *holder = &t->caller.holder;
    WANT(t, holder->value_len == 4 && memcmp(holder->value, "note", 4) == 0,
         "acquire that was LOCKED did not give the holder's note (%u bytes, expected 4)",
         holder->value_len);
    WANT(t, holder->pid == getpid(), "acquire that was LOCKED gave the holder's pid as %lld",
         (long long)holder->pid);
    WANT_OK(t, release(t, &grant));
}

/* The holder has room for 64 bytes of a note. */
static void long_note(struct trial *t)
{
    char note[4096];
    cachify_grant_t grant = old_grant();
    uint32_t most = value_most(t);
    static const _Alignas(8) char key[8] = "lock";
    memset(note, 'n', sizeof note);
    cachify_request_t request = {
        .key = key, .key_len = 4, .value = note, .value_len = most, .exp_ms = LONG_MS};
    WANT_OK(t, t->client.acquire(t->client.self, &t->caller, &request, &grant));
    WANT_STATUS(t, acquire(t, &t->caller, LONG_MS, &grant), CACHIFY_LOCKED);
    WANT(t, t->caller.holder.value_len == (most < 64 ? most : 64),
         "of a note of %u bytes the holder's value_len is %u, expected %u", most,
         t->caller.holder.value_len, most < 64 ? most : 64);
    cachify_info_t info;
    WANT_OK(t, t->client.query(t->client.self, &t->caller, key, 4, &info));
    WANT(t, info.value_len == (most < 64 ? most : 64),
         "of a note of %u bytes query's value_len is %u, expected %u", most, info.value_len,
         most < 64 ? most : 64);
    WANT(t, has(t, "lock", NULL), "get does not give a lease's value");
    want_bytes(t, "lock", 4, note, most);
    WANT_OK(t, drop(t, "lock"));
}

static void self(struct trial *t)
{
    cachify_grant_t grant = old_grant(), other = old_grant();
    WANT_OK(t, acquire(t, &t->caller, CACHIFY_NEVER, &grant));
    WANT_STATUS(t, acquire(t, &t->caller, LONG_MS, &other), CACHIFY_LOCKED);
    WANT(t, t->caller.holder_is_self,
         "holder_is_self is false for this thread's own lease without expiry");
    WANT(t, remaining(t, &grant) == CACHIFY_NEVER, "remaining_ns is not CACHIFY_NEVER");
    WANT_OK(t, release(t, &grant));
}

static void once(struct trial *t)
{
    cachify_grant_t grant = old_grant(), copy;
    WANT_OK(t, acquire(t, &t->caller, LONG_MS, &grant));
    int64_t left = remaining(t, &grant);
    WANT(t, left > 0 && left <= LONG_MS * MS, "remaining_ns gave %lld of %d ms", (long long)left,
         LONG_MS);
    copy = grant;
    WANT_OK(t, release(t, &grant));
    WANT(t, remaining(t, &copy) == 0, "remaining_ns gave time to a lease that was released");
    WANT_STATUS(t, extend(t, &copy, LONG_MS), CACHIFY_LOST);
    WANT_STATUS(t, release(t, &copy), CACHIFY_LOST);
    WANT_OK(t, acquire(t, &t->caller, LONG_MS, &grant));
    WANT_STATUS(t, extend(t, &copy, LONG_MS), CACHIFY_LOST);
    WANT_STATUS(t, release(t, &copy), CACHIFY_LOST);
    WANT(t, remaining(t, &grant) > 0, "an old grant has ended the lease of a new one");
    WANT_OK(t, release(t, &grant));
}

/* A lease's value is the store's, and what is set is held as a lease is. */
static void one_store(struct trial *t)
{
    cachify_grant_t grant = old_grant();
    WANT_OK(t, acquire(t, &t->caller, LONG_MS, &grant));
    WANT(t, has(t, "lock", "note"), "get does not give a lease's value");
    WANT_STATUS(t, put(t, "lock", "b", LONG_MS, true), CACHIFY_LOCKED);
    WANT_OK(t, put(t, "lock", "c", LONG_MS, false));
    WANT(t, remaining(t, &grant) == 0, "set without nx has not ended the lease");
    WANT_STATUS(t, release(t, &grant), CACHIFY_LOST);
    WANT(t, has(t, "lock", "c"), "the release of a lease that was overwritten freed the lock");
    WANT_STATUS(t, acquire(t, &t->caller, LONG_MS, &grant), CACHIFY_LOCKED);
    WANT_OK(t, drop(t, "lock"));
    WANT_OK(t, acquire(t, &t->caller, LONG_MS, &grant));
    WANT_OK(t, drop(t, "lock"));
    WANT_STATUS(t, release(t, &grant), CACHIFY_LOST);
}

const struct check grant_checks[] = {
    {"grant-all", "the owner-checked operations are there, all of them", whole, OWNER_CHECKED},
    {"grant-busy", "LOCKED leaves the grant, and tells the holder", busy, OWNER_CHECKED},
    {"grant-note", "the holder's note is cut to 64 bytes, get has all", long_note, OWNER_CHECKED},
    {"grant-self", "the holder is this thread, without expiry", self, OWNER_CHECKED},
    {"grant-once", "what was released is LOST, and harms no other", once, OWNER_CHECKED},
    {"grant-store", "leases and values are one store", one_store, OWNER_CHECKED},
    {0},
};
