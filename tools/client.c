#include "client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef WITH_REDIS
#include <cachify/redis.h>

cachify_status_t client_of_url(const char *url, cachify_client_t *client)
{
    return cachify_redis_client(url, NULL, client);
}
#else
cachify_status_t client_of_url(const char *url, cachify_client_t *client)
{
    (void)url;
    (void)client;
    return cachify_report(CACHIFY_INCOMPATIBLE,
                          "this build has no Redis client; install hiredis (Debian: "
                          "libhiredis-dev), and run ./configure --with-redis and make");
}
#endif

void client_show(char *to, size_t room, const char *url)
{
    const char *place = strstr(url, "://");
    int scheme = place != NULL ? (int)(place + 3 - url) : 0;
    place = url + scheme;
    size_t len = strcspn(place, "?#");
    for (size_t i = len; i > 0; i--)
        if (place[i - 1] == '@') {
            place += i;
            len -= i;
            break;
        }
    snprintf(to, room, "%.*s%.*s", scheme, url, (int)len, place);
}

const char *client_of_environment(void)
{
    const char *url = getenv(CLIENT_VARIABLE);
    return url != NULL && *url != '\0' ? url : NULL;
}
