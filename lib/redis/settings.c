#include "redis/settings.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "redis/system.h"

#define DEFAULT_PORT 6379u
#define DEFAULT_CONNECTIONS 16u
#define MOST_CONNECTIONS 1024u
#define DEFAULT_TIMEOUT_MS 2000
#define MOST_TIMEOUT_MS 3600000

void cachify_redis_options_init(cachify_redis_options_t *options)
{
    if (options != NULL)
        *options = (cachify_redis_options_t){.size = sizeof *options};
}

/* As the library reads its own option structs. */
static cachify_status_t copy_options(cachify_redis_options_t *to,
                                     const cachify_redis_options_t *from)
{
    *to = (cachify_redis_options_t){0};
    if (from == NULL)
        return CACHIFY_OK;
    uint32_t size = from->size != 0 ? from->size : (uint32_t)sizeof *to;
    if (size < sizeof *to)
        return cachify_report(CACHIFY_INVALID,
                              "cachify_redis_options_t has size %u; expected 0 or at least %zu",
                              size, sizeof *to);
    for (size_t i = sizeof *to; i < size; i++)
        if (((const char *)from)[i] != 0)
            return cachify_report(CACHIFY_INVALID,
                                  "cachify_redis_options_t of size %u uses an option that this "
                                  "library, which knows %zu bytes of it, has not",
                                  size, sizeof *to);
    *to = *from;
    return CACHIFY_OK;
}

static bool copy_text(char **to, const char *from)
{
    if (from == NULL || *from == '\0')
        return true;
    *to = strdup(from);
    return *to != NULL;
}

static cachify_status_t check_timeout(int64_t ms, const char *what, uint64_t *ns)
{
    if (ms < 0 || ms > MOST_TIMEOUT_MS)
        return cachify_report(CACHIFY_INVALID, "%s is %" PRId64 "; expected 1 to %d, or 0 for %d",
                              what, ms, MOST_TIMEOUT_MS, DEFAULT_TIMEOUT_MS);
    *ns = (uint64_t)ms * CR_MS;
    return CACHIFY_OK;
}

static cachify_status_t take_options(struct cr_settings *s, const cachify_redis_options_t *o)
{
    if (!copy_text(&s->host, o->host) || !copy_text(&s->path, o->path) ||
        !copy_text(&s->user, o->user) || !copy_text(&s->password, o->password) ||
        !copy_text(&s->ca, o->ca_file) || !copy_text(&s->cert, o->cert_file) ||
        !copy_text(&s->key, o->key_file))
        return cachify_report(CACHIFY_NO_MEMORY, "no memory for the client's options");
    if (o->host != NULL && o->path != NULL)
        return cachify_report(CACHIFY_INVALID, "host is %s and path %s; expected one of them",
                              o->host, o->path);
    if (o->port > 65535)
        return cachify_report(CACHIFY_INVALID, "port is %u; expected 1 to 65535, or 0 for %u",
                              o->port, DEFAULT_PORT);
    if ((o->flags & ~CACHIFY_REDIS_TLS) != 0)
        return cachify_report(CACHIFY_INVALID, "flags are %#x; expected 0 or CACHIFY_REDIS_TLS",
                              o->flags);
    s->port = o->port;
    s->database = o->database;
    s->max_connections = o->max_connections;
    s->tls = (o->flags & CACHIFY_REDIS_TLS) != 0;
    cachify_status_t status =
        check_timeout(o->connect_timeout_ms, "connect_timeout_ms", &s->connect_ns);
    return status != CACHIFY_OK
               ? status
               : check_timeout(o->command_timeout_ms, "command_timeout_ms", &s->command_ns);
}

static cachify_status_t set_defaults(struct cr_settings *s)
{
    if (s->max_connections > MOST_CONNECTIONS)
        return cachify_report(CACHIFY_INVALID,
                              "max_connections is %u; expected 1 to %u, or 0 for %u",
                              s->max_connections, MOST_CONNECTIONS, DEFAULT_CONNECTIONS);
    if (s->max_connections == 0)
        s->max_connections = DEFAULT_CONNECTIONS;
    if (s->connect_ns == 0)
        s->connect_ns = DEFAULT_TIMEOUT_MS * CR_MS;
    if (s->command_ns == 0)
        s->command_ns = DEFAULT_TIMEOUT_MS * CR_MS;
    if (s->port == 0)
        s->port = DEFAULT_PORT;
    if (s->path == NULL && s->host == NULL && !copy_text(&s->host, "localhost"))
        return cachify_report(CACHIFY_NO_MEMORY, "no memory for the client's options");
    if (s->path != NULL && s->path[0] != '/')
        return cachify_report(CACHIFY_INVALID,
                              "the socket's path is %s; expected one that begins with /", s->path);
    if (s->path != NULL && s->tls)
        return cachify_report(CACHIFY_INVALID, "TLS on the Unix socket %s; expected a host",
                              s->path);
#ifndef CR_TLS
    if (s->tls)
        return cachify_report(CACHIFY_INVALID, "TLS (rediss://) is not in this libcachify-redis: "
                                               "it was built without OpenSSL");
#endif
    if (s->path != NULL)
        snprintf(s->address, sizeof s->address, "%s", s->path);
    else
        snprintf(s->address, sizeof s->address, strchr(s->host, ':') ? "[%s]:%u" : "%s:%u", s->host,
                 s->port);
    return CACHIFY_OK;
}

cachify_status_t cr_settings_make(struct cr_settings *s, const char *url,
                                  const cachify_redis_options_t *options)
{
    cachify_redis_options_t o;
    *s = (struct cr_settings){0};
    cachify_status_t status = copy_options(&o, options);
    if (status == CACHIFY_OK)
        status = take_options(s, &o);
    if (status == CACHIFY_OK && url != NULL)
        status = cr_url_read(s, url);
    if (status == CACHIFY_OK)
        status = set_defaults(s);
    if (status != CACHIFY_OK)
        cr_settings_free(s);
    return status;
}

void cr_settings_free(struct cr_settings *s)
{
    if (s->password != NULL)
        explicit_bzero(s->password, strlen(s->password));
    free(s->host);
    free(s->path);
    free(s->user);
    free(s->password);
    free(s->ca);
    free(s->cert);
    free(s->key);
    *s = (struct cr_settings){0};
}
