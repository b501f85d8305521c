/* UBSan finds liburcu's own arena misaligned where its functions are inlined. */
#ifdef CF_UBSAN
#undef _LGPL_SOURCE
#endif

#include "face/instance.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <urcu/urcu-bp.h>

#include <cachify/shm.h>

#include "clients/client_plain.h"
#include "clients/client_shm.h"
#include "face/error.h"
#include "face/key.h"
#include "face/lease.h"
#include "face/options.h"
#include "ground/report.h"
#include "shm/segment.h"
#include "shm/sweep.h"

#define DEFAULT_PREFIX "PYC-"
#define DEFAULT_EXP_MS 30000
#define DEFAULT_POLL_MS 100
#define KEPT_CLOSED 16 /* closed instances whose memory is not reused yet */

static cachify_t *_Atomic global; /* published by RCU */
static cachify_t *closing;        /* closed, still pinned */
static cachify_t *closed;         /* destroyed, the latest first */
static unsigned closed_count;
static uint64_t opened_count;

/* Analysers cannot know that liburcu registers a thread at its first read section. */
#ifdef __clang_analyzer__
#define READ_LOCK() ((void)0)
#define READ_UNLOCK() ((void)0)
#else
#define READ_LOCK() urcu_bp_read_lock()
#define READ_UNLOCK() urcu_bp_read_unlock()
#endif

/* ---- Pins ---- */

static cachify_status_t not_open(const cachify_t *handle)
{
    if (handle == NULL)
        return cf_report(CACHIFY_NOT_INITIALIZED,
                         "the global instance is used before cachify_init");
    return cf_report(CACHIFY_INVALID, "the instance was closed, or never opened");
}

/* This thread's first call on an instance, which the caller has pinned under the lock: bind
 * it, and let the binding have the pin. */
static cachify_status_t bind_pinned(cachify_t *instance, struct cf_binding **binding)
{
    int saved = errno;
    struct cf_binding *b = cf_bind(instance);
    cf_process_lock();
    instance->pins--;
    if (b != NULL)
        cf_pin(b, 1);
    cf_process_unlock();
    if (b == NULL && !cf_instance_is_open(instance))
        cf_instance_reap();
    errno = saved;
    *binding = b;
    return b != NULL ? CACHIFY_OK : cf_last_failure();
}

/* The first call of a thread, or no open instance. */
static cachify_status_t enter_unknown(cachify_t *handle, struct cf_binding **binding)
{
    cf_process_serial();
    cf_process_lock();
    cachify_t *instance = handle != NULL ? handle : atomic_load(&global);
    bool open = cf_instance_is_open(instance);
    if (open) {
        cf_instance_forget_parent(instance);
        instance->pins++;
    }
    cf_process_unlock();
    return open ? bind_pinned(instance, binding) : not_open(handle);
}

static struct cf_binding *pin_global(void)
{
    READ_LOCK();
    cachify_t *instance = atomic_load_explicit(&global, memory_order_acquire);
    struct cf_binding *b = instance != NULL ? cf_pin_open(instance) : NULL;
    READ_UNLOCK();
    return b;
}

cachify_status_t cf_instance_enter_slow(cachify_t *handle, struct cf_binding **binding)
{
    struct cf_binding *b = handle == NULL ? pin_global() : NULL;
    if (b == NULL)
        return enter_unknown(handle, binding);
    *binding = b;
    return CACHIFY_OK;
}

/* Whether the lease is held by the instance as it is now.  While it is, its own pin has not
 * been given back: a release empties the lease first. */
static bool holds_pin(struct cf_face_lease *lease, const cachify_t *instance)
{
    return cf_load_acquire(&lease->state) == CF_LEASE_HELD &&
           cf_load_relaxed(&instance->opened) == lease->opened;
}

cachify_status_t cf_instance_enter_lease(struct cf_face_lease *lease, struct cf_binding **binding)
{
    cachify_t *instance = lease->instance;
    struct cf_binding *b = cf_binding_of(instance);
    if (__builtin_expect(b != NULL, 1)) {
        cf_pin(b, 1);
        cf_fence_light();
        if (__builtin_expect(holds_pin(lease, instance) && cf_binds(b, instance), 1)) {
            *binding = b;
            return CACHIFY_OK;
        }
        cf_instance_leave(b, instance);
        return CACHIFY_LOST;
    }
    cf_process_lock();
    bool held = holds_pin(lease, instance);
    if (held)
        instance->pins++;
    cf_process_unlock();
    return held ? bind_pinned(instance, binding) : CACHIFY_LOST;
}

