/* Owner-checked operations made of a store's set, get and del (cachify/client.h says what is not
 * atomic then). */
#ifndef CF_CLIENTS_CLIENT_PLAIN_H
#define CF_CLIENTS_CLIENT_PLAIN_H

#include <cachify/client.h>

/* Fills *client with one that works on *store, which is copied.  OK; INVALID: the store lacks
 * something, or has room for too short values; NO_MEMORY. */
cachify_status_t cf_client_plain(const cachify_client_t *store, cachify_client_t *client);

/* Undo that, the store untouched.  For any client; does nothing to others. */
void cf_client_plain_discard(const cachify_client_t *client);

#endif
