/* For callers that cannot read the headers. */
#include <string.h>

#include <cachify/client.h>
#include <cachify/shm.h>

#define TYPE(name)                                                                                 \
    {                                                                                              \
#name, sizeof(name)                                                                        \
    }

size_t cachify_sizeof(const char *type)
{
    static const struct {
        const char *name;
        size_t size;
    } types[] = {
        TYPE(cachify_config_t),     TYPE(cachify_lock_t),        TYPE(cachify_lease_t),
        TYPE(cachify_origin_t),     TYPE(cachify_info_t),        TYPE(cachify_waiter_t),
        TYPE(cachify_scope_t),      TYPE(cachify_arg_t),         TYPE(cachify_call_t),
        TYPE(cachify_client_t),     TYPE(cachify_caller_t),      TYPE(cachify_request_t),
        TYPE(cachify_grant_t),      TYPE(cachify_shm_header_t),  TYPE(cachify_shm_lease_t),
        TYPE(cachify_shm_counts_t), TYPE(cachify_shm_process_t), TYPE(cachify_wrap_options_t),
    };
    for (size_t i = 0; type != NULL && i < sizeof types / sizeof types[0]; i++)
        if (strcmp(types[i].name, type) == 0)
            return types[i].size;
    return 0;
}

void cachify_config_init(cachify_config_t *config)
{
    if (config != NULL)
        *config = (cachify_config_t){.size = sizeof *config};
}

void cachify_lock_init(cachify_lock_t *lock)
{
    if (lock != NULL)
        *lock = (cachify_lock_t){.size = sizeof *lock};
}

void cachify_lease_init(cachify_lease_t *lease)
{
    if (lease != NULL)
        *lease = (cachify_lease_t)CACHIFY_LEASE_INIT;
}

void cachify_origin_init(cachify_origin_t *origin)
{
    if (origin != NULL)
        *origin = (cachify_origin_t){.size = sizeof *origin};
}

void cachify_info_init(cachify_info_t *info)
{
    if (info != NULL)
        *info = (cachify_info_t){.size = sizeof *info};
}

void cachify_wrap_options_init(cachify_wrap_options_t *options)
{
    if (options != NULL)
        *options = (cachify_wrap_options_t){.size = sizeof *options};
}

void cachify_client_init(cachify_client_t *client)
{
    if (client != NULL)
        *client = (cachify_client_t){.size = sizeof *client};
}
