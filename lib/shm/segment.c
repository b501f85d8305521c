#include "shm/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cachify/client.h>

#include "ground/report.h"
#include "shm/liveness.h"

/* ---- Where it lies ---- */

static cachify_status_t copy_path(const char *text, char **path)
{
    *path = strdup(text);
    return *path != NULL ? CACHIFY_OK : cf_report(CACHIFY_NO_MEMORY, "no memory for a path");
}

/* Absolute, so that a later chdir does not lose it. */
static cachify_status_t absolute(const char *given, char **path)
{
    char here[4096], text[8192];
    if (given[0] == '/')
        return copy_path(given, path);
    if (getcwd(here, sizeof here) == NULL)
        return cf_report(CACHIFY_SYSTEM, "cannot tell the current directory for path \"%s\": %s",
                         given, strerror(errno));
    snprintf(text, sizeof text, "%s/%s", here, given);
    return copy_path(text, path);
}

cachify_status_t cf_segment_locate(const cachify_config_t *config, char **path, int *fd)
{
    char text[300];
    *path = NULL;
    *fd = -1;
    if ((config->name != NULL) + (config->path != NULL) + (config->fd != 0) > 1)
        return cf_report(CACHIFY_INVALID,
                         "more than one of name, path and fd is given; expected one at most");
    if (config->fd < 0)
        return cf_report(CACHIFY_INVALID, "fd is %d; expected an open memfd above 0", config->fd);
    if (config->fd > 0) {
        *fd = config->fd;
        return CACHIFY_OK;
    }
    if (config->path != NULL) {
        if (config->path[0] == '\0' || strlen(config->path) >= 4000)
            return cf_report(CACHIFY_INVALID, "path has %zu bytes; expected 1 to 3999",
                             strlen(config->path));
        return absolute(config->path, path);
    }
    if (config->name == NULL) {
        snprintf(text, sizeof text, "/dev/shm/cachify.%lu", (unsigned long)geteuid());
        return copy_path(text, path);
    }
    size_t len = strlen(config->name);
    if (len == 0 || len > 255 || strchr(config->name, '/') != NULL ||
        strcmp(config->name, ".") == 0 || strcmp(config->name, "..") == 0)
        return cf_report(CACHIFY_INVALID,
                         "name is \"%s\"; expected a file name of 1 to 255 bytes without '/'",
                         config->name);
    snprintf(text, sizeof text, "/dev/shm/%s", config->name);
    return copy_path(text, path);
}

/* ---- Checking ---- */

static const char *kind_of(mode_t mode)
{
    return S_ISDIR(mode)    ? "a directory"
           : S_ISFIFO(mode) ? "a FIFO"
           : S_ISSOCK(mode) ? "a socket"
           : S_ISCHR(mode)  ? "a character device"
           : S_ISBLK(mode)  ? "a block device"
                            : "no regular file";
}

/* What may stand at the path at all, before a byte of it is read. */
static cachify_status_t check_file(const struct stat *st, const cachify_config_t *config, bool view,
                                   const char *name)
{
    if (!S_ISREG(st->st_mode))
        return cf_report(CACHIFY_INVALID, "segment %s is %s; expected a regular file", name,
                         kind_of(st->st_mode));
    if (!view && (config->flags & CACHIFY_ANY_OWNER) == 0 && st->st_uid != geteuid() &&
        st->st_uid != 0)
        return cf_report(CACHIFY_PERMISSION,
                         "segment %s belongs to user %lu; expected %lu or root "
                         "(or the flag CACHIFY_ANY_OWNER)",
                         name, (unsigned long)st->st_uid, (unsigned long)geteuid());
    /* A planted hard link to another file of ours does no harm: nothing is written to a
     * file whose header is not right. */
    return CACHIFY_OK;
}

/* Whether every number of a header is what cf_header_plan would have made of the three that are
 * asked for. */
static bool plausible(const struct cf_header *h)
{
    struct cf_header plan;
    cachify_config_t config = {
        .max_locks = h->max_locks, .key_max = h->key_max, .value_max = h->value_max};
    if (h->max_locks == 0 || h->max_locks > CF_LOCKS_LIMIT || h->key_max == 0 ||
        h->key_max > CF_KEY_MAX_LIMIT || h->value_max == 0 || h->value_max > CF_VALUE_MAX_LIMIT)
        return false;
    if (cf_header_plan(&config, &plan) != CACHIFY_OK)
        return false;
    return plan.size == h->size && plan.records == h->records && plan.groups == h->groups &&
           plan.processes == h->processes && plan.waiters == h->waiters &&
           plan.value_max == h->value_max && plan.record_size == h->record_size &&
           plan.processes_offset == h->processes_offset &&
           plan.waiters_offset == h->waiters_offset && plan.groups_offset == h->groups_offset &&
           plan.records_offset == h->records_offset;
}

