/* The memory that actors share: the segment, whose words are put back after each run, and
 * the leases that threads of one process share.  Its 64-bit words are numbered through. */
#ifndef CF_INTERLEAVE_MEMORY_H
#define CF_INTERLEAVE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* base: the segment; more: what else is shared, which its owner puts back. */
void memory_share(void *base, size_t size, void *more, size_t more_size);

/* The number of the word that p lies in; false: not shared. */
bool memory_find(const volatile void *p, uint32_t *word);
uint32_t memory_words(void);
void *memory_at(uint32_t word);
uint64_t memory_value(uint32_t word);

/* To be called before a word of the segment is written. */
void memory_dirty(uint32_t word);
/* What is in the segment now is what restore puts back. */
void memory_keep(void);
void memory_restore(void);
/* Whether anything differs from what was kept: a write that did not say so. */
bool memory_differs(void);

#endif