static int64_t count_pins(const cachify_t *instance)
{
    int64_t pins = instance->pins;
    for (const struct cf_binding *b = instance->bindings; b != NULL; b = b->next_of_instance)
        pins += cf_load_acquire(&b->pins);
    return pins;
}

/* Counted twice, with a heavy fence between (E9): a call on a lease is pinned against the
 * lease's release, which may have come after reap's fence, so the first count may miss the
 * pin and see the release. */
static bool is_unpinned(const cachify_t *instance)
{
    if (count_pins(instance) != 0)
        return false;
    cf_fence_heavy();
    return count_pins(instance) == 0;
}

/* Take one whose last pin is gone off the closing list. */
static cachify_t *next_unpinned(void)
{
    for (cachify_t **at = &closing; *at != NULL; at = &(*at)->next) {
        cachify_t *instance = *at;
        if (!is_unpinned(instance))
            continue;
        *at = instance->next;
        for (struct cf_binding *b = instance->bindings; b != NULL; b = b->next_of_instance) {
            if (instance->client.leave != NULL)
                instance->client.leave(instance->client.self, &b->caller);
            cf_store_release(&b->instance, NULL); /* its thread frees it */
        }
        instance->bindings = NULL;
        cf_store_relaxed(&instance->opened, 0);
        return instance;
    }
    return NULL;
}

void cf_instance_reap(void)
{
    int saved = errno;
    cf_fence_heavy();
    for (;;) {
        cf_process_lock();
        cachify_t *instance = next_unpinned();
        cf_process_unlock();
        if (instance == NULL)
            break;
        if (instance->client.destroy != NULL)
            instance->client.destroy(instance->client.self);
        free(instance->prefix);
        instance->prefix = NULL;
        cf_process_lock();
        instance->next = closed;
        closed = instance;
        closed_count++;
        cf_process_unlock();
    }
    errno = saved;
}

/* ---- Open and close ---- */

/* The memory closed longest ago if enough was closed since, else new. */
static cachify_t *allocate(void)
{
    cachify_t *instance = NULL;
    cf_process_lock();
    if (closed_count > KEPT_CLOSED) {
        cachify_t **at = &closed;
        while ((*at)->next != NULL)
            at = &(*at)->next;
        instance = *at;
        *at = NULL;
        closed_count--;
    }
    cf_process_unlock();
    return instance != NULL ? instance : calloc(1, sizeof *instance);
}

static cachify_status_t copy_prefix(cachify_t *instance, const char *prefix)
{
    size_t len = strlen(prefix);
    if (len >= instance->key_max)
        return cf_report(CACHIFY_INVALID,
                         "the prefix has %zu bytes; expected less than key_max, %u", len,
                         instance->key_max);
    instance->prefix = strdup(prefix);
    instance->prefix_len = (uint32_t)len;
    return instance->prefix != NULL ? CACHIFY_OK
                                    : cf_report(CACHIFY_NO_MEMORY, "no memory for the prefix");
}

static cachify_status_t open_client(const cachify_config_t *config, cachify_client_t *client)
{
    if (config->client == NULL)
        return cf_client_shm(config, client);
    *client = (cachify_client_t){0};
    cachify_status_t status = CF_OPTIONS_COPY(client, config->client, "cachify_client_t");
    if (status != CACHIFY_OK)
        return status;
    int checked = (client->acquire != NULL) + (client->release != NULL) + (client->extend != NULL) +
                  (client->remaining_ns != NULL) + (client->query != NULL);
    if (checked == 0) {
        cachify_client_t store = *client;
        return cf_client_plain(&store, client);
    }
    if (checked < 5 || client->del == NULL)
        return cf_report(CACHIFY_INVALID,
                         "the client lacks one of acquire, release, extend, remaining_ns, query "
                         "and del; expected all, or set, get and del and none of the others");
    if ((client->pend == NULL) != (client->pend_try == NULL) ||
        (client->pend == NULL) != (client->pend_end == NULL))
        return cf_report(
            CACHIFY_INVALID,
            "the client lacks one of pend, pend_try and pend_end; expected all or none");
    return CACHIFY_OK;
}