static cachify_status_t check_header(const struct cf_header *h, uint64_t bytes, const char *name)
{
    if (bytes < sizeof *h)
        return cf_report(CACHIFY_CORRUPT, "segment %s has %llu bytes; expected at least %zu", name,
                         (unsigned long long)bytes, sizeof *h);
    if (h->magic != CF_MAGIC)
        return cf_report(CACHIFY_CORRUPT,
                         "%s is no cachify segment (its first bytes are %016llx, expected %016llx)",
                         name, (unsigned long long)h->magic, (unsigned long long)CF_MAGIC);
    if (h->version != CF_LAYOUT_VERSION)
        return cf_report(CACHIFY_INCOMPATIBLE,
                         "segment %s has layout version %u; this library knows %u", name,
                         h->version, CF_LAYOUT_VERSION);
    if (h->format != cf_layout_format())
        return cf_report(CACHIFY_INCOMPATIBLE,
                         "segment %s has layout format %08x; this build has %08x", name, h->format,
                         cf_layout_format());
    if (h->checksum != cf_header_checksum(h))
        return cf_report(CACHIFY_CORRUPT, "segment %s has a damaged header (its checksum is wrong)",
                         name);
    if (!plausible(h))
        return cf_report(CACHIFY_CORRUPT,
                         "segment %s has a header whose numbers do not fit each other", name);
    if (h->size != bytes)
        return cf_report(CACHIFY_CORRUPT, "segment %s has %llu bytes; its header says %llu", name,
                         (unsigned long long)bytes, (unsigned long long)h->size);
    return CACHIFY_OK;
}

/* ---- Mapping ---- */

static cachify_status_t map(int fd, const struct cf_header *h, const struct stat *st, bool view,
                            const char *name, struct cf_mapping **mapping)
{
    int64_t clock_offset;
    uint64_t time_namespace;
    if (!cf_time_namespace(&clock_offset, &time_namespace))
        return cf_report(CACHIFY_INCOMPATIBLE,
                         "this process is in a time namespace whose clock offset "
                         "cannot be read, so deadlines in segment %s would differ",
                         name);
    struct cf_mapping *m = calloc(1, sizeof *m);
    if (m == NULL)
        return cf_report(CACHIFY_NO_MEMORY, "no memory to map segment %s", name);
    void *base = mmap(NULL, h->size, view ? PROT_READ : PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED) {
        int error = errno;
        free(m);
        return cf_report(error == ENOMEM ? CACHIFY_NO_MEMORY : CACHIFY_SYSTEM,
                         "cannot map segment %s: %s", name, strerror(error));
    }
    m->base = base;
    m->size = h->size;
    m->max_locks = h->max_locks;
    m->records = h->records;
    m->groups = h->groups;
    m->processes = h->processes;
    m->waiters = h->waiters;
    m->key_max = h->key_max;
    m->value_max = h->value_max;
    m->record_size = h->record_size;
    m->process_at = (struct cf_process *)(void *)(m->base + h->processes_offset);
    m->waiter_at = (struct cf_waiter *)(void *)(m->base + h->waiters_offset);
    m->group_at = (struct cf_group *)(void *)(m->base + h->groups_offset);
    m->record_at = m->base + h->records_offset;
    m->hash_seed = h->hash_seed;
    m->clock_offset = clock_offset;
    m->created_ns = h->created_ns;
    m->fd = fd;
    m->device = st->st_dev;
    m->inode = st->st_ino;
    m->checked = cf_now_coarse(m);
    m->processors = cf_processors();
    *mapping = m;
    return CACHIFY_OK;
}

static bool is_it(const struct cf_mapping *m, const struct stat *st)
{
    return st->st_dev == m->device && st->st_ino == m->inode;
}

void cf_segment_close(struct cf_mapping *m)
{
    struct stat st;
    if (m == NULL)
        return;
    munmap(m->base, m->size);
    /* The number may be another file's by now, if the application closed ours. */
    if (m->fd >= 0 && fstat(m->fd, &st) == 0 && is_it(m, &st))
        close(m->fd);
    free(m->path);
    free(m);
}

/* ---- Opening ---- */

enum verdict { USE, REBUILD };

/* Where /proc does not tell, nothing is known, and the segment is used: whoever held a lock
 * in another boot is dead by its byte all the same. */
