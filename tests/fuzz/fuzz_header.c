/* Header validation: the header of a segment that is right, with the input laid over it (by
 * exclusive or, so that zeros change nothing), looked at and opened. */
#include <string.h>
#include <unistd.h>

#include <cachify/shm.h>

#include "fuzz.h"
#include "shm/segment.h"

/* How the file around the header is made. */
#define REPAIR 1u     /* its checksum is made right */
#define RESIZE 2u     /* it is longer or shorter by as many bytes as the input says */
#define AS_IT_SAYS 4u /* it is as long as its header says, up to a limit */
#define PLAN 8u       /* all numbers are made to fit max_locks and key_max */
#define MOST (1u << 20)

static void fit(struct cf_header *h)
{
    struct cf_header plan;
    cachify_config_t config = {.max_locks = h->max_locks % 512, .key_max = h->key_max % 64};
    PROPERTY(cf_header_plan(&config, &plan) == CACHIFY_OK);
    memcpy(h, &plan, offsetof(struct cf_header, hash_seed));
}

/* Acquire and release in whatever that is; it may be full, but not crash. */
static void use(void)
{
    cachify_t *instance;
    cachify_lease_t lease = CACHIFY_LEASE_INIT;
    cachify_config_t config = {.path = fuzz_path(), .prefix = ""};
    if (fuzz_status(cachify_open(&config, &instance)) != CACHIFY_OK)
        return;
    cachify_lock_t lock = {.key = "k"};
    if (fuzz_status(cachify_acquire(instance, &lock, &lease)) == CACHIFY_OK)
        fuzz_status(cachify_release(&lease));
    PROPERTY(cachify_close(instance) == CACHIFY_OK);
}

void fuzz_header(const uint8_t *data, size_t size)
{
    const struct image *image = fuzz_image();
    struct bytes bytes = {data, size};
    struct cf_header h;
    uint8_t how = fuzz_byte(&bytes);
    int16_t by = (int16_t)fuzz_number(&bytes, 2);
    memcpy(&h, image->bytes, sizeof h);
    for (size_t i = 0; i < sizeof h && i < bytes.left; i++)
        ((uint8_t *)&h)[i] ^= bytes.at[i];
    if ((how & PLAN) != 0)
        fit(&h);
    if ((how & REPAIR) != 0)
        h.checksum = cf_header_checksum(&h);
    size_t length = (how & (AS_IT_SAYS | PLAN)) != 0 && h.size <= MOST ? h.size : image->size;
    if ((how & RESIZE) != 0)
        length = (size_t)((int64_t)length + by > 0 ? (int64_t)length + by : 0);

    uint8_t *file = malloc(image->size);
    PROPERTY(file != NULL);
    memcpy(file, image->bytes, image->size);
    memcpy(file, &h, sizeof h);
    fuzz_write(file, image->size, length);
    free(file);
    cachify_shm_view_t *view;
    if (fuzz_status(cachify_shm_open(NULL, fuzz_path(), &view)) == CACHIFY_OK) {
        PROPERTY(h.size == length && h.magic == CF_MAGIC);
        PROPERTY(h.checksum == cf_header_checksum(&h));
        fuzz_list(view);
        cachify_shm_close(view);
    }
    use();
    fuzz_tidy();
}
