/* A view of the test's segment, and what it lists. */
#ifndef CF_TESTS_LOOKING_H
#define CF_TESTS_LOOKING_H

#include <cachify/shm.h>

#include "support.h"

extern cachify_shm_view_t *view;

/* setup_here, and a view of it. */
void setup_view(void);
void teardown_view(void);

struct seen {
    char key[CF_KEY_MAX_LIMIT + 1];
    uint32_t key_len;
    cachify_info_t info;
};

/* A listing, kept until the next: how many there are, one by place, one by key (it is there). */
unsigned list(void);
const struct seen *seen_at(unsigned i);
const cachify_info_t *listed(const char *key);

/* cachify_shm_leases' callback of list(). */
int keep(void *context, const cachify_shm_lease_t *lease);

cachify_shm_counts_t count(void);

/* The segment's file as it is, in a file of its own; a view of that instead. */
void copy_segment(char path[PATH_ROOM]);
void view_instead(const char *path);

#endif
