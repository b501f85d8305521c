/* What the fuzz targets share: bytes to choose by, a directory for files, and a property that
 * aborts when it does not hold.  README.md says how they are run. */
#ifndef CF_TESTS_FUZZ_H
#define CF_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cachify/cachify.h>

/* ---- Targets ---- */

typedef void fuzz_target(const uint8_t *data, size_t size);
fuzz_target fuzz_header, fuzz_open, fuzz_iterator, fuzz_keys;

/* By its name; NULL if there is none. */
fuzz_target *fuzz_target_of(const char *name);
extern const char *const fuzz_names[4];

/* ---- Properties ---- */

#define PROPERTY(condition)                                                                        \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: does not hold: %s (last error: %s)\n", __FILE__, __LINE__,     \
                    #condition, cachify_last_error());                                             \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* The status is one of those, and an error has its message. */
cachify_status_t fuzz_status(cachify_status_t status);

/* ---- The input ---- */

struct bytes {
    const uint8_t *at;
    size_t left;
};

uint64_t fuzz_number(struct bytes *bytes, unsigned width); /* little-endian; 0 when used up */
static inline uint8_t fuzz_byte(struct bytes *bytes)
{
    return (uint8_t)fuzz_number(bytes, 1);
}
/* At most `most` bytes, as a NUL-terminated string of just that size; the caller frees it. */
char *fuzz_string(struct bytes *bytes, size_t most, size_t *len);

/* ---- Files ---- */

/* A path in a directory of this process's own; everything in it goes with fuzz_tidy, the
 * directory itself with fuzz_end or when the process ends. */
const char *fuzz_path(void);
void fuzz_tidy(void);
void fuzz_end(void);

/* The bytes of a small segment in which leases are held, expired and idle.  *segment: the
 * caller's only until the next call. */
struct image {
    uint8_t *bytes;
    size_t size;
};
const struct image *fuzz_image(void);
/* Write the image's first `size` bytes to fuzz_path(), zeros beyond its own. */
void fuzz_write(const uint8_t *bytes, size_t used, size_t size);

/* List everything through the view, and assert what every lease has to be like. */
struct cachify_shm_view;
void fuzz_list(const struct cachify_shm_view *view);

#endif
