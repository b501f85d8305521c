/* The keyed hash of lock names: XXH3 with a seed drawn for each segment, so that nobody
 * outside can choose keys that meet in one group. */
#ifndef CF_GROUND_HASH_H
#define CF_GROUND_HASH_H

#include <stddef.h>
#include <stdint.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static inline uint64_t cf_hash(const void *bytes, size_t len, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes, len, seed);
}

#endif
