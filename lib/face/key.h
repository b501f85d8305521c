/* Prefix and key in one. */
#ifndef CF_FACE_KEY_H
#define CF_FACE_KEY_H

#include <cachify/client.h>

#define CF_KEY_BYTES 4096u

/* Zero-padded to whole words and to a NUL, as clients get it. */
struct cf_full_key {
    _Alignas(8) char bytes[CF_KEY_BYTES + 8];
    uint32_t len;
};

/* len 0: up to the NUL.  OK, INVALID, KEY_TOO_LONG; *full is untouched on failure. */
cachify_status_t cf_full_key(struct cf_full_key *full, const cachify_t *instance, const char *key,
                             uint32_t len);

#endif
