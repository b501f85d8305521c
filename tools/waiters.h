/* Those who waited during one look, key by key, in the order in which they came. */
#ifndef CACHIFY_TOOLS_WAITERS_H
#define CACHIFY_TOOLS_WAITERS_H

#include <cachify/shm.h>

#include "listing.h"

extern const struct kind waiters;

struct waiter_row {
    struct row_head head;
    int64_t pid;
    int64_t thread;
    int64_t waited_ms;
    int64_t awaited_pid;
    char command[16];
    char awaited_command[16];
    bool event_loop;
    uint32_t key_len;
    char key[];
};

/* cachify_shm_waiters' callback; context: the listing.  1 if memory is short. */
int waiters_add(void *context, const cachify_waiter_t *waiter);

#endif
