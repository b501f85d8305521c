/* check-client: puts clients through what <cachify/client.h> asks of them.
 *
 *     check-client [--only=PATTERN] [--self-test] [NAME | PATH.so]...
 *
 * Names are those of the clients at hand: shm, memory, example.  A shared object has to export
 *
 *     cachify_status_t cachify_client_make(cachify_client_t *client);
 *
 * Without arguments: all at hand, the example as a shared object, and the self-test, in which
 * broken clients have to be found out. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broken.h"
#include "clients/client_shm.h"

cachify_status_t cachify_client_make(cachify_client_t *client); /* tests/examples/client_table.c */

/* ---- At hand ---- */

static char shm_name[64];

static void remove_shm(void)
{
    char path[80];
    snprintf(path, sizeof path, "/dev/shm/%s", shm_name);
    if (*shm_name != '\0')
        unlink(path);
}

/* A segment of its own each time: who used the last has closed it. */
static cachify_status_t make_shm(cachify_client_t *client)
{
    snprintf(shm_name, sizeof shm_name, "cachify-check-client.%ld", (long)getpid());
    remove_shm();
    cachify_config_t config = {.name = shm_name, .max_locks = 4096};
    return cf_client_shm(&config, client);
}

static cachify_status_t make_memory(cachify_client_t *client)
{
    return cachify_memory_client(0, client);
}

static const struct cachify_subject ours[] = {
    {.name = "shm", .make = make_shm},
    {.name = "memory", .make = make_memory},
    {.name = "example", .make = cachify_client_make},
};

#define OURS (sizeof ours / sizeof ours[0])

/* ---- What is checked ---- */

static struct cachify_verdict sum;
static const char *only;

static void add(struct cachify_verdict verdict)
{
    sum.checks += verdict.checks;
    sum.failures += verdict.failures;
    sum.skipped += verdict.skipped;
}

static void check(const struct cachify_subject *subject)
{
    printf("-- %s\n", subject->name);
    add(cachify_conformance(subject, only, stdout));
    remove_shm();
}

static void self_test(void)
{
    printf("-- self-test\n");
    add(try_broken_clients(stdout));
}

static void cannot(const char *what, const char *why)
{
    printf("not ok load: %s: %s\n", what, why != NULL ? why : "no reason was given");
    add((struct cachify_verdict){.checks = 1, .failures = 1});
}

static int tell_sum(void)
{
    if (sum.skipped > 0)
        printf("%u skipped\n", sum.skipped);
    printf("%u%%: Checks: %u, Failures: %u, Errors: 0\n",
           sum.checks > 0 ? (sum.checks - sum.failures) * 100 / sum.checks : 0, sum.checks,
           sum.failures);
    return sum.failures > 0 || sum.checks == 0;
}

/* It stays loaded: its threads may go on, and checkers want to know its names. */
static void check_module(const char *path)
{
    char near[4096];
    snprintf(near, sizeof near, "%s%s", strchr(path, '/') == NULL ? "./" : "", path);
    struct cachify_subject subject = {.name = path};
    void *module = dlopen(near, RTLD_NOW | RTLD_LOCAL);
    if (module == NULL) {
        cannot(path, dlerror());
        return;
    }
    *(void **)&subject.make = dlsym(module, "cachify_client_make");
    if (subject.make == NULL)
        cannot(path, dlerror());
    else
        check(&subject);
}

static void check_all(void)
{
    for (size_t i = 0; i < OURS; i++)
        check(&ours[i]);
    if (access(EXAMPLE_MODULE, R_OK) == 0)
        check_module(EXAMPLE_MODULE);
    else
        printf("skipped %s: no shared objects were built\n", EXAMPLE_MODULE);
    self_test();
}

static void check_named(const char *name)
{
    for (size_t i = 0; i < OURS; i++) {
        if (strcmp(ours[i].name, name) == 0) {
            check(&ours[i]);
            return;
        }
    }
    check_module(name);
}

int main(int argc, char **argv)
{
    unsigned named = 0;
    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], "--only=", 7) == 0)
            only = argv[i] + 7;
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--only=", 7) == 0)
            continue;
        named++;
        if (strcmp(argv[i], "--self-test") == 0)
            self_test();
        else
            check_named(argv[i]);
    }
    if (named == 0)
        check_all();
    return tell_sum();
}
