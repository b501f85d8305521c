#include "fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cachify/shm.h>

const char *const fuzz_names[4] = {"header", "open", "iterator", "keys"};

fuzz_target *fuzz_target_of(const char *name)
{
    fuzz_target *const targets[4] = {fuzz_header, fuzz_open, fuzz_iterator, fuzz_keys};
    for (unsigned i = 0; i < 4; i++)
        if (strcmp(name, fuzz_names[i]) == 0)
            return targets[i];
    return NULL;
}

cachify_status_t fuzz_status(cachify_status_t status)
{
    PROPERTY(status >= CACHIFY_OK && status <= CACHIFY_SYSTEM);
    PROPERTY(status == CACHIFY_OK || cachify_last_error()[0] != '\0');
    return status;
}

/* ---- The input ---- */

uint64_t fuzz_number(struct bytes *bytes, unsigned width)
{
    uint64_t number = 0;
    for (unsigned i = 0; i < width && bytes->left > 0; i++) {
        number |= (uint64_t)*bytes->at << 8 * i;
        bytes->at++;
        bytes->left--;
    }
    return number;
}

char *fuzz_string(struct bytes *bytes, size_t most, size_t *len)
{
    *len = bytes->left < most ? bytes->left : most;
    char *string = malloc(*len + 1);
    PROPERTY(string != NULL);
    if (*len > 0)
        memcpy(string, bytes->at, *len);
    string[*len] = '\0';
    bytes->at += *len;
    bytes->left -= *len;
    return string;
}

/* ---- Files ---- */

static char directory[64], path[80];
static pid_t directory_of;

void fuzz_end(void)
{
    if (directory_of != getpid())
        return;
    fuzz_tidy();
    rmdir(directory);
    directory_of = 0;
}

const char *fuzz_path(void)
{
    if (directory_of == getpid())
        return path;
    snprintf(directory, sizeof directory, "/dev/shm/cachify-test-%d-fuzz", (int)getpid());
    PROPERTY(mkdir(directory, 0700) == 0);
    snprintf(path, sizeof path, "%s/segment", directory);
    directory_of = getpid();
    atexit(fuzz_end);
    return path;
}

void fuzz_tidy(void)
{
    DIR *d = opendir(directory);
    if (d == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(d)) != NULL;)
        if (unlinkat(dirfd(d), entry->d_name, 0) != 0)
            unlinkat(dirfd(d), entry->d_name, AT_REMOVEDIR); /* "." and ".." stay */
    closedir(d);
}

void fuzz_write(const uint8_t *bytes, size_t used, size_t size)
{
    int fd = open(fuzz_path(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    PROPERTY(fd >= 0);
    PROPERTY(write(fd, bytes, used < size ? used : size) >= 0);
    PROPERTY(ftruncate(fd, (off_t)size) == 0);
    close(fd);
}

static void hold(cachify_t *instance, const char *key, int64_t exp_ms, bool release)
{
    static cachify_lease_t leases[8];
    static unsigned used;
    cachify_lease_t *lease = &leases[used++ % 8];
    cachify_lock_t lock = {
        .key = key, .exp_ms = exp_ms, .value = "a note of some length", .value_len = 21};
    PROPERTY(cachify_acquire(instance, &lock, lease) == CACHIFY_OK);
    if (release)
        PROPERTY(cachify_release(lease) == CACHIFY_OK);
}

static void make_image(struct image *image)
{
    cachify_t *instance;
    cachify_config_t config = {.path = fuzz_path(), .max_locks = 8, .key_max = 16, .prefix = ""};
    PROPERTY(cachify_open(&config, &instance) == CACHIFY_OK);
    hold(instance, "held", CACHIFY_NEVER, false);
    hold(instance, "held longer name", 60000, false);
    hold(instance, "expired", 1, false);
    hold(instance, "idle", 0, true);
    for (unsigned i = 0; i < 3; i++) {
        char key[8];
        snprintf(key, sizeof key, "key-%u", i);
        hold(instance, key, 0, false);
    }
    PROPERTY(cachify_close(instance) == CACHIFY_OK);
    int fd = open(fuzz_path(), O_RDONLY | O_CLOEXEC);
    struct stat st;
    PROPERTY(fd >= 0 && fstat(fd, &st) == 0);
    image->size = (size_t)st.st_size;
    image->bytes = malloc(image->size);
    PROPERTY(image->bytes != NULL);
    PROPERTY(read(fd, image->bytes, image->size) == (ssize_t)image->size);
    close(fd);
    fuzz_tidy();
}

const struct image *fuzz_image(void)
{
    static struct image image;
    if (image.bytes == NULL)
        make_image(&image);
    return &image;
}

/* ---- Listing ---- */

struct listing {
    uint64_t leases, limit;
    uint32_t key_max;
};

static int check_lease(void *context, const cachify_shm_lease_t *lease)
{
    struct listing *listing = context;
    uint64_t sum = 0;
    PROPERTY(lease->key_len > 0 && lease->key_len <= listing->key_max);
    PROPERTY(lease->info.value_len <= sizeof lease->info.value);
    PROPERTY(memchr(lease->info.command, '\0', sizeof lease->info.command) != NULL);
    PROPERTY(lease->info.state > CACHIFY_STATE_FREE &&
             lease->info.state <= CACHIFY_STATE_OWNER_DEAD);
    PROPERTY(lease->info.remaining_ms >= 0);
    for (uint32_t i = 0; i < lease->key_len; i++)
        sum += (uint8_t)lease->key[i]; /* all of it can be read */
    PROPERTY(sum <= UINT64_C(255) * listing->key_max);
    PROPERTY(++listing->leases <= listing->limit);
    return 0;
}

static int check_process(void *context, const cachify_shm_process_t *process)
{
    const cachify_shm_header_t *header = context;
    PROPERTY(process->entry < header->max_processes);
    PROPERTY(process->registered_ms >= 0 && process->asked_ms >= -1);
    PROPERTY(memchr(process->command, '\0', sizeof process->command) != NULL);
    return 0;
}

void fuzz_list(const struct cachify_shm_view *view)
{
    cachify_shm_header_t header = {0};
    cachify_shm_counts_t counts = {0};
    PROPERTY(cachify_shm_header(view, &header) == CACHIFY_OK);
    struct listing listing = {.limit = UINT64_C(5) * header.groups, .key_max = header.key_max};
    PROPERTY(cachify_shm_leases(view, check_lease, &listing, NULL) == CACHIFY_OK);
    PROPERTY(cachify_shm_processes(view, check_process, &header, NULL) == CACHIFY_OK);
    PROPERTY(cachify_shm_count(view, &counts) == CACHIFY_OK);
    PROPERTY(counts.held + counts.idle + counts.inserting <= listing.limit);
    PROPERTY(counts.longest_path <= header.groups && counts.taken <= header.records);
}