static bool is_other_boot(const uint8_t mine[16], const uint8_t its[16])
{
    static const uint8_t unknown[16];
    return memcmp(mine, its, 16) != 0 && memcmp(mine, unknown, 16) != 0 &&
           memcmp(its, unknown, 16) != 0;
}

/* Read and judge the header of an open file; map it unless it is of another boot and to
 * be rebuilt (then too, to learn its last token).  Takes fd over on success. */
static cachify_status_t adopt(int fd, const cachify_config_t *config, bool view, const char *name,
                              struct cf_mapping **mapping, enum verdict *verdict)
{
    struct stat st;
    struct cf_header h = {0};
    uint8_t boot[16];
    if (fstat(fd, &st) != 0)
        return cf_report(CACHIFY_SYSTEM, "cannot look at segment %s: %s", name, strerror(errno));
    cachify_status_t status = check_file(&st, config, view, name);
    if (status != CACHIFY_OK)
        return status;
    if (pread(fd, &h, sizeof h, 0) < 0)
        return cf_report(CACHIFY_SYSTEM, "cannot read segment %s: %s", name, strerror(errno));
    status = check_header(&h, (uint64_t)st.st_size, name);
    if (status != CACHIFY_OK)
        return status;
    cf_boot_id(boot);
    *verdict = is_other_boot(boot, h.boot_id) ? REBUILD : USE;
    status = map(fd, &h, &st, view, name, mapping);
    if (status == CACHIFY_OK)
        (*mapping)->other_boot = *verdict == REBUILD;
    return status;
}

static cachify_status_t cannot_open(const char *path, int error)
{
    switch (error) {
    case ELOOP:
        return cf_report(CACHIFY_INVALID, "segment %s is a symbolic link; expected a regular file",
                         path);
    case EISDIR:
        return cf_report(CACHIFY_INVALID, "segment %s is a directory; expected a regular file",
                         path);
    case ENXIO:
        return cf_report(CACHIFY_INVALID,
                         "segment %s is a socket or device; expected a regular file", path);
    case EACCES:
    case EPERM:
    case EROFS:
        return cf_report(CACHIFY_PERMISSION, "no permission to open segment %s", path);
    case ENOTDIR:
        return cf_report(CACHIFY_SYSTEM, "cannot open segment %s: its directory does not exist",
                         path);
    default:
        return cf_report(CACHIFY_SYSTEM, "cannot open segment %s: %s", path, strerror(error));
    }
}

/* Never with O_CREAT: fs.protected_regular would refuse root another user's file then. */
static cachify_status_t open_path(char *path, const cachify_config_t *config,
                                  struct cf_mapping **mapping)
{
    for (int tries = 0; tries < 100; tries++) {
        enum verdict verdict = USE;
        cachify_status_t status;
        int fd = cf_open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0);
        if (fd < 0) {
            if (errno != ENOENT)
                return cannot_open(path, errno);
            status = cf_segment_create(path, config, NULL);
            if (status != CACHIFY_OK)
                return status;
            continue;
        }
        status = adopt(fd, config, false, path, mapping, &verdict);
        if (status != CACHIFY_OK) {
            close(fd);
            return status;
        }
        struct cf_mapping *m = *mapping;
        if (verdict == USE) {
            m->path = path;
            if (!cf_segment_gone_slow(m, m->checked))
                return CACHIFY_OK;
            m->path = NULL; /* unlinked since it was opened: the next one, then */
            cf_segment_close(m);
            continue;
        }
        /* Of another boot: its deadlines and processes mean nothing.  A new one is built
         * beside it, so nobody waits for whoever builds. */
        status = cf_segment_create(path, config, m);
        cf_segment_close(m);
        if (status != CACHIFY_OK)
            return status;
    }
    return cf_report(CACHIFY_SYSTEM, "segment %s is unlinked or replaced again and again", path);
}

/* A memfd that is empty, or whose maker did not get to the header, is made into a segment by one process at a time.  The lock
 * falls with the description, which is this call's own. */
static cachify_status_t fill_given(int fd, const cachify_config_t *config, const char *name)
{
    char page[CF_PAGE] = {0};
    struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = CF_INIT_BYTE, .l_len = 1};
    for (int tries = 0; fcntl(fd, F_OFD_SETLK, &lock) != 0; tries++) {
        if ((errno != EAGAIN && errno != EACCES) || tries == 2000)
            return cf_report(CACHIFY_SYSTEM, "cannot lock the segment %s to fill it: %s", name,
                             strerror(errno));
        cf_nanosleep(CF_MS);
    }
    cachify_status_t status = CACHIFY_OK;
    if (pread(fd, page, sizeof page, 0) < 0)
        status = cf_report(CACHIFY_SYSTEM, "cannot read segment %s: %s", name, strerror(errno));
    else if (page[0] == 0 && memcmp(page, page + 1, sizeof page - 1) == 0)
        status = cf_segment_fill(fd, config, name, NULL);
    lock.l_type = F_UNLCK;
    fcntl(fd, F_OFD_SETLK, &lock);
    return status;
}

