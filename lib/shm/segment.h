/* The segment's file: finding, creating, checking, mapping it, and noticing its end. */
#ifndef CF_SHM_SEGMENT_H
#define CF_SHM_SEGMENT_H

#include <cachify/cachify.h>

#include "shm/mapping.h"

/* Where a configuration's segment lies: a malloc'ed path, or NULL and *fd.
 * OK, INVALID, NO_MEMORY. */
cachify_status_t cf_segment_locate(const cachify_config_t *config, char **path, int *fd);

/* Open, or create and open, the segment that config names, and map it.  Registers
 * nothing.  Statuses as cachify_open. */
cachify_status_t cf_segment_open(const cachify_config_t *config, struct cf_mapping **mapping);

/* Map an existing one read-only, whoever owns it.  NOT created; SYSTEM if there is none. */
cachify_status_t cf_segment_view(const cachify_config_t *config, struct cf_mapping **mapping);

void cf_segment_close(struct cf_mapping *m);

bool cf_segment_gone_slow(struct cf_mapping *m, uint64_t now);

#define CF_GONE_CHECK_NS (100 * CF_MS)

/* True once the file is unlinked, replaced or cut short.  Asks the kernel at most every 100 ms.
 * now: cf_now_coarse. */
static inline bool cf_segment_gone(struct cf_mapping *m, uint64_t now)
{
    if (__builtin_expect(now - cf_load_relaxed(&m->checked) < CF_GONE_CHECK_NS, 1))
        return cf_load_relaxed(&m->gone);
    return cf_segment_gone_slow(m, now);
}

/* Before touching the memory where it may have been long: asks the kernel now. */
static inline bool cf_segment_cut_short(struct cf_mapping *m)
{
    cf_segment_gone_slow(m, cf_now_coarse(m));
    return cf_load_relaxed(&m->cut_short);
}

/* ---- create.c ---- */

/* The numbers of a header, from a configuration or as they must be. */
cachify_status_t cf_header_plan(const cachify_config_t *config, struct cf_header *header);
uint64_t cf_header_checksum(const struct cf_header *header);
uint32_t cf_layout_format(void);

/* Make a segment of an empty file that nobody else sees yet: reserve its space, write it
 * whole.  *old: the segment it replaces, whose tokens it goes on from; NULL for none. */
cachify_status_t cf_segment_fill(int fd, const cachify_config_t *config, const char *name,
                                 const struct cf_mapping *old);

/* "PATH.BOOT": the name under which the processes of one boot agree on the segment that
 * takes the place of another boot's. */
void cf_segment_agreed_name(char *name, size_t room, const char *path, const uint8_t boot_id[16]);

/* Create path whole, and publish it under its name without replacing another, or
 * (old not NULL) in the place of one of another boot.  OK also if somebody else was first. */
cachify_status_t cf_segment_create(const char *path, const cachify_config_t *config,
                                   const struct cf_mapping *old);

#endif
