/* Reading a record that others may reuse at any moment (README, "Reading"). */
#ifndef CF_SHM_RECORD_H
#define CF_SHM_RECORD_H

#include <string.h>

#include "shm/mapping.h"

/* A key, hashed; its bytes are zero-padded to whole words. */
struct cf_key {
    const char *bytes;
    uint32_t len;
    uint64_t hash;
};

static inline uint64_t cf_key_word(const struct cf_key *key, uint32_t i)
{
    uint64_t word;
    memcpy(&word, key->bytes + (size_t)i * 8, sizeof word);
    return word;
}

/* What decides about a lease. */
struct cf_copy {
    uint64_t deadline;
    uint64_t token;
    cf_owner owner;
    uint64_t thread;
};

static inline struct cf_copy cf_record_copy(const struct cf_record *r)
{
    return (struct cf_copy){
        .deadline = cf_load_relaxed(&r->deadline),
        .token = cf_load_relaxed(&r->token),
        .owner = cf_load_relaxed(&r->owner),
        .thread = cf_load_relaxed(&r->thread),
    };
}

static inline bool cf_record_has_key(const struct cf_record *r, const struct cf_key *key)
{
    if (cf_load_relaxed(&r->hash) != key->hash || cf_load_relaxed(&r->key_len) != key->len)
        return false;
    for (uint32_t i = 0; i < cf_key_words(key->len); i++)
        if (cf_load_relaxed(&r->text[i]) != cf_key_word(key, i))
            return false;
    return true;
}

/* E3: whether what was copied from w's record is whole: w is still in its slot. */
static inline bool cf_copy_confirmed(_Atomic uint64_t *slot, cf_word w)
{
    cf_fence_acquire();
    return cf_load_relaxed(slot) == w;
}

#endif
