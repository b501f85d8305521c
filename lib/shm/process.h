/* This process's entry in the segment: its registration and its end. */
#ifndef CF_SHM_PROCESS_H
#define CF_SHM_PROCESS_H

#include <cachify/cachify.h>

#include "shm/mapping.h"

/* Take an entry, unless this very process has one already: lock its byte, count its
 * generation on, then use it.  Call with the process lock held.
 * OK, FULL, GONE, SYSTEM. */
cachify_status_t cf_process_register(struct cf_mapping *m);

/* The entry that a process would like best. */
uint32_t cf_process_place(const struct cf_mapping *m, pid_t pid);

/* Give the entry back; every lease it still has is dead from now on.  Call with the
 * process lock held. */
void cf_process_unregister(struct cf_mapping *m);

#endif
