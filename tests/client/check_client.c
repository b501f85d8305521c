/* check-client: puts clients through what <cachify/client.h> asks of them. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clients/client_shm.h"
#include "conformance.h"

cachify_status_t cachify_client_make(cachify_client_t *client); /* tests/examples/client_table.c */

/* ---- Our own ---- */

static char shm_name[64];

/* A segment of its own each time; what lies there from the last time was closed. */
static cachify_status_t make_shm(cachify_client_t *client)
{
    char path[80];
    snprintf(shm_name, sizeof shm_name, "cachify-check-client.%ld", (long)getpid());
    snprintf(path, sizeof path, "/dev/shm/%s", shm_name);
    unlink(path);
    cachify_config_t config = {.name = shm_name, .max_locks = 4096};
    return cf_client_shm(&config, client);
}

static void remove_shm(void)
{
    char path[80];
    snprintf(path, sizeof path, "/dev/shm/%s", shm_name);
    if (*shm_name != '\0')
        unlink(path);
}

static cachify_status_t make_memory(cachify_client_t *client)
{
    return cachify_memory_client(0, client);
}

static const struct cachify_subject ours[] = {
    /* Its set without nx is a del and an acquisition; others' looks may fall between. */
    {.name = "shm", .make = make_shm, .except = "no-gap"},
    {.name = "memory", .make = make_memory},
    {.name = "example", .make = cachify_client_make},
};

#define OURS (sizeof ours / sizeof ours[0])

/* ---- What is to be checked ---- */

static struct cachify_verdict sum;

static void add(struct cachify_verdict verdict)
{
    sum.checks += verdict.checks;
    sum.failures += verdict.failures;
    sum.skipped += verdict.skipped;
}

static void check(const struct cachify_subject *subject)
{
    printf("-- %s\n", subject->name);
    add(cachify_conformance(subject, getenv("CHECK"), stdout));
    remove_shm();
}

int main(int argc, char **argv)
{
    (void)argc, (void)argv;
    for (size_t i = 0; i < OURS; i++)
        check(&ours[i]);
    printf("%u%%: Checks: %u, Failures: %u, Errors: 0\n",
           sum.checks > 0 ? (sum.checks - sum.failures) * 100 / sum.checks : 0, sum.checks,
           sum.failures);
    return sum.failures > 0 || sum.checks == 0;
}