static cachify_status_t fill(cachify_t *instance, const cachify_config_t *config)
{
    cachify_status_t status = open_client(config, &instance->client);
    if (status != CACHIFY_OK)
        return status;
    instance->key_max = instance->client.key_max != 0 ? instance->client.key_max : CF_KEY_BYTES;
    if (instance->key_max > CF_KEY_BYTES)
        instance->key_max = CF_KEY_BYTES;
    instance->default_exp_ms =
        config->default_exp_ms != 0 ? config->default_exp_ms : DEFAULT_EXP_MS;
    instance->poll_interval_ms =
        config->poll_interval_ms != 0 ? config->poll_interval_ms : DEFAULT_POLL_MS;
    instance->process = cf_process_serial();
    instance->pins = 0;
    instance->bindings = NULL;
    status = copy_prefix(instance, config->prefix != NULL ? config->prefix : DEFAULT_PREFIX);
    if (status == CACHIFY_OK)
        return status;
    if (config->client == NULL)
        instance->client.destroy(instance->client.self);
    else
        cf_client_plain_discard(&instance->client);
    return status;
}

static cachify_status_t open_instance(const cachify_config_t *given, cachify_t **instance)
{
    cachify_config_t config = {0};
    cachify_status_t status = given != NULL ? cf_config_check(given, &config) : CACHIFY_OK;
    if (status != CACHIFY_OK)
        return status;
    cachify_t *made = allocate();
    if (made == NULL)
        return cf_report(CACHIFY_NO_MEMORY, "no memory for an instance");
    status = fill(made, &config);
    if (status != CACHIFY_OK) {
        free(made); /* its handle was never given out, or closed long ago */
        return status;
    }
    cf_process_lock();
    cf_store_relaxed(&made->opened, ++opened_count);
    cf_process_unlock();
    cf_store_release(&made->state, CF_INSTANCE_OPEN);
    *instance = made;
    return CACHIFY_OK;
}

cachify_status_t cachify_open(const cachify_config_t *config, cachify_t **instance)
{
    int saved = errno;
    if (instance == NULL)
        return cf_report(CACHIFY_INVALID, "instance is NULL; expected a place for the handle");
    cachify_status_t status = open_instance(config, instance);
    errno = saved;
    return status;
}

cachify_status_t cachify_close(cachify_t *instance)
{
    int saved = errno;
    if (instance == NULL)
        return CACHIFY_OK;
    cf_process_serial();
    cf_process_lock();
    bool open = cf_instance_is_open(instance);
    if (open) {
        cf_store_release(&instance->state, CF_INSTANCE_CLOSED);
        if (atomic_load(&global) == instance)
            atomic_store(&global, NULL);
        instance->next = closing;
        closing = instance;
        cf_instance_forget_parent(instance);
    }
    cf_process_unlock();
    if (!open)
        return not_open(instance);
    urcu_bp_synchronize_rcu(); /* whoever found it through the global pointer has pinned it by now */
    cf_instance_reap();
    errno = saved;
    return CACHIFY_OK;
}

static cachify_status_t replace_global(cachify_t *instance)
{
    cf_process_serial();
    cf_process_lock();
    cachify_t *old = atomic_exchange(&global, instance);
    cf_process_unlock();
    return old != NULL ? cachify_close(old) : CACHIFY_OK;
}

cachify_status_t cachify_init(const cachify_config_t *config)
{
    cachify_t *instance;
    cachify_status_t status = cachify_open(config, &instance);
    return status == CACHIFY_OK ? replace_global(instance) : status;
}

cachify_status_t cachify_shutdown(void)
{
    return replace_global(NULL);
}

cachify_status_t cachify_shm_sweep(cachify_t *instance)
{
    struct cf_binding *b;
    cachify_status_t status = cf_instance_enter(instance, &b);
    if (status != CACHIFY_OK)
        return status;
    struct cf_mapping *m = cf_client_shm_mapping(&b->instance->client);
    if (m == NULL)
        status = cf_report(CACHIFY_INVALID, "the instance's client is not the shared-memory one");
    else if (cf_segment_gone(m, cf_now_coarse(m)))
        status = cf_report(CACHIFY_GONE, "the segment was unlinked, replaced or cut short");
    else
        cf_sweep(m);
    cf_instance_leave(b, b->instance);
    return status;
}