/* A descriptor that was given: an unnamed file, shared by inheriting it. */
static cachify_status_t open_given(const cachify_config_t *config, struct cf_mapping **mapping)
{
    char name[64], own[64];
    enum verdict verdict;
    snprintf(name, sizeof name, "on descriptor %d", config->fd);
    snprintf(own, sizeof own, "/proc/self/fd/%d", config->fd);
    int seals = fcntl(config->fd, F_GET_SEALS);
    if (seals < 0)
        return cf_report(CACHIFY_INVALID, "fd %d is no memfd: %s", config->fd, strerror(errno));
    int fd = cf_open(own, O_RDWR | O_CLOEXEC, 0);
    if (fd < 0)
        return cf_report(CACHIFY_SYSTEM, "cannot open %s: %s", own, strerror(errno));
    cachify_status_t status = CACHIFY_OK;
    if ((seals & F_SEAL_SHRINK) == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) != 0)
        status =
            cf_report(CACHIFY_INVALID, "fd %d is not sealed against shrinking, and cannot be: %s",
                      config->fd, strerror(errno));
    if (status == CACHIFY_OK)
        status = fill_given(fd, config, name);
    if (status == CACHIFY_OK)
        status = adopt(fd, config, false, name, mapping, &verdict);
    if (status != CACHIFY_OK)
        close(fd);
    return status;
}

cachify_status_t cf_segment_open(const cachify_config_t *config, struct cf_mapping **mapping)
{
    char *path;
    int fd;
    struct cf_header plan; /* refuses what is out of range, also where nothing is created */
    cachify_status_t status = cf_header_plan(config, &plan);
    if (status == CACHIFY_OK)
        status = cf_segment_locate(config, &path, &fd);
    if (status != CACHIFY_OK)
        return status;
    if (path == NULL)
        return open_given(config, mapping);
    status = open_path(path, config, mapping);
    if (status != CACHIFY_OK)
        free(path);
    return status;
}

cachify_status_t cf_segment_view(const cachify_config_t *config, struct cf_mapping **mapping)
{
    char *path;
    int fd;
    enum verdict verdict;
    cachify_status_t status = cf_segment_locate(config, &path, &fd);
    if (status != CACHIFY_OK)
        return status;
    if (path != NULL)
        fd = cf_open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0);
    if (fd < 0)
        status = cannot_open(path, errno);
    else
        status = adopt(fd, config, true, path, mapping, &verdict);
    if (status != CACHIFY_OK) {
        if (fd >= 0)
            close(fd);
        free(path);
        return status;
    }
    (*mapping)->path = path;
    return CACHIFY_OK;
}

/* ---- Noticing its end ---- */

static bool is_short(struct cf_mapping *m, const struct stat *st)
{
    if ((uint64_t)st->st_size >= m->size)
        return false;
    cf_store_relaxed(&m->cut_short, true);
    return true;
}

/* Unlinked: no name is left, or only the one it was agreed on under after a reboot.
 * Replaced: the name means another file.  That the name cannot be looked up proves nothing
 * else (the process may have changed its root). */
static bool look_for_end(struct cf_mapping *m)
{
    struct stat st;
    if (m->path == NULL)
        return false; /* a memfd, sealed against shrinking */
    if (m->fd >= 0 && fstat(m->fd, &st) == 0 && is_it(m, &st) &&
        (is_short(m, &st) || st.st_nlink == 0))
        return true;
    if (stat(m->path, &st) == 0)
        return !is_it(m, &st) || is_short(m, &st);
    char agreed[4352];
    uint8_t boot_id[16];
    cf_boot_id(boot_id);
    cf_segment_agreed_name(agreed, sizeof agreed, m->path, boot_id);
    return stat(agreed, &st) == 0 && is_it(m, &st);
}

bool cf_segment_gone_slow(struct cf_mapping *m, uint64_t now)
{
    int saved = errno;
    cf_store_relaxed(&m->checked, now);
    if ((!cf_load_relaxed(&m->gone) || !cf_load_relaxed(&m->cut_short)) && look_for_end(m))
        cf_store_relaxed(&m->gone, true);
    errno = saved;
    return cf_load_relaxed(&m->gone);
}
