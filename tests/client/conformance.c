#include "conformance.h"

#include <fnmatch.h>

#include "trial.h"

static const struct check *const rooms[] = {store_checks, key_checks,    grant_checks,
                                            lease_checks, by_key_checks, wait_checks,
                                            wake_checks,  async_checks,  life_checks};

/* ---- One check ---- */

static void run_operations(struct trial *t, const struct check *check)
{
    cachify_client_t *client = &t->client;
    t->caller = new_caller();
    if (client->enter == NULL ||
        trial_status(t, client->enter(client->self, &t->caller), CACHIFY_OK, "enter")) {
        check->run(t);
        if (client->leave != NULL)
            client->leave(client->self, &t->caller);
    }
    if (client->destroy != NULL)
        client->destroy(client->self);
}

static void run_face(struct trial *t, const struct check *check)
{
    cachify_config_t config = {.client = &t->client,
                               .poll_interval_ms = check->kind == WAKING ? RARELY_MS : POLL_MS};
    if (!trial_status(t, cachify_open(&config, &t->instance), CACHIFY_OK, "cachify_open"))
        return;
    check->run(t);
    cachify_async_cancel(t->async);
    for (unsigned i = 0; i < LEASES; i++)
        cachify_release(&t->lease[i]);
    trial_status(t, cachify_close(t->instance), CACHIFY_OK, "cachify_close");
}

/* Why a client need not be put through it; NULL. */
static const char *beside_the_point(const cachify_client_t *client, const struct check *check)
{
    if (check->kind == OWNER_CHECKED && client->acquire == NULL)
        return "the client has set, get and del only";
    if (check->kind == WAKING && client->wait == NULL)
        return "the client has no wait, and is polled";
    return NULL;
}

static void run(struct trial *t, const struct check *check)
{
    if (check->kind == BARE) {
        check->run(t);
        return;
    }
    if (!trial_status(t, t->subject->make(&t->client), CACHIFY_OK, "make"))
        return;
    const char *why = beside_the_point(&t->client, check);
    if (why != NULL) {
        trial_skip(t, why);
        if (t->client.destroy != NULL)
            t->client.destroy(t->client.self);
    } else if (check->kind == FACE || check->kind == WAKING) {
        run_face(t, check);
    } else {
        run_operations(t, check);
    }
}

static void tell(FILE *out, const struct trial *t, const struct check *check)
{
    if (out == NULL)
        return;
    fprintf(out, "%s %s: %s",
            t->failed    ? "not ok"
            : t->skipped ? "skipped"
                         : "ok",
            check->name, check->what);
    if (t->failed || t->skipped)
        fprintf(out, ": %s", t->text);
    fputc('\n', out);
    fflush(out);
}

/* ---- All of them ---- */

static void judge(struct cachify_verdict *verdict, const struct cachify_subject *subject,
                  const struct check *check, FILE *out)
{
    struct trial t = {.subject = subject};
    run(&t, check);
    tell(out, &t, check);
    verdict->checks += t.failed || !t.skipped;
    verdict->failures += t.failed;
    verdict->skipped += t.skipped && !t.failed;
}

struct cachify_verdict cachify_conformance(const struct cachify_subject *subject, const char *only,
                                           FILE *out)
{
    struct cachify_verdict verdict = {0};
    for (size_t i = 0; i < sizeof rooms / sizeof rooms[0]; i++)
        for (const struct check *check = rooms[i]; check->name != NULL; check++)
            if (only == NULL || fnmatch(only, check->name, 0) == 0)
                judge(&verdict, subject, check, out);
    return verdict;
}
