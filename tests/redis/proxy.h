/* A proxy before a server, that cuts connections at a byte, or delivers late. */
#ifndef REDIS_TESTS_PROXY_H
#define REDIS_TESTS_PROXY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

#include "server.h"

enum proxy_act {
    PROXY_PASS,
    PROXY_CUT_REQUEST, /* so many bytes go to the server, then both ends are closed */
    PROXY_CUT_REPLY,   /* all goes to the server, and so many bytes come back */
    PROXY_HOLD,        /* what goes to the server is kept, and the client's end closed */
};

struct proxy {
    char path[96], url[128];
    const struct server *server;
    pthread_t thread;
    int listener, bell[2];
    pthread_mutex_t lock;
    /* Guarded by it. */
    enum proxy_act act;
    size_t left; /* bytes until it acts */
    bool refuse; /* once it has acted: nobody gets through any more */
    bool acted, stop, deliver;
    unsigned accepted;
};

bool proxy_start(struct proxy *proxy, const struct server *server);
void proxy_end(struct proxy *proxy);

/* Act once, when so many bytes more have come that way. */
void proxy_arm(struct proxy *proxy, enum proxy_act act, size_t bytes, bool refuse);
/* Let all through again. */
void proxy_pass(struct proxy *proxy);
bool proxy_acted(struct proxy *proxy);
unsigned proxy_accepted(struct proxy *proxy);
/* What was held reaches the server now; returns when it has been read. */
void proxy_deliver(struct proxy *proxy);

#endif
