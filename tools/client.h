/* The store that a URL names, where it is not a segment: libcachify-redis, if this build has it. */
#ifndef CACHIFY_TOOLS_CLIENT_H
#define CACHIFY_TOOLS_CLIENT_H

#include <stddef.h>

#include <cachify/client.h>

#define CLIENT_VARIABLE "CACHIFY_CLIENT"

/* As cachify_redis_client; INCOMPATIBLE where this build has none. */
cachify_status_t client_of_url(const char *url, cachify_client_t *client);

/* What people may see of a URL: no user, no password, no options. */
void client_show(char *to, size_t room, const char *url);

/* What the environment asks for; NULL if nothing. */
const char *client_of_environment(void);

#endif
