/* Reading a URL.  What may be a password, or a part of one, is never repeated in an error: so of
 * an URL that has an @ nothing before the last of them is, and where it is not clear, nothing. */
#include <stdlib.h>
#include <string.h>

#include "redis/settings.h"
#include "redis/system.h"

bool cr_number(const char *text, uint64_t most, uint64_t *number)
{
    uint64_t n = 0;
    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9' || n > most / 10)
            return false;
        n = n * 10 + (uint64_t)(*text - '0');
        if (n > most)
            return false;
    }
    *number = n;
    return true;
}

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* In place.  False: a % that no two hexadecimal digits follow, or a NUL. */
static bool decode(char *text)
{
    char *to = text;
    for (const char *from = text; *from != '\0'; from++) {
        char c = *from;
        if (c == '%') {
            int high = hex(from[1]), low = high >= 0 ? hex(from[2]) : -1;
            if (low < 0 || high * 16 + low == 0)
                return false;
            c = (char)(high * 16 + low);
            from += 2;
        }
        *to++ = c;
    }
    *to = '\0';
    return true;
}

static cachify_status_t refuse(const char *what)
{
    return cachify_report(CACHIFY_INVALID, "the URL of the server %s", what);
}

/* Into *to, unless the options have set it. */
static cachify_status_t keep(char **to, char *text)
{
    if (!decode(text))
        return refuse("has a % that no two hexadecimal digits follow, or %00");
    if (*to != NULL || *text == '\0')
        return CACHIFY_OK;
    *to = strdup(text);
    return *to != NULL ? CACHIFY_OK
                       : cachify_report(CACHIFY_NO_MEMORY, "no memory for the client's options");
}

/* Cuts the text at the first of this character; what follows, or NULL. */
static char *cut(char *text, char at)
{
    char *found = strchr(text, at);
    if (found != NULL)
        *found++ = '\0';
    return found;
}

/* USER:PASSWORD, USER, :PASSWORD */
static cachify_status_t read_user(struct cr_settings *s, char *text)
{
    char *password = cut(text, ':');
    cachify_status_t status = password != NULL ? keep(&s->password, password) : CACHIFY_OK;
    return status == CACHIFY_OK ? keep(&s->user, text) : status;
}

static cachify_status_t read_number(const char *text, const char *what, uint64_t most,
                                    uint64_t *number)
{
    if (cr_number(text, most, number))
        return CACHIFY_OK;
    return cachify_report(CACHIFY_INVALID,
                          "the URL's %s is \"%.20s\"; expected a number, at most %llu", what, text,
                          (unsigned long long)most);
}

static cachify_status_t read_host(struct cr_settings *s, char *text)
{
    char *port = NULL;
    uint64_t number = 0;
    if (*text == '[') {
        char *end = strchr(text, ']');
        if (end == NULL || (end[1] != '\0' && end[1] != ':'))
            return refuse("has a [ without ] and port after it; expected [ADDRESS]:PORT");
        port = end[1] == ':' ? end + 2 : NULL;
        *end = '\0';
        text++;
    } else {
        port = cut(text, ':');
    }
    if (port != NULL && *port != '\0') {
        if (!cr_number(port, 65535, &number)) /* it may be a password whose host was forgotten */
            return refuse("has a port that is no number of at most 65535");
        if (s->port == 0)
            s->port = (uint32_t)number;
    }
    return s->path == NULL ? keep(&s->host, text) : CACHIFY_OK;
}

static cachify_status_t read_database(struct cr_settings *s, const char *text)
{
    uint64_t number;
    cachify_status_t status = read_number(text, "database", 1000000, &number);
    if (status == CACHIFY_OK && s->database == 0)
        s->database = (uint32_t)number;
    return status;
}

