/* A client as a user would write one: a table in this process under one mutex, with set, get and
 * del only.  The library makes the locks of these three.
 *
 * As a module: cc -shared -fPIC client_table.c -o table.so, then `make check-client
 * CLIENT=./table.so`. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cachify/client.h>

#define CHAINS 1024u

struct item {
    struct item *next;
    int64_t over_ms; /* when it is over, on the monotonic clock; CACHIFY_NEVER */
    uint32_t key_len, value_len;
    char bytes[]; /* key, value */
};

struct table {
    pthread_mutex_t lock;
    struct item *chain[CHAINS];
};

/* Rounded down: together with rounding up the expiry nothing ends before its time. */
static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static struct item **chain_of(struct table *t, const char *key, uint32_t key_len)
{
    uint32_t hash = 2166136261u;
    for (uint32_t i = 0; i < key_len; i++)
        hash = (hash ^ (unsigned char)key[i]) * 16777619u;
    return &t->chain[hash % CHAINS];
}

/* The place that points to it, or to NULL.  What is over in its chain goes. */
static struct item **find(struct table *t, const char *key, uint32_t key_len)
{
    struct item **at = chain_of(t, key, key_len);
    int64_t now = now_ms();
    while (*at != NULL) {
        struct item *item = *at;
        if (item->over_ms <= now) {
            *at = item->next;
            free(item);
        } else if (item->key_len == key_len && memcmp(item->bytes, key, key_len) == 0) {
            break;
        } else {
            at = &item->next;
        }
    }
    return at;
}

static struct item *make_item(const cachify_request_t *request)
{
    int saved = errno; /* which no client may change */
    struct item *item = malloc(sizeof *item + request->key_len + request->value_len);
    errno = saved;
    if (item == NULL)
        return NULL;
    item->over_ms = CACHIFY_NEVER;
    if (request->exp_ms != CACHIFY_NEVER)
        item->over_ms = now_ms() + request->exp_ms + 1;
    item->key_len = request->key_len;
    item->value_len = request->value_len;
    memcpy(item->bytes, request->key, request->key_len);
    if (request->value_len > 0)
        memcpy(item->bytes + request->key_len, request->value, request->value_len);
    return item;
}

static void put(struct item **at, struct item *item)
{
    struct item *old = *at;
    item->next = old != NULL ? old->next : NULL;
    *at = item;
    free(old);
}

static cachify_status_t table_set(void *self, cachify_caller_t *caller,
                                  const cachify_request_t *request, bool nx)
{
    struct table *t = self;
    cachify_status_t status = CACHIFY_OK;
    (void)caller;
    pthread_mutex_lock(&t->lock);
    struct item **at = find(t, request->key, request->key_len), *item = NULL;
    if (nx && *at != NULL)
        status = CACHIFY_LOCKED;
    else if ((item = make_item(request)) == NULL)
        status = cachify_report(CACHIFY_NO_MEMORY, "no memory for a value of %u bytes",
                                request->value_len);
    else
        put(at, item);
    pthread_mutex_unlock(&t->lock);
    return status;
}

static cachify_status_t table_get(void *self, cachify_caller_t *caller, const char *key,
                                  uint32_t key_len, void *value, uint32_t *len)
{
    struct table *t = self;
    cachify_status_t status = CACHIFY_OK;
    (void)caller;
    pthread_mutex_lock(&t->lock);
    const struct item *item = *find(t, key, key_len);
    if (item == NULL) {
        status = cachify_report(CACHIFY_LOST, "there is no value");
    } else if (item->value_len > *len) {
        status = cachify_report(CACHIFY_INVALID, "a value of %u bytes does not fit %u",
                                item->value_len, *len);
    } else {
        if (item->value_len > 0)
            memcpy(value, item->bytes + key_len, item->value_len);
        *len = item->value_len;
    }
    pthread_mutex_unlock(&t->lock);
    return status;
}

static cachify_status_t table_del(void *self, cachify_caller_t *caller, const char *key,
                                  uint32_t key_len)
{
    struct table *t = self;
    (void)caller;
    pthread_mutex_lock(&t->lock);
    struct item **at = find(t, key, key_len), *item = *at;
    if (item != NULL)
        *at = item->next;
    pthread_mutex_unlock(&t->lock);
    free(item);
    return CACHIFY_OK;
}

static void table_destroy(void *self)
{
    struct table *t = self;
    for (unsigned i = 0; i < CHAINS; i++) {
        while (t->chain[i] != NULL) {
            struct item *item = t->chain[i];
            t->chain[i] = item->next;
            free(item);
        }
    }
    pthread_mutex_destroy(&t->lock);
    free(t);
}

/* What check-client looks for in a module. */
CACHIFY_API cachify_status_t cachify_client_make(cachify_client_t *client);

cachify_status_t cachify_client_make(cachify_client_t *client)
{
    struct table *t = calloc(1, sizeof *t);
    if (t == NULL)
        return cachify_report(CACHIFY_NO_MEMORY, "no memory for a table");
    pthread_mutex_init(&t->lock, NULL);
    *client = (cachify_client_t){
        .size = sizeof *client,
        .self = t,
        .set = table_set,
        .get = table_get,
        .del = table_del,
        .destroy = table_destroy,
    };
    return CACHIFY_OK;
}
