#include "face/options.h"

#include <inttypes.h>
#include <string.h>

#include "ground/report.h"

cachify_status_t cf_options_copy(void *to, size_t known, const void *from, const char *type)
{
    uint32_t size;
    memcpy(&size, from, sizeof size);
    if (size == 0)
        size = (uint32_t)known;
    if (size < known)
        return cf_report(CACHIFY_INVALID, "%s has size %u; expected 0 or at least %zu", type, size,
                         known);
    for (size_t i = known; i < size; i++)
        if (((const char *)from)[i] != 0)
            return cf_report(CACHIFY_INVALID,
                             "%s of size %u uses an option that this library, which knows "
                             "%zu bytes of it, has not",
                             type, size, known);
    memcpy(to, from, known);
    return CACHIFY_OK;
}

cachify_status_t cf_time_refuse(int64_t ms, const char *what)
{
    return cf_report(CACHIFY_INVALID,
                     "%s is %" PRId64 " ms; expected 0 to %" PRId64 ", or CACHIFY_NEVER", what, ms,
                     CACHIFY_MAX_MS);
}

cachify_status_t cf_config_check(const cachify_config_t *given, cachify_config_t *config)
{
    cachify_status_t status = CF_OPTIONS_COPY(config, given, "cachify_config_t");
    if (status == CACHIFY_OK && (config->flags & ~CACHIFY_ANY_OWNER) != 0)
        status = cf_report(CACHIFY_INVALID, "flags are %#x; expected 0 or CACHIFY_ANY_OWNER",
                           config->flags);
    if (status == CACHIFY_OK && config->mode > 0777)
        status = cf_report(CACHIFY_INVALID, "mode is %#o; expected file permissions, 0 to 0777",
                           config->mode);
    if (status == CACHIFY_OK)
        status = cf_time_check(&config->default_exp_ms, 0, "default_exp_ms");
    if (status == CACHIFY_OK)
        status = cf_time_check(&config->poll_interval_ms, 0, "poll_interval_ms");
    return status;
}
