/* The default client: locks in shared memory. */
#ifndef CF_CLIENTS_CLIENT_SHM_H
#define CF_CLIENTS_CLIENT_SHM_H

#include <cachify/client.h>

/* Open config's segment.  Statuses as cachify_open. */
cachify_status_t cf_client_shm(const cachify_config_t *config, cachify_client_t *client);

/* The mapping behind a client, NULL if it is another kind. */
struct cf_mapping *cf_client_shm_mapping(const cachify_client_t *client);

#endif
