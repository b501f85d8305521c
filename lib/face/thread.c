#include "face/thread.h"

#include <pthread.h>
#include <stdlib.h>

#include "face/error.h"
#include "face/instance.h"
#include "ground/os.h"
#include "ground/report.h"

_Thread_local struct cf_thread cf_thread CF_FAST_TLS;

static pthread_key_t at_exit;
static _Atomic uint32_t serials;

/* Both lists under the process lock. */
static void unlink_from_instance(struct cf_binding *b)
{
    struct cf_binding **at = &b->instance->bindings;
    while (*at != b)
        at = &(*at)->next_of_instance;
    *at = b->next_of_instance;
    b->instance->pins += cf_load_relaxed(&b->pins);
}

static void thread_ends(void *unused)
{
    (void)unused;
    if (cf_thread.process != cf_process_serial())
        return;             /* a child's copy of what was its parent's */
    cachify_wrap_unwind(0); /* calls that were left by longjmp */
    cf_process_lock();
    while (cf_thread.bindings != NULL) {
        struct cf_binding *b = cf_thread.bindings;
        cf_thread.bindings = b->next_of_thread;
        if (b->instance != NULL) {
            if (b->instance->client.leave != NULL)
                b->instance->client.leave(b->instance->client.self, &b->caller);
            unlink_from_instance(b);
        }
        free(b);
    }
    cf_thread.last = NULL;
    cf_process_unlock();
}

__attribute__((constructor)) static void prepare(void)
{
    pthread_key_create(&at_exit, thread_ends);
}

void cf_instance_forget_parent(cachify_t *instance)
{
    if (instance->process == cf_process_serial())
        return;
    while (instance->bindings != NULL) {
        struct cf_binding *b = instance->bindings;
        instance->bindings = b->next_of_instance;
        free(b);
    }
    instance->process = cf_process_serial();
    instance->pins = 0;
}

static void begin_thread(void)
{
    if (cf_thread.process == cf_process_serial())
        return;
    cf_thread = (struct cf_thread){
        .process = cf_process_serial(),
        .serial = cf_add_relaxed(&serials, 1) + 1,
    };
    pthread_setspecific(at_exit, &cf_thread);
}

/* Drops bindings to destroyed instances on the way. */
static struct cf_binding *find(const cachify_t *instance)
{
    struct cf_binding **at = &cf_thread.bindings;
    struct cf_binding *found = NULL;
    while (*at != NULL) {
        struct cf_binding *b = *at;
        if (b->instance == NULL) {
            *at = b->next_of_thread;
            if (cf_thread.last == b)
                cf_thread.last = NULL;
            free(b);
            continue;
        }
        if (b->instance == instance)
            found = b;
        at = &b->next_of_thread;
    }
    return found;
}

/* False, with a report, which is the client's own if it made one. */
static bool enter(const cachify_t *instance, struct cf_binding *b)
{
    const cachify_client_t *client = &instance->client;
    cachify_status_t status =
        client->enter != NULL ? client->enter(client->self, &b->caller) : CACHIFY_OK;
    if (status != CACHIFY_OK && cf_last_failure() != status)
        (void)cf_report(status, "the client refused a thread's first call: %s",
                        cachify_strerror(status));
    return status == CACHIFY_OK;
}

struct cf_binding *cf_bind(cachify_t *instance)
{
    struct cf_binding *b = cf_binding_of(instance);
    if (b != NULL)
        return b;
    begin_thread();
    cf_process_lock();
    cf_instance_forget_parent(instance);
    b = find(instance);
    cf_process_unlock();
    if (b != NULL) {
        cf_thread.last = b;
        return b;
    }
    b = calloc(1, sizeof *b);
    if (b == NULL) {
        (void)cf_report(CACHIFY_NO_MEMORY, "no memory for this thread's part of an instance");
        return NULL;
    }
    b->caller.serial = cf_thread.serial;
    b->caller.thread_id = cf_thread_id();
    if (!enter(instance, b)) {
        free(b);
        return NULL;
    }
    cf_process_lock();
    b->instance = instance;
    b->next_of_instance = instance->bindings;
    instance->bindings = b;
    b->next_of_thread = cf_thread.bindings;
    cf_thread.bindings = b;
    cf_process_unlock();
    cf_thread.last = b;
    return b;
}
