/* Whether the owner of a lease lives.  The proof of death is a byte of the segment's file
 * that nobody has locked; everything else is "not known", which counts as alive. */
#ifndef CF_SHM_LIVENESS_H
#define CF_SHM_LIVENESS_H

#include "shm/mapping.h"

/* Where the bytes lie that processes lock: far beyond any file's end. */
#define CF_LIVE_BYTES (INT64_C(1) << 40)
#define CF_INIT_BYTE (CF_LIVE_BYTES - 1) /* locked by who fills a memfd */

/* Free memory of an answer: for so long "alive" is believed without asking again. */
#define CF_ALIVE_NS CF_MS

/* Ask the kernel whether entry's byte is locked by another description than fd's. */
enum cf_byte { CF_BYTE_FREE, CF_BYTE_LOCKED, CF_BYTE_UNKNOWN };
enum cf_byte cf_byte_ask(const struct cf_mapping *m, uint32_t entry);

/* Whether the mapping's descriptor serves to lock bytes (*fd is -1 then), or one was opened
 * that does (*fd, to be closed). */
bool cf_live_descriptor(const struct cf_mapping *m, int *fd);

/* Slow half of cf_owner_dead: asks the kernel, and counts the generation on if dead. */
bool cf_owner_ask(struct cf_mapping *m, uint32_t entry, uint64_t generation, uint64_t now);

/* True once the owner is proved dead.  now: on the segment's clock; 0 asks afresh. */
static inline bool cf_owner_dead(struct cf_mapping *m, cf_owner owner, uint64_t now)
{
    uint32_t entry = cf_owner_entry(owner);
    if (entry >= m->processes)
        return true; /* no process ever wrote this */
    struct cf_process *p = &m->process_at[entry];
    if (cf_load_acquire(&p->generation) != cf_owner_generation(owner))
        return true;
    if (owner == cf_self(m))
        return false;
    uint64_t seen = cf_load_relaxed(&p->seen_alive);
    if (now != 0 && seen <= now && now - seen < CF_ALIVE_NS)
        return false;
    return cf_owner_ask(m, entry, cf_owner_generation(owner), now);
}

/* The same without asking the kernel: dead as far as everybody knows already. */
static inline bool cf_owner_known_dead(const struct cf_mapping *m, cf_owner owner)
{
    uint32_t entry = cf_owner_entry(owner);
    return entry >= m->processes ||
           cf_load_acquire(&m->process_at[entry].generation) != cf_owner_generation(owner);
}

#endif
