/* The iterator: words of a segment are changed by the input, and it is listed.  Ten bytes a
 * change: where, as a word's number, and what is laid over it. */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cachify/shm.h>

#include "fuzz.h"
#include "shm/layout.h"

#define CHANGES 64u

static uint64_t *words;
static cachify_shm_view_t *view;

static void set_up(void)
{
    const struct image *image = fuzz_image();
    fuzz_write(image->bytes, image->size, image->size);
    int fd = open(fuzz_path(), O_RDWR | O_CLOEXEC);
    PROPERTY(fd >= 0);
    words = mmap(NULL, image->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    PROPERTY(words != MAP_FAILED);
    close(fd);
    PROPERTY(cachify_shm_open(NULL, fuzz_path(), &view) == CACHIFY_OK);
}

void fuzz_iterator(const uint8_t *data, size_t size)
{
    const struct image *image = fuzz_image();
    struct bytes bytes = {data, size};
    size_t at[CHANGES];
    unsigned changes = 0;
    if (view == NULL)
        set_up();
    while (bytes.left > 0 && changes < CHANGES) {
        at[changes] = (size_t)fuzz_number(&bytes, 2) % (image->size / 8);
        words[at[changes++]] ^= fuzz_number(&bytes, 8);
    }
    fuzz_list(view);
    for (unsigned i = 0; i < changes; i++)
        memcpy(&words[at[i]], image->bytes + at[i] * 8, 8);
}
