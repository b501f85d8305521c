#include "redis/tls.h"

#ifdef CR_TLS

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

/* What is to be sent lies in `out`, what came in `in`, both of them the connection's. */
struct tls {
    SSL_CTX *context;
    SSL *ssl;
    BIO *in, *out;
};

static void fail_tls(const struct cr_settings *s, struct cr_failure *f, cachify_status_t status,
                     const char *what)
{
    char why[160];
    ERR_error_string_n(ERR_peek_last_error(), why, sizeof why);
    cr_fail(f, status, "TLS with the server at %s: %s: %s", s->address, what, why);
    ERR_clear_error();
}

/* ---- Whom to trust, and who we are ---- */

static bool set_trust(SSL_CTX *context, const struct cr_settings *s)
{
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    return s->ca != NULL ? SSL_CTX_load_verify_locations(context, s->ca, NULL) == 1
                         : SSL_CTX_set_default_verify_paths(context) == 1;
}

static bool set_identity(SSL_CTX *context, const struct cr_settings *s)
{
    const char *key = s->key != NULL ? s->key : s->cert;
    return s->cert == NULL || (SSL_CTX_use_certificate_chain_file(context, s->cert) == 1 &&
                               SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) == 1);
}

/* An address, or a name: then the server hears for which of its names it is. */
static bool set_peer(SSL *ssl, const char *host)
{
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1)
        return true;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

static bool prepare(struct tls *t, const struct cr_settings *s, struct cr_failure *f)
{
    t->context = SSL_CTX_new(TLS_client_method());
    if (t->context == NULL || !set_trust(t->context, s) || !set_identity(t->context, s)) {
        fail_tls(s, f, CACHIFY_INVALID, "ca_file, cert_file or key_file");
        return false;
    }
    t->ssl = SSL_new(t->context);
    t->in = BIO_new(BIO_s_mem());
    t->out = BIO_new(BIO_s_mem());
    if (t->ssl == NULL || t->in == NULL || t->out == NULL || !set_peer(t->ssl, s->host)) {
        BIO_free(t->in);
        BIO_free(t->out);
        fail_tls(s, f, CACHIFY_NO_MEMORY, "no memory");
        return false;
    }
    SSL_set_bio(t->ssl, t->in, t->out);
    SSL_set_connect_state(t->ssl);
    return true;
}

/* ---- Bytes ---- */

static bool flush(struct tls *t, const struct cr_settings *s, int fd, uint64_t until,
                  struct cr_failure *f)
{
    char *bytes;
    long len = BIO_get_mem_data(t->out, &bytes);
    bool ok = len <= 0 || cr_net_send(s, fd, bytes, (size_t)len, until, f);
    (void)BIO_reset(t->out);
    return ok;
}

/* What TLS wants to have read, after what it has to say. */
static bool feed(struct tls *t, const struct cr_settings *s, int fd, uint64_t until,
                 struct cr_failure *f)
{
    char bytes[8192];
    if (!flush(t, s, fd, until, f))
        return false;
    size_t n = cr_net_receive(s, fd, bytes, sizeof bytes, until, f);
    if (n > 0 && BIO_write(t->in, bytes, (int)n) != (int)n) {
        cr_fail(f, CACHIFY_NO_MEMORY, "no memory for an answer");
        return false;
    }
    return n > 0;
}

static bool shake_hands(struct tls *t, const struct cr_settings *s, int fd, uint64_t until,
                        struct cr_failure *f)
{
    for (;;) {
        int n = SSL_do_handshake(t->ssl);
        if (n == 1)
            return flush(t, s, fd, until, f);
        if (SSL_get_error(t->ssl, n) == SSL_ERROR_WANT_READ) {
            if (!feed(t, s, fd, until, f))
                return false;
            continue;
        }
        long verdict = SSL_get_verify_result(t->ssl);
        if (verdict != X509_V_OK)
            cr_fail(f, CACHIFY_PERMISSION, "TLS with the server at %s: it is not trusted: %s",
                    s->address, X509_verify_cert_error_string(verdict));
        else
            fail_tls(s, f, CACHIFY_SYSTEM, "no handshake");
        struct cr_failure unheard;
        flush(t, s, fd, until, &unheard); /* the server hears why */
        return false;
    }
}

void *cr_tls_begin(const struct cr_settings *s, int fd, uint64_t until, struct cr_failure *f)
{
    struct tls *t = calloc(1, sizeof *t);
    if (t == NULL) {
        cr_fail(f, CACHIFY_NO_MEMORY, "no memory for a connection");
        return NULL;
    }
    ERR_clear_error();
    if (prepare(t, s, f) && shake_hands(t, s, fd, until, f))
        return t;
    cr_tls_end(t);
    return NULL;
}

void cr_tls_end(void *tls)
{
    struct tls *t = tls;
    if (t == NULL)
        return;
    SSL_free(t->ssl);
    SSL_CTX_free(t->context);
    free(t);
}

bool cr_tls_send(void *tls, const struct cr_settings *s, int fd, const char *bytes, size_t len,
                 uint64_t until, struct cr_failure *f)
{
    struct tls *t = tls;
    size_t written;
    ERR_clear_error();
    if (len > 0 && SSL_write_ex(t->ssl, bytes, len, &written) != 1) { /* memory takes all at once */
        fail_tls(s, f, CACHIFY_SYSTEM, "cannot write");
        return false;
    }
    return flush(t, s, fd, until, f);
}

size_t cr_tls_receive(void *tls, const struct cr_settings *s, int fd, char *bytes, size_t room,
                      uint64_t until, struct cr_failure *f)
{
    struct tls *t = tls;
    size_t n;
    ERR_clear_error();
    while (SSL_read_ex(t->ssl, bytes, room, &n) != 1) {
        int error = SSL_get_error(t->ssl, 0);
        if (error == SSL_ERROR_WANT_READ && feed(t, s, fd, until, f))
            continue;
        if (error == SSL_ERROR_ZERO_RETURN)
            cr_fail(f, CACHIFY_SYSTEM, "the server at %s closed the connection", s->address);
        else if (error != SSL_ERROR_WANT_READ)
            fail_tls(s, f, CACHIFY_SYSTEM, "cannot read");
        return 0;
    }
    return n;
}

#else

void *cr_tls_begin(const struct cr_settings *s, int fd, uint64_t until, struct cr_failure *f)
{
    (void)fd;
    (void)until;
    cr_fail(f, CACHIFY_INVALID, "no TLS to %s: the library was built without it", s->address);
    return NULL;
}

void cr_tls_end(void *tls)
{
    (void)tls;
}

bool cr_tls_send(void *tls, const struct cr_settings *s, int fd, const char *bytes, size_t len,
                 uint64_t until, struct cr_failure *f)
{
    (void)tls;
    return cr_net_send(s, fd, bytes, len, until, f);
}

size_t cr_tls_receive(void *tls, const struct cr_settings *s, int fd, char *bytes, size_t room,
                      uint64_t until, struct cr_failure *f)
{
    (void)tls;
    return cr_net_receive(s, fd, bytes, room, until, f);
}

#endif
