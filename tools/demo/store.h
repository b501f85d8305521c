/* Where the pool's locks are: in a segment of its own, or on a server under a prefix of its own. */
#ifndef CACHIFY_DEMO_STORE_H
#define CACHIFY_DEMO_STORE_H

#include <stdbool.h>

/* The global instance; url: of a server, NULL for the segment.  False, with a message. */
bool store_open(const char *url);
void store_close(void);

/* A holder's death is noticed there. */
bool store_sees_death(void);

/* Without user and password. */
const char *store_place(void);

/* Who holds what: in a segment by the inspector, on a server what can be asked about one key.
 * False, with a message. */
bool store_show(const char *key);

#endif
