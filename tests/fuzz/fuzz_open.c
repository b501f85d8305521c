/* Opening: any options, with anything at the path that they lead to. */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"

/* ---- What lies at the path ---- */

enum thing { NOTHING, SEGMENT, GARBAGE, HALF, DIRECTORY, FIFO, LINK, THINGS };

static void put(enum thing thing, const uint8_t *garbage, size_t size)
{
    const struct image *image = fuzz_image();
    switch (thing) {
    case SEGMENT:
        fuzz_write(image->bytes, image->size, image->size);
        break;
    case GARBAGE:
        fuzz_write(garbage, size, size);
        break;
    case HALF:
        fuzz_write(image->bytes, image->size, image->size / 2);
        break;
    case DIRECTORY:
        PROPERTY(mkdir(fuzz_path(), 0700) == 0);
        break;
    case FIFO:
        PROPERTY(mkfifo(fuzz_path(), 0600) == 0);
        break;
    case LINK:
        PROPERTY(symlink("/dev/null", fuzz_path()) == 0);
        break;
    default:
        break;
    }
}

/* A descriptor that config.fd may be: a memfd with something in it, or none, or what is none. */
static int descriptor(uint8_t which, const uint8_t *garbage, size_t size)
{
    const struct image *image = fuzz_image();
    if (which % 4 == 3)
        return open("/dev/null", O_RDWR | O_CLOEXEC);
    int fd = memfd_create("fuzz", MFD_CLOEXEC | (which % 8 > 3 ? 0 : MFD_ALLOW_SEALING));
    PROPERTY(fd >= 0);
    if (which % 4 == 1)
        PROPERTY(write(fd, image->bytes, image->size) == (ssize_t)image->size);
    if (which % 4 == 2)
        PROPERTY(write(fd, garbage, size) == (ssize_t)size);
    return fd;
}

/* ---- Options ---- */

#define FLAG_NAME 1u
#define FLAG_PATH 2u
#define FLAG_FD 4u
#define FLAG_BAD_FD 8u
#define FLAG_EXTREME 16u /* numbers as they come, and not only small ones */

/* Sizes that a fuzzer can afford, unless they have to be refused anyway. */
static uint32_t small(uint32_t n, uint32_t limit, uint8_t flags)
{
    return (flags & FLAG_EXTREME) != 0 && n > limit ? n : n % 200;
}

static bool legal_time(int64_t ms)
{
    return (ms >= 0 && ms <= CACHIFY_MAX_MS) || ms == CACHIFY_NEVER;
}

static bool legal(const cachify_config_t *c)
{
    return (c->flags & ~CACHIFY_ANY_OWNER) == 0 && c->mode <= 0777 &&
           legal_time(c->default_exp_ms) && legal_time(c->poll_interval_ms) &&
           (c->name != NULL) + (c->path != NULL) + (c->fd != 0) <= 1;
}

static void try_lock(cachify_t *instance)
{
    cachify_lease_t lease = CACHIFY_LEASE_INIT;
    cachify_lock_t lock = {.key = "k"};
    cachify_status_t status = fuzz_status(cachify_acquire(instance, &lock, &lease));
    PROPERTY(status == CACHIFY_OK || status == CACHIFY_KEY_TOO_LONG || status == CACHIFY_FULL);
    if (status == CACHIFY_OK)
        PROPERTY(cachify_lease_token(&lease) != 0 && fuzz_status(cachify_release(&lease)) == 0);
}

void fuzz_open(const uint8_t *data, size_t size)
{
    struct bytes bytes = {data, size};
    uint8_t flags = fuzz_byte(&bytes);
    enum thing thing = (enum thing)(fuzz_byte(&bytes) % THINGS);
    uint8_t which = fuzz_byte(&bytes);
    size_t prefix_len, name_len;
    cachify_config_t config = {
        .mode = (uint32_t)fuzz_number(&bytes, 2),
        .flags = fuzz_byte(&bytes),
        .max_locks = small((uint32_t)fuzz_number(&bytes, 4), 6000000, flags),
        .key_max = small((uint32_t)fuzz_number(&bytes, 2), 4096, flags),
        .default_exp_ms = (int64_t)fuzz_number(&bytes, 8),
        .poll_interval_ms = (int64_t)fuzz_number(&bytes, 8),
    };
    char *prefix = fuzz_string(&bytes, fuzz_byte(&bytes), &prefix_len);
    char *name = fuzz_string(&bytes, fuzz_byte(&bytes), &name_len);
    char named[512];
    /* No name of the fuzzer's leads out of its directory. */
    snprintf(named, sizeof named, "cachify-test-%d-fuzz/segment%s", (int)getpid(), name);
    config.prefix = prefix_len > 0 ? prefix : NULL;
    config.name = (flags & FLAG_NAME) != 0 ? named : NULL;
    config.path = (flags & FLAG_NAME) == 0 || (flags & FLAG_PATH) != 0 ? fuzz_path() : NULL;
    if ((flags & (FLAG_FD | FLAG_BAD_FD)) != 0 && (flags & FLAG_PATH) == 0)
        config.path = NULL;
    int fd = (flags & FLAG_FD) != 0 ? descriptor(which, bytes.at, bytes.left) : -1;
    config.fd = fd > 0 ? fd : (flags & FLAG_BAD_FD) != 0 ? 777 + which : 0;
    if (config.name == NULL && config.path == NULL && config.fd == 0)
        config.path = fuzz_path(); /* not the user's own segment */
    put(thing, bytes.at, bytes.left);

    cachify_t *instance;
    cachify_status_t status = fuzz_status(cachify_open(&config, &instance));
    PROPERTY(status != CACHIFY_OK || legal(&config));
    PROPERTY(status != CACHIFY_OK || config.fd != 0 || thing == NOTHING || thing == SEGMENT);
    if (status == CACHIFY_OK) {
        try_lock(instance);
        PROPERTY(cachify_close(instance) == CACHIFY_OK);
    }
    if (fd >= 0)
        close(fd);
    free(prefix);
    free(name);
    fuzz_tidy();
}
