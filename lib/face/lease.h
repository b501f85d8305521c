/* What lies in a caller's cachify_lease_t. */
#ifndef CF_FACE_LEASE_H
#define CF_FACE_LEASE_H

#include <cachify/client.h>

#include "ground/atomics.h"

#define CF_LEASE_HELD UINT64_C(0x6c65617365686c64)

struct cf_face_lease {
    _Atomic uint64_t state; /* CF_LEASE_HELD, or 0: empty */
    uint64_t process;       /* serial of the process that took it */
    cachify_t *instance;    /* pinned while held */
    uint64_t opened;        /* the instance's then: a copy may outlive it */
    const void *home;       /* where acquire put the lease; a copy lies elsewhere */
    cachify_grant_t grant;
};

_Static_assert(sizeof(struct cf_face_lease) <= sizeof(cachify_lease_t), "a lease has room to grow");

#endif
