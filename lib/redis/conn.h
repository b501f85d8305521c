/* One connection: commands go out, replies come in.  After a failure it is closed; what was half
 * read is never read on. */
#ifndef CR_CONN_H
#define CR_CONN_H

#include <hiredis.h>
#include <stdatomic.h>

#include "redis/net.h"

struct cr_conn {
    _Atomic int fd; /* -1: closed.  Also read by a forked child, which closes its copy */
    redisReader *reader;
    char *out; /* commands not sent yet */
    size_t out_len, out_room;
    uint64_t idle_since;
    uint64_t generation; /* the pool's when it was made */
    struct cr_conn *next;
    void *tls;
};

struct cr_arg {
    const void *bytes;
    size_t len;
};
#define CR_TEXT(text) ((struct cr_arg){(text), strlen(text)})

/* Connect, say who we are, choose the database.  What it was before is closed. */
bool cr_conn_open(struct cr_conn *c, const struct cr_settings *s, struct cr_failure *f);
void cr_conn_close(struct cr_conn *c);
/* In a forked child, where it is the parent's: nothing is said to the server. */
void cr_conn_abandon(struct cr_conn *c);

/* Add a command to those to be sent.  False: no memory. */
bool cr_conn_put(struct cr_conn *c, const struct cr_arg *args, unsigned n, struct cr_failure *f);
bool cr_conn_flush(struct cr_conn *c, const struct cr_settings *s, uint64_t until,
                   struct cr_failure *f);
/* The next reply, which may be an error; NULL: none will come. */
redisReply *cr_conn_reply(struct cr_conn *c, const struct cr_settings *s, uint64_t until,
                          struct cr_failure *f);
/* All three. */
redisReply *cr_conn_ask(struct cr_conn *c, const struct cr_settings *s, const struct cr_arg *args,
                        unsigned n, uint64_t until, struct cr_failure *f);

/* What an error reply means here. */
void cr_refused(const struct cr_settings *s, const char *words, struct cr_failure *f);

#endif
