/* Clients that are wrong in one thing each, and the check that has to find it. */
#ifndef CONFORMANCE_BROKEN_H
#define CONFORMANCE_BROKEN_H

#include "conformance.h"

/* A key that is not kept as it came. */
struct changed_key {
    _Alignas(8) char bytes[4104];
    uint32_t len;
};

struct broken {
    const char *name;
    const char *check;        /* which has to find it */
    cachify_client_t instead; /* functions that are put in place of the right ones */
    void (*change_key)(struct changed_key *);
};

#define SPOILT(name, check, ...)                                                                   \
    {                                                                                              \
        name, check, {__VA_ARGS__}, NULL                                                           \
    }

/* The table of tests/examples and the library's memory client, spoilt.  End with one that has no
 * name. */
extern const struct broken broken_stores[], broken_grants[];

/* The one that is tried, and the client that would be right. */
extern const struct broken *broken_now;
extern cachify_client_t whole;

/* The store's operations with the key changed. */
cachify_status_t broken_key_set(void *self, cachify_caller_t *caller,
                                const cachify_request_t *request, bool nx);
cachify_status_t broken_key_get(void *self, cachify_caller_t *caller, const char *key,
                                uint32_t key_len, void *value, uint32_t *len);
cachify_status_t broken_key_del(void *self, cachify_caller_t *caller, const char *key,
                                uint32_t key_len);

/* All of them: a check each, whether the client was flagged. */
struct cachify_verdict try_broken_clients(FILE *out);

#endif
