#include "face/lock.h"
#include "ground/report.h"

/* The client as a store: set-if-not-exists and what belongs to it, without leases. */

static cachify_status_t set(const cachify_t *instance, struct cf_binding *b,
                            const cachify_lock_t *lock, bool nx)
{
    const cachify_client_t *client = &instance->client;
    struct cf_wish wish;
    if (client->set == NULL)
        return cf_report(CACHIFY_INVALID, "the instance's client has no set");
    cachify_status_t status = cf_make_wish(&wish, instance, b, lock);
    if (status != CACHIFY_OK)
        return status;
    status = client->set(client->self, &b->caller, &wish.request, nx);
    cf_key_is_new(b); /* set need not derive what acquire would have */
    return status == CACHIFY_LOCKED ? cf_busy(status, instance, &wish, 0, &b->caller) : status;
}

cachify_status_t cachify_set(cachify_t *handle, const cachify_lock_t *lock, bool nx)
{
    struct cf_binding *b;
    if (lock == NULL)
        return cf_report(CACHIFY_INVALID, "lock is NULL");
    cachify_status_t status = cf_instance_enter(handle, &b);
    if (status != CACHIFY_OK)
        return status;
    cachify_t *instance = b->instance;
    status = set(instance, b, lock, nx);
    cf_instance_leave(b, instance);
    return status;
}

cachify_status_t cachify_limits(cachify_t *handle, uint32_t *key_max, uint32_t *value_max)
{
    struct cf_binding *b;
    cachify_status_t status = cf_instance_enter(handle, &b);
    if (status != CACHIFY_OK)
        return status;
    const cachify_t *instance = b->instance;
    if (key_max != NULL)
        *key_max = instance->key_max - instance->prefix_len;
    if (value_max != NULL)
        *value_max = instance->client.value_max;
    cf_instance_leave(b, instance);
    return CACHIFY_OK;
}

struct value {
    void *bytes;
    uint32_t *len;
};

static cachify_status_t get(const cachify_t *instance, struct cf_binding *b, void *context)
{
    const struct value *value = context;
    const cachify_client_t *client = &instance->client;
    if (client->get == NULL)
        return cf_report(CACHIFY_INVALID, "the instance's client has no get");
    return client->get(client->self, &b->caller, b->key.bytes, b->key.len, value->bytes,
                       value->len);
}

cachify_status_t cachify_get(cachify_t *instance, const char *key, void *bytes, uint32_t *len)
{
    struct value value = {bytes, len};
    if (len == NULL || (bytes == NULL && *len > 0))
        return cf_report(CACHIFY_INVALID, "%s is NULL; expected a place for the %s",
                         len == NULL ? "len" : "value", len == NULL ? "length" : "value");
    return cf_with_key(instance, key, get, &value);
}
