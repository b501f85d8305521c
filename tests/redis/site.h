/* Where a test of the Redis client takes place: a server, a proxy before it, and an instance that
 * goes through the proxy. */
#ifndef REDIS_TESTS_SITE_H
#define REDIS_TESTS_SITE_H

#include <cachify/redis.h>

#include "proxy.h"
#include "support.h"

struct site {
    struct server server;
    struct proxy proxy;
    cachify_t *cachify; /* through the proxy; no prefix; a poll interval of 5 s */
};
extern struct site site;

/* Options of the instances that are opened from now on; each test's begin with timeouts of 1 s. */
extern cachify_redis_options_t site_options;

void setup_site(void);
void teardown_site(void);
/* The same for a server with these arguments. */
void setup_site_with(const char *const *args);

/* Another instance. */
cachify_t *site_open(const char *url);
cachify_t *site_open_polling(const char *url, int64_t poll_ms);

cachify_status_t site_take(cachify_t *cachify, const char *key, int64_t exp_ms,
                           cachify_lease_t *lease);
cachify_status_t site_wait(cachify_t *cachify, const char *key, int64_t timeout_ms,
                           cachify_lease_t *lease);
/* As the server has it. */
bool site_has(const char *key);
/* Of this key; "" if there is none. */
const char *site_owner(const char *key);

/* What main does: skips where there is no server, else runs the suite; nothing is left. */
int run_redis_suite(Suite *suite);

#endif
