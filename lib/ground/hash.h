/* The keyed hash of lock names: XXH3 with a seed drawn for each segment, so that nobody
 * outside can choose keys that meet in one group. */
#ifndef CF_GROUND_HASH_H
#define CF_GROUND_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t cf_hash(const void *bytes, size_t len, uint64_t seed);

#endif
