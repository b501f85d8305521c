#include "redis/lease.h"

#include <stdlib.h>
#include <string.h>

#define PLACE_BITS 20u
_Static_assert(CR_LEASE_CHUNK *CR_LEASE_CHUNKS == 1u << PLACE_BITS, "a number names any place");

bool cr_leases_init(struct cr_leases *all)
{
    memset(all, 0, sizeof *all);
    return pthread_mutex_init(&all->lock, NULL) == 0;
}

void cr_leases_free(struct cr_leases *all)
{
    for (uint32_t i = 0; i < CR_LEASE_CHUNKS && all->chunk[i] != NULL; i++) {
        for (uint32_t j = 0; j < CR_LEASE_CHUNK; j++)
            free(all->chunk[i][j].text);
        free(all->chunk[i]);
        all->chunk[i] = NULL;
    }
}

static struct cr_lease *at_place(struct cr_leases *all, uint32_t place)
{
    struct cr_lease *chunk = all->chunk[place / CR_LEASE_CHUNK];
    return chunk != NULL ? &chunk[place % CR_LEASE_CHUNK] : NULL;
}

static struct cr_lease *find(struct cr_leases *all, uint64_t number)
{
    struct cr_lease *lease = at_place(all, (uint32_t)(number & ((1u << PLACE_BITS) - 1)));
    return lease != NULL && number != 0 && atomic_load(&lease->number) == number ? lease : NULL;
}

static struct cr_lease *take_place(struct cr_leases *all, struct cr_failure *f)
{
    struct cr_lease *lease = all->free;
    if (lease != NULL) {
        all->free = lease->next_free;
        return lease;
    }
    if (all->count == CR_LEASE_CHUNK * CR_LEASE_CHUNKS) {
        cr_fail(f, CACHIFY_FULL, "this process has %u leases of the client; there is no more room",
                all->count);
        return NULL;
    }
    struct cr_lease **chunk = &all->chunk[all->count / CR_LEASE_CHUNK];
    if (*chunk == NULL)
        *chunk = calloc(CR_LEASE_CHUNK, sizeof **chunk);
    if (*chunk == NULL) {
        cr_fail(f, CACHIFY_NO_MEMORY, "no memory for a lease");
        return NULL;
    }
    lease = &(*chunk)[all->count % CR_LEASE_CHUNK];
    lease->place = all->count++;
    return lease;
}

struct cr_lease *cr_lease_make(struct cr_leases *all, struct cr_failure *f)
{
    pthread_mutex_lock(&all->lock);
    struct cr_lease *lease = take_place(all, f);
    if (lease != NULL) {
        atomic_store(&lease->deadline, 0);
        atomic_store(&lease->number, (uint64_t)++lease->uses << PLACE_BITS | lease->place);
    }
    pthread_mutex_unlock(&all->lock);
    return lease;
}

void cr_lease_begin(struct cr_leases *all, struct cr_lease *lease, uint64_t deadline,
                    const struct cr_lease *facts)
{
    pthread_mutex_lock(&all->lock);
    lease->serial = facts->serial;
    lease->again = facts->again;
    lease->key_len = facts->key_len;
    lease->value_len = facts->value_len;
    lease->text = facts->text;
    atomic_store(&lease->deadline, deadline);
    pthread_mutex_unlock(&all->lock);
}

bool cr_lease_look(struct cr_leases *all, struct cr_lease *lease, uint64_t number,
                   struct cr_lease *copy, struct cr_failure *f)
{
    pthread_mutex_lock(&all->lock);
    bool found = lease != NULL && atomic_load(&lease->number) == number && lease->text != NULL;
    char *text = NULL;
    if (found) {
        size_t len = (size_t)lease->key_len + lease->value_len;
        text = malloc(len);
        if (text != NULL)
            memcpy(text, lease->text, len);
        memcpy(copy, lease, sizeof *copy);
        copy->text = text;
    }
    pthread_mutex_unlock(&all->lock);
    if (!found)
        cr_fail(f, CACHIFY_LOST, "the lease had been released");
    else if (text == NULL)
        cr_fail(f, CACHIFY_NO_MEMORY, "no memory for a copy of the lease's key");
    return text != NULL;
}

void cr_lease_end(struct cr_leases *all, uint64_t number)
{
    pthread_mutex_lock(&all->lock);
    struct cr_lease *lease = find(all, number);
    if (lease != NULL)
        atomic_store(&lease->deadline, 0);
    pthread_mutex_unlock(&all->lock);
}

void cr_lease_renew(struct cr_leases *all, struct cr_lease *lease, uint64_t number,
                    uint64_t deadline, uint32_t serial)
{
    pthread_mutex_lock(&all->lock);
    if (atomic_load(&lease->number) == number) {
        atomic_store(&lease->deadline, deadline);
        if (lease->serial != serial)
            lease->serial = 0;
    }
    pthread_mutex_unlock(&all->lock);
}

bool cr_lease_drop(struct cr_leases *all, struct cr_lease *lease, uint64_t number)
{
    pthread_mutex_lock(&all->lock);
    bool found = lease != NULL && atomic_load(&lease->number) == number;
    if (found) {
        atomic_store(&lease->number, 0);
        atomic_store(&lease->deadline, 0);
        free(lease->text);
        lease->text = NULL;
        lease->next_free = all->free;
        all->free = lease;
    }
    pthread_mutex_unlock(&all->lock);
    return found;
}

/* The number is looked at again after the deadline: in between it may have become another's. */
uint64_t cr_lease_deadline(const struct cr_lease *lease, uint64_t number)
{
    if (lease == NULL || atomic_load(&lease->number) != number)
        return 0;
    uint64_t deadline = atomic_load(&lease->deadline);
    return atomic_load(&lease->number) == number ? deadline : 0;
}

bool cr_lease_is_self(struct cr_leases *all, uint64_t number, uint32_t serial)
{
    pthread_mutex_lock(&all->lock);
    struct cr_lease *lease = find(all, number);
    bool self =
        lease != NULL && lease->serial == serial && atomic_load(&lease->deadline) == UINT64_MAX;
    pthread_mutex_unlock(&all->lock);
    return self;
}
