/* By TCP, and by TLS: whom it trusts, and that all works through it. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "site.h"

static char certificate[96], key[96], other[96], plain_url[64], tls_url[64], name_url[64];
static char plain_port[8], tls_port[8];
static cachify_lease_t lease;

/* One that is free at this moment. */
static void find_port(char port[8])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    snprintf(port, 8, "%u", ntohs(address.sin_port));
    close(fd);
}

static bool make_certificate(const char *to, const char *to_key, const char *subject)
{
    char command[512];
    snprintf(command, sizeof command,
             "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
             "-keyout %s -out %s -subj /CN=%s -addext subjectAltName=IP:127.0.0.1 2>/dev/null",
             to_key, to, subject);
    return system(command) == 0;
}

/* The server's own port 0 is overridden. */
static void start_server(bool tls)
{
    const char *args[] = {"--bind",
                          "127.0.0.1",
                          "--port",
                          plain_port,
                          tls ? "--tls-port" : NULL,
                          tls_port,
                          "--tls-cert-file",
                          certificate,
                          "--tls-key-file",
                          key,
                          "--tls-ca-cert-file",
                          certificate,
                          "--tls-auth-clients",
                          "no",
                          NULL};
    const char *room = getenv("TMPDIR");
    snprintf(certificate, sizeof certificate, "%s/certificate.%ld", room, (long)getpid());
    snprintf(key, sizeof key, "%s/key.%ld", room, (long)getpid());
    snprintf(other, sizeof other, "%s/other.%ld", room, (long)getpid());
    find_port(plain_port);
    find_port(tls_port);
    ck_assert(!tls || (make_certificate(certificate, key, "server") &&
                       make_certificate(other, "/dev/null", "other")));
    ck_assert(server_start(&site.server, args));
    snprintf(plain_url, sizeof plain_url, "redis://127.0.0.1:%s", plain_port);
    snprintf(tls_url, sizeof tls_url, "rediss://127.0.0.1:%s", tls_port);
    snprintf(name_url, sizeof name_url, "rediss://localhost:%s", tls_port);
    site_options = (cachify_redis_options_t){.connect_timeout_ms = 3000};
}

static int64_t wait_for_it(unsigned i, void *context)
{
    cachify_lease_t own = CACHIFY_LEASE_INIT;
    if (i == 0) {
        EVENTUALLY(strcmp(server_ask(&site.server, "ZCARD cachify:wait:lock"), "1") == 0, LONG_MS);
        return cachify_release(&lease);
    }
    cachify_status_t status = site_wait(context, "lock", LONG_MS, &own);
    cachify_release(&own);
    return status;
}

/* All that it has to do, with a waiter who is called (the poll interval is 5 s). */
static void use(const char *url)
{
    int64_t results[2];
    cachify_t *cachify = site_open(url);
    assert_ok(site_take(cachify, "lock", 60000, &lease));
    assert_ok(cachify_extend(&lease, 60000));
    int64_t since = now_ms();
    threads_together(2, wait_for_it, cachify, results);
    ck_assert_int_eq(results[0], CACHIFY_OK);
    ck_assert_int_eq(results[1], CACHIFY_OK);
    ck_assert_int_lt(now_ms() - since, 4500);
    cachify_close(cachify);
}

static cachify_status_t try(const char *url)
{
    cachify_t *cachify = site_open(url);
    cachify_status_t status = site_take(cachify, "lock", 60000, &lease);
    if (status == CACHIFY_OK)
        cachify_release(&lease);
    cachify_close(cachify);
    return status;
}

START_TEST(it_works_by_tcp)
{
    start_server(false);
    use(plain_url);
    server_kill(&site.server);
    assert_status(try(plain_url), CACHIFY_SYSTEM);
    assert_says("127.0.0.1:");
    assert_status(try("redis://host.invalid"), CACHIFY_SYSTEM);
    assert_says("host.invalid");
    server_end(&site.server);
}
END_TEST

#ifdef CR_TLS
START_TEST(it_works_by_tls_with_whom_it_trusts)
{
    if (system("command -v openssl >/dev/null 2>&1 && redis-server --version >/dev/null") != 0)
        SKIP("there is no openssl to make certificates with");
    start_server(true);
    site_options.ca_file = certificate;
    use(tls_url);
    assert_status(try(name_url), CACHIFY_PERMISSION); /* the certificate has the address only */
    assert_says("mismatch");
    site_options.ca_file = other;
    assert_status(try(tls_url), CACHIFY_PERMISSION);
    assert_says("not trusted");
    site_options.ca_file = NULL;
    assert_status(try(tls_url), CACHIFY_PERMISSION);
    site_options.ca_file = "/nonexistent";
    assert_status(try(tls_url), CACHIFY_INVALID);
    site_options.ca_file = certificate;
    char url[64];
    snprintf(url, sizeof url, "rediss://127.0.0.1:%s", plain_port); /* which speaks no TLS */
    site_options.connect_timeout_ms = 500;
    assert_status(try(url), CACHIFY_SYSTEM);
    snprintf(url, sizeof url, "redis://127.0.0.1:%s", tls_port);
    ck_assert_int_ne(try(url), CACHIFY_OK);
    server_end(&site.server);
}
END_TEST
#endif

int main(void)
{
    Suite *suite = suite_create("redis: TCP and TLS");
    TCase *tcp = group(suite, "tcp", NULL, NULL);
    tcase_set_timeout(tcp, 60);
    tcase_add_test(tcp, it_works_by_tcp);
#ifdef CR_TLS
    tcase_add_test(tcp, it_works_by_tls_with_whom_it_trusts);
#endif
    return run_redis_suite(suite);
}
