/* TLS, by OpenSSL, where the library was built with it; else settings.c has refused it, and nothing
 * here is called but with NULL.  Bytes go through net.c, for its deadlines and for want of SIGPIPE. */
#ifndef CR_TLS_H
#define CR_TLS_H

#include "redis/net.h"

/* On a connected socket, which stays the caller's: the server has to be who it says.  NULL, and why:
 * PERMISSION where it is not. */
void *cr_tls_begin(const struct cr_settings *s, int fd, uint64_t until, struct cr_failure *f);
void cr_tls_end(void *tls);

/* As cr_net_send and cr_net_receive. */
bool cr_tls_send(void *tls, const struct cr_settings *s, int fd, const char *bytes, size_t len,
                 uint64_t until, struct cr_failure *f);
size_t cr_tls_receive(void *tls, const struct cr_settings *s, int fd, char *bytes, size_t room,
                      uint64_t until, struct cr_failure *f);

#endif
