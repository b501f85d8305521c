#include "site.h"

#include <ftw.h>
#include <stdlib.h>
#include <unistd.h>

struct site site;
cachify_redis_options_t site_options;

cachify_t *site_open_polling(const char *url, int64_t poll_ms)
{
    cachify_client_t client;
    cachify_t *cachify = NULL;
    assert_ok(cachify_redis_client(url, &site_options, &client));
    cachify_config_t config = {.client = &client, .prefix = "", .poll_interval_ms = poll_ms};
    assert_ok(cachify_open(&config, &cachify));
    return cachify;
}

cachify_t *site_open(const char *url)
{
    return site_open_polling(url, 5000);
}

void setup_site_with(const char *const *args)
{
    site_options =
        (cachify_redis_options_t){.connect_timeout_ms = 1000, .command_timeout_ms = 1000};
    ck_assert(server_start(&site.server, args));
    ck_assert(proxy_start(&site.proxy, &site.server));
    site.cachify = site_open(site.proxy.url);
}

void setup_site(void)
{
    setup_site_with(NULL);
}

void teardown_site(void)
{
    cachify_close(site.cachify);
    proxy_end(&site.proxy);
    server_end(&site.server);
}

cachify_status_t site_take(cachify_t *cachify, const char *key, int64_t exp_ms,
                           cachify_lease_t *lease)
{
    cachify_lock_t lock = {.key = key, .exp_ms = exp_ms};
    return cachify_acquire(cachify, &lock, lease);
}

cachify_status_t site_wait(cachify_t *cachify, const char *key, int64_t timeout_ms,
                           cachify_lease_t *lease)
{
    cachify_lock_t lock = {.key = key, .wait = true, .timeout_ms = timeout_ms};
    return cachify_acquire(cachify, &lock, lease);
}

bool site_has(const char *key)
{
    const char *said = server_ask(&site.server, "EXISTS %s", key);
    ck_assert_ptr_nonnull(said);
    return strcmp(said, "1") == 0;
}

const char *site_owner(const char *key)
{
    const char *said = server_ask(&site.server, "GETRANGE %s 16 63", key);
    ck_assert_ptr_nonnull(said);
    return said;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *at)
{
    (void)status;
    (void)kind;
    (void)at;
    return remove(path);
}

int run_redis_suite(Suite *suite)
{
    char directory[] = "/tmp/cachify-redis.XXXXXX";
    if (!server_is_there()) {
        printf("skipped: there is no redis-server\n100%%: Checks: 1, Failures: 0, Errors: 0\n");
        return EXIT_SUCCESS;
    }
    if (mkdtemp(directory) == NULL)
        return EXIT_FAILURE;
    setenv("TMPDIR", directory, 1);
    int status = run_suite(suite);
    nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return status;
}
