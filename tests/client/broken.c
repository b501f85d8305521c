#include "broken.h"

cachify_status_t cachify_client_make(cachify_client_t *client); /* tests/examples/client_table.c */

const struct broken *broken_now;
cachify_client_t whole;

/* How long a check looks for what a broken client will never do. */
#define PATIENCE_MS 250

/* Some are found by chance: on a busy machine not always at once. */
#define TRIES 3

#define REPLACE(client, operation)                                                                 \
    if (broken_now->instead.operation != NULL)                                                     \
    (client)->operation = broken_now->instead.operation

static void spoil(cachify_client_t *client)
{
    if (broken_now->change_key != NULL) {
        client->set = broken_key_set;
        client->get = broken_key_get;
        client->del = broken_key_del;
    }
    REPLACE(client, set);
    REPLACE(client, get);
    REPLACE(client, del);
    REPLACE(client, acquire);
    REPLACE(client, release);
    REPLACE(client, extend);
    REPLACE(client, remaining_ns);
    REPLACE(client, wait);
    REPLACE(client, pend);
    REPLACE(client, pend_try);
    REPLACE(client, pend_end);
    REPLACE(client, query);
    REPLACE(client, is_locked);
    REPLACE(client, enter);
}

static cachify_status_t make_store(cachify_client_t *client)
{
    cachify_status_t status = cachify_client_make(&whole);
    *client = whole;
    spoil(client);
    return status;
}

static cachify_status_t make_grants(cachify_client_t *client)
{
    cachify_status_t status = cachify_memory_client(0, &whole);
    *client = whole;
    spoil(client);
    return status;
}

static void try_all(struct cachify_verdict *sum, const struct broken *list,
                    cachify_status_t (*make)(cachify_client_t *), FILE *out)
{
    for (broken_now = list; broken_now->name != NULL; broken_now++) {
        struct cachify_subject subject = {
            .name = broken_now->name, .make = make, .patience_ms = PATIENCE_MS};
        bool flagged = false;
        for (unsigned i = 0; i < TRIES && !flagged; i++)
            flagged = cachify_conformance(&subject, broken_now->check, NULL).failures > 0;
        fprintf(out, "%s broken: %s: %s by %s\n", flagged ? "ok" : "not ok", broken_now->name,
                flagged ? "flagged" : "not flagged", broken_now->check);
        sum->checks++;
        sum->failures += !flagged;
    }
}

struct cachify_verdict try_broken_clients(FILE *out)
{
    struct cachify_verdict sum = {0};
    try_all(&sum, broken_stores, make_store, out);
    try_all(&sum, broken_grants, make_grants, out);
    return sum;
}
