/* What checks have at hand: a client or an instance, threads, time, and findings. */
#ifndef CONFORMANCE_TRIAL_H
#define CONFORMANCE_TRIAL_H

#include <pthread.h>
#include <string.h>

#include "conformance.h"

#define LEASES 4u
#define HANDS 4u
#define POLL_MS 5
#define RARELY_MS 60000 /* a poll interval that proves a wake */
#define LONG_MS 600000  /* an expiry that no check lives to see */
#define MS INT64_C(1000000)

/* One check under way. */
struct trial {
    const struct cachify_subject *subject;
    cachify_client_t client;       /* as it was made */
    cachify_caller_t caller;       /* of the check's thread; for checks of operations */
    cachify_t *instance;           /* for checks through the face, else NULL */
    cachify_lease_t lease[LEASES]; /* released at the end, whatever happened */
    cachify_async_t *async;        /* cancelled at the end */
    bool failed, skipped;
    char text[600]; /* what was found */
};

typedef void trial_fn(struct trial *t);

struct check {
    const char *name, *what;
    trial_fn *run;
    enum {
        OPERATIONS,    /* of the client, by itself */
        OWNER_CHECKED, /* the same, for clients that have those */
        FACE,          /* through an instance */
        WAKING,        /* the same with a long poll interval, for clients that wake who waits */
        BARE           /* makes all by itself */
    } kind;
};

/* A room's checks; ends with one that has no name. */
extern const struct check store_checks[], key_checks[], grant_checks[], lease_checks[],
    by_key_checks[], wait_checks[], wake_checks[], async_checks[], life_checks[];

/* ---- Findings ---- */

/* False, and noted as what was found, if ok is. */
bool trial_want(struct trial *t, bool ok, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool trial_status(struct trial *t, cachify_status_t status, cachify_status_t expected,
                  const char *call);
void trial_skip(struct trial *t, const char *why);
const char *status_name(cachify_status_t status);

/* The check ends here if it does not hold. */
#define WANT(t, ...)                                                                               \
    do {                                                                                           \
        if (!trial_want(t, __VA_ARGS__))                                                           \
            return;                                                                                \
    } while (0)
#define WANT_STATUS(t, call, expected)                                                             \
    do {                                                                                           \
        if (!trial_status(t, call, expected, #call))                                               \
            return;                                                                                \
    } while (0)
#define WANT_OK(t, call) WANT_STATUS(t, call, CACHIFY_OK)
#define WANT_SOON(t, condition)                                                                    \
    do {                                                                                           \
        bool came_;                                                                                \
        int64_t end_ = now_ns() + patience_ns(t);                                                  \
        while (!(came_ = (condition)) && now_ns() < end_)                                          \
            nap_ms(1);                                                                             \
        WANT(t, came_, "within %lld ms it did not come that %s", (long long)(patience_ns(t) / MS), \
             #condition);                                                                          \
    } while (0)

/* ---- Time ---- */

int64_t now_ns(void);
void nap_ms(int64_t ms);
int64_t patience_ns(const struct trial *t);

/* ---- Operations ---- */

cachify_caller_t new_caller(void);
uint32_t key_most(const struct trial *t);   /* bytes that the client takes */
uint32_t value_most(const struct trial *t); /* the same; 4096 where it knows no limit */

/* On the client.  Keys and values lie in memory of just the size that clients are promised. */
cachify_status_t put_bytes(struct trial *t, cachify_caller_t *caller, const void *key,
                           uint32_t key_len, const void *value, uint32_t value_len, int64_t exp_ms,
                           bool nx);
cachify_status_t fetch_bytes(struct trial *t, cachify_caller_t *caller, const void *key,
                             uint32_t key_len, void *value, uint32_t *len);
cachify_status_t drop_bytes(struct trial *t, cachify_caller_t *caller, const void *key,
                            uint32_t key_len);
/* Texts, by the check's own caller. */
cachify_status_t put(struct trial *t, const char *key, const char *value, int64_t exp_ms, bool nx);
cachify_status_t drop(struct trial *t, const char *key);
/* Whether there is a value; if so, and expected is not NULL, whether it is that. */
bool has(struct trial *t, const char *key, const char *expected);
bool want_bytes(struct trial *t, const void *key, uint32_t key_len, const void *value,
                uint32_t value_len);

/* ---- Through the face ---- */

/* Take the key for exp_ms, not waiting. */
cachify_status_t take(struct trial *t, const char *key, int64_t exp_ms, cachify_lease_t *lease);
bool is_locked(struct trial *t, const char *key);
/* Nobody holds it by now: it can be taken.  It is given back. */
bool is_free(struct trial *t, const char *key);

/* ---- Threads, which find nothing: they note what they saw ---- */

struct hand {
    struct trial *t;
    void *context;
    unsigned index;
    pthread_barrier_t *barrier;
    void (*act)(struct hand *);
    cachify_caller_t caller; /* of this thread, for operations */
    cachify_status_t status;
    int64_t number;
};

/* n of them, to their end. */
void crew(struct trial *t, struct hand hands[], unsigned n, void (*act)(struct hand *),
          void *context);
void meet(struct hand *hand);

/* One, while the check goes on. */
struct helper {
    pthread_t thread;
    struct hand hand;
};
void helper_start(struct trial *t, struct helper *helper, void (*act)(struct hand *),
                  void *context);
void helper_join(struct helper *helper);

#endif
