/* What the caller gave, checked and copied. */
#ifndef CR_SETTINGS_H
#define CR_SETTINGS_H

#include <cachify/redis.h>

struct cr_settings {
    char *host, *path;     /* path: a Unix socket; else host and port */
    char *user, *password; /* NULL: none */
    char *ca, *cert, *key;
    uint32_t port, database, max_connections;
    bool tls;
    uint64_t connect_ns, command_ns;
    char address[160]; /* for people: HOST:PORT or the path */
};

/* OK, INVALID or NO_MEMORY, reported; never with the password in it.  On failure there is nothing
 * to free. */
cachify_status_t cr_settings_make(struct cr_settings *s, const char *url,
                                  const cachify_redis_options_t *options);
void cr_settings_free(struct cr_settings *s);

/* The URL's part of it (url.c): into what the options left unset. */
cachify_status_t cr_url_read(struct cr_settings *s, const char *url);
/* A number as text: digits, at most most. */
bool cr_number(const char *text, uint64_t most, uint64_t *number);

#endif