static cachify_status_t read_option(struct cr_settings *s, const char *name, const char *value)
{
    uint64_t number;
    cachify_status_t status;
    if (strcmp(name, "db") == 0)
        return read_database(s, value);
    if (strcmp(name, "max_connections") == 0) {
        status = read_number(value, name, UINT32_MAX, &number);
        if (status == CACHIFY_OK && s->max_connections == 0)
            s->max_connections = (uint32_t)number;
        return status;
    }
    uint64_t *timeout = strcmp(name, "connect_timeout_ms") == 0   ? &s->connect_ns
                        : strcmp(name, "command_timeout_ms") == 0 ? &s->command_ns
                                                                  : NULL;
    if (timeout == NULL)
        return refuse("has an option that is none; expected db, max_connections, "
                      "connect_timeout_ms or command_timeout_ms");
    status = read_number(value, name, 3600000, &number);
    if (status == CACHIFY_OK && *timeout == 0)
        *timeout = number * CR_MS;
    return status;
}

static cachify_status_t read_options(struct cr_settings *s, char *text)
{
    while (text != NULL && *text != '\0') {
        char *next = cut(text, '&');
        char *value = cut(text, '=');
        cachify_status_t status = read_option(s, text, value != NULL ? value : "");
        if (status != CACHIFY_OK)
            return status;
        text = next;
    }
    return CACHIFY_OK;
}

/* [USER:PASSWORD@]HOST[:PORT][/DATABASE] */
static cachify_status_t read_address(struct cr_settings *s, char *text)
{
    char *path = cut(text, '/');
    char *host = strrchr(text, '@');
    if (path != NULL && strchr(path, '@') != NULL)
        return refuse("has an @ after a /; expected %2F and %40 for these in a user or password");
    cachify_status_t status = CACHIFY_OK;
    if (host != NULL) {
        *host++ = '\0';
        status = read_user(s, text);
    }
    if (status == CACHIFY_OK)
        status = read_host(s, host != NULL ? host : text);
    if (status == CACHIFY_OK && path != NULL && *path != '\0')
        status = read_database(s, path);
    return status;
}

/* [USER:PASSWORD@]/PATH */
static cachify_status_t read_path(struct cr_settings *s, char *text)
{
    char *at = strchr(text, '@'), *path = strchr(text, '/');
    cachify_status_t status = CACHIFY_OK;
    if (at != NULL && (path == NULL || at < path)) {
        *at++ = '\0';
        status = read_user(s, text);
        text = at;
    }
    if (status == CACHIFY_OK && *text != '/')
        return refuse("has no path; expected unix:///PATH");
    if (status == CACHIFY_OK && s->host == NULL)
        status = keep(&s->path, text);
    return status;
}

static const struct scheme {
    const char *begins;
    bool tls;
    cachify_status_t (*read)(struct cr_settings *, char *);
} schemes[] = {
    {"redis://", false, read_address},     {"rediss://", true, read_address},
    {"unix://", false, read_path},         {"redis+unix://", false, read_path},
    {"redis-socket://", false, read_path},
};

static cachify_status_t read_parts(struct cr_settings *s, const struct scheme *scheme, char *rest)
{
    char *fragment = strchr(rest, '#');
    char *query = cut(rest, '?');
    if (fragment != NULL)
        return refuse("has a #; expected %23 for it");
    if (query != NULL && strchr(query, '@') != NULL)
        return refuse("has an @ after a ?; expected %3F and %40 for these in a user or password");
    s->tls = s->tls || scheme->tls;
    cachify_status_t status = scheme->read(s, rest);
    return status == CACHIFY_OK ? read_options(s, query) : status;
}

cachify_status_t cr_url_read(struct cr_settings *s, const char *url)
{
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        size_t len = strlen(schemes[i].begins);
        if (strncmp(url, schemes[i].begins, len) != 0)
            continue;
        char *rest = strdup(url + len);
        if (rest == NULL)
            return cachify_report(CACHIFY_NO_MEMORY, "no memory for the client's options");
        cachify_status_t status = read_parts(s, &schemes[i], rest);
        explicit_bzero(rest, strlen(url + len));
        free(rest);
        return status;
    }
    return refuse("begins with no scheme that is known; expected redis://, rediss:// or unix://");
}
