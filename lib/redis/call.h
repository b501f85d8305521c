/* One question to the server: sent, sent again if its answer was cut off, and answered within the
 * timeouts or not at all. */
#ifndef CR_CALL_H
#define CR_CALL_H

#include "redis/pool.h"
#include "redis/script.h"

#define CR_ARGS 24u

/* The names that the server has for the scripts; always the same once they are known. */
struct cr_scripts {
    pthread_mutex_t lock;
    char name[CR_SCRIPT_COUNT][41];
};

struct cr_call {
    enum cr_script script; /* CR_SCRIPT_COUNT: none, a command */
    unsigned n;
    struct cr_arg arg[CR_ARGS];
    char keys[4];
    char again[2];          /* "1" when it may have been done before */
    uint64_t first, latest; /* when it was sent first, and last: cr_lease_now_ns */
    unsigned sent;          /* how often */
    bool unsure;            /* it may have been done, and the answer is not known */
};

void cr_call_script(struct cr_call *call, enum cr_script script, unsigned keys);
void cr_call_command(struct cr_call *call, const char *command);
void cr_call_add(struct cr_call *call, const void *bytes, size_t len);
void cr_call_text(struct cr_call *call, const char *text);
/* Whether it may have been done before. */
void cr_call_again(struct cr_call *call);

/* The reply, of one of these types; NULL, and why. */
redisReply *cr_call_run(struct cr_pool *pool, struct cr_scripts *scripts, struct cr_call *call,
                        int type, struct cr_failure *f);

#endif
