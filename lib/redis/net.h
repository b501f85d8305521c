/* Sockets with a deadline.  Theirs are never 0, 1 or 2, closed by exec, and no cause of SIGPIPE. */
#ifndef CR_NET_H
#define CR_NET_H

#include <stddef.h>

#include "redis/settings.h"
#include "redis/system.h"

/* The descriptor, or -1 and why. */
int cr_net_connect(const struct cr_settings *s, uint64_t until, struct cr_failure *f);

/* All of it.  False, and why. */
bool cr_net_send(const struct cr_settings *s, int fd, const char *bytes, size_t len, uint64_t until,
                 struct cr_failure *f);

/* What there is, at least a byte; 0, and why: also that the other end closed it. */
size_t cr_net_receive(const struct cr_settings *s, int fd, char *bytes, size_t room, uint64_t until,
                      struct cr_failure *f);

/* Nothing was heard that nobody asked for, and it was not closed. */
bool cr_net_is_quiet(int fd);

#endif
