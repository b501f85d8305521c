/* Checking what callers give: option structs that carry their size, times, keys. */
#ifndef CF_FACE_OPTIONS_H
#define CF_FACE_OPTIONS_H

#include <cachify/client.h>

/* Copy an option struct of any version: size 0 is the first version's, a larger one is
 * accepted if what this library does not know is zero.  OK, INVALID. */
cachify_status_t cf_options_copy(void *to, size_t known, const void *from, const char *type);
#define CF_OPTIONS_COPY(to, from, type) cf_options_copy(to, sizeof *(to), from, type)

/* A checked copy of a configuration. */
cachify_status_t cf_config_check(const cachify_config_t *given, cachify_config_t *config);

/* *ms: 0 becomes otherwise; refuses what is negative or beyond CACHIFY_MAX_MS and not
 * CACHIFY_NEVER. */
cachify_status_t cf_time_refuse(int64_t ms, const char *what);

static inline cachify_status_t cf_time_check(int64_t *ms, int64_t otherwise, const char *what)
{
    if (*ms == 0)
        *ms = otherwise;
    else if (*ms < 0 || (*ms > CACHIFY_MAX_MS && *ms != CACHIFY_NEVER))
        return cf_time_refuse(*ms, what);
    return CACHIFY_OK;
}

#endif
