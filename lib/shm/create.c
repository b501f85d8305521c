#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cachify/client.h>

#include "ground/hash.h"
#include "ground/report.h"
#include "shm/segment.h"

static uint64_t round_up(uint64_t n, uint64_t to)
{
    return (n + to - 1) / to * to;
}

cachify_status_t cf_header_plan(const cachify_config_t *config, struct cf_header *h)
{
    uint32_t locks = config->max_locks != 0 ? config->max_locks : CF_LOCKS_DEFAULT;
    uint32_t key_max = config->key_max != 0 ? config->key_max : CF_KEY_MAX_DEFAULT;
    uint32_t value_max = config->value_max != 0 ? config->value_max : CF_VALUE_MAX_DEFAULT;
    if (locks > CF_LOCKS_LIMIT)
        return cf_report(CACHIFY_INVALID, "max_locks is %u; expected 1 to %u, or 0 for %u", locks,
                         CF_LOCKS_LIMIT, CF_LOCKS_DEFAULT);
    if (key_max > CF_KEY_MAX_LIMIT)
        return cf_report(CACHIFY_INVALID, "key_max is %u; expected 1 to %u, or 0 for %u", key_max,
                         CF_KEY_MAX_LIMIT, CF_KEY_MAX_DEFAULT);
    if (value_max > CF_VALUE_MAX_LIMIT)
        return cf_report(CACHIFY_INVALID, "value_max is %u; expected 1 to %u, or 0 for %u",
                         value_max, CF_VALUE_MAX_LIMIT, CF_VALUE_MAX_DEFAULT);
    *h = (struct cf_header){
        .magic = CF_MAGIC, .version = CF_LAYOUT_VERSION, .format = cf_layout_format()};
    h->max_locks = locks;
    h->records = locks + (locks / 16 > CF_SPARES_LEAST ? locks / 16 : CF_SPARES_LEAST); /* R9 */
    h->groups = (locks + 1) / 2;
    h->processes = locks / 16 < 64 ? 64 : locks / 16 > 4096 ? 4096 : locks / 16;
    h->waiters = (uint32_t)round_up((uint64_t)4 * h->processes, CF_WAITER_BITS);
    h->key_max = key_max;
    h->value_max = value_max;
    h->record_size = (uint32_t)round_up(
        sizeof(struct cf_record) + round_up(key_max, 8) + round_up(value_max, 8), CF_LINE);
    h->processes_offset = CF_PAGE;
    h->waiters_offset = h->processes_offset + (uint64_t)h->processes * sizeof(struct cf_process);
    h->groups_offset = round_up(h->waiters_offset + cf_line_offset(h->waiters) +
                                    sizeof(struct cf_line) + h->waiters / 8,
                                CF_LINE);
    h->records_offset =
        round_up(h->groups_offset + (uint64_t)h->groups * sizeof(struct cf_group), CF_PAGE);
    h->size = round_up(h->records_offset + (uint64_t)h->records * h->record_size, CF_PAGE);
    return CACHIFY_OK;
}

uint64_t cf_header_checksum(const struct cf_header *h)
{
    return cf_hash(h, offsetof(struct cf_header, checksum), CF_LAYOUT_VERSION);
}

/* Builds whose structs differ in any size or place refuse each other's segments. */
uint32_t cf_layout_format(void)
{
    const uint32_t parts[] = {
        sizeof(struct cf_header),
        sizeof(struct cf_group),
        sizeof(struct cf_record),
        sizeof(struct cf_process),
        sizeof(struct cf_waiter),
        offsetof(struct cf_header, checksum),
        offsetof(struct cf_group, slot),
        offsetof(struct cf_record, slot),
        offsetof(struct cf_process, intent),
        offsetof(struct cf_waiter, word),
        CF_SLOTS,
        CF_RECORD_BITS,
        CF_GENERATION_BITS,
        CF_TAG_BITS,
        CF_ENTRY_BITS,
        CF_FIRST_SLOT,
        0x01020304u, /* and byte order */
    };
    return (uint32_t)cf_hash(parts, sizeof parts, CF_LAYOUT_VERSION);
}

/* The largest token that a segment has given. */
static uint64_t last_token(const struct cf_mapping *m)
{
    uint64_t last = 0;
    for (uint32_t g = 0; g < m->groups; g++) {
        uint64_t token = cf_load_relaxed(&m->group_at[g].token);
        last = token > last ? token : last;
    }
    for (uint32_t r = 0; r < m->records; r++) {
        uint64_t token = cf_load_relaxed(&cf_record_at(m, r)->token);
        last = token > last ? token : last;
    }
    return last;
}

static cachify_status_t no_space(const char *name, uint64_t size, int error)
{
    if (error == ENOSPC || error == EDQUOT || error == EFBIG || error == ENOMEM)
        return cf_report(CACHIFY_FULL,
                         "no space for segment %s: it needs %llu bytes (%s); "
                         "a smaller max_locks or key_max needs less",
                         name, (unsigned long long)size, strerror(error));
    return cf_report(CACHIFY_SYSTEM, "cannot reserve %llu bytes for segment %s: %s",
                     (unsigned long long)size, name, strerror(error));
}

cachify_status_t cf_segment_fill(int fd, const cachify_config_t *config, const char *name,
                                 const struct cf_mapping *old)
{
    struct cf_header h;
    int64_t clock_offset;
    cachify_status_t status = cf_header_plan(config, &h);
    if (status != CACHIFY_OK)
        return status;
    if (!cf_time_namespace(&clock_offset, &h.time_namespace))
        return cf_report(CACHIFY_INCOMPATIBLE,
                         "this process is in a time namespace whose clock offset "
                         "cannot be read, so deadlines would differ");
    /* Reserved now, so that a full file system is an answer here and never SIGBUS later. */
    int error = posix_fallocate(fd, 0, (off_t)h.size);
    if (error != 0)
        return no_space(name, h.size, error);
    uint8_t *base = mmap(NULL, h.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED)
        return cf_report(CACHIFY_SYSTEM, "cannot map segment %s: %s", name, strerror(errno));
    h.hash_seed = cf_random();
    h.created_realtime_ns = cf_realtime_ns();
    h.created_ns = cf_monotonic_ns() - (uint64_t)clock_offset;
    cf_boot_id(h.boot_id);
    /* Tokens go on from real time, which runs ahead of any count of acquisitions. */
    uint64_t token = h.created_realtime_ns;
    uint64_t last = old != NULL ? last_token(old) : 0;
    if (last >= token && last < UINT64_MAX / 2)
        token = last + 1;
    struct cf_group *groups = (struct cf_group *)(void *)(base + h.groups_offset);
    for (uint32_t g = 0; g < h.groups; g++)
        cf_store_relaxed(&groups[g].token, token);
    h.checksum = cf_header_checksum(&h);
    munmap(base, h.size);
    /* Last, and in one piece: a file without it is not finished, and who is killed in a system
     * call has either written these few bytes or not. */
    if (pwrite(fd, &h, sizeof h, 0) != (ssize_t)sizeof h)
        return cf_report(CACHIFY_SYSTEM, "cannot write the header of segment %s: %s", name,
                         strerror(errno));
    return CACHIFY_OK;
}

/* A file without a name, so that a killed creator leaves nothing; where the file system
 * has none, or /proc is not there to name it by, one with a name of its own. */
static int open_hidden(const char *path, char *temporary, size_t room)
{
    char directory[4096];
    snprintf(directory, sizeof directory, "%s", path);
    char *slash = strrchr(directory, '/');
    if (slash == NULL)
        snprintf(directory, sizeof directory, ".");
    else
        slash[slash == directory] = '\0';
    temporary[0] = '\0';
    if (access("/proc/self/fd", X_OK) == 0) { /* it is named through that later */
        int fd = cf_open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
            return fd;
    }
    snprintf(temporary, room, "%s.%llx", path, (unsigned long long)cf_random());
    return cf_open(temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
}

/* Give the hidden file a name that is not taken. */
static int link_hidden(int fd, const char *temporary, const char *name)
{
    char own[64];
    if (temporary[0] != '\0')
        return (int)syscall(SYS_renameat2, AT_FDCWD, temporary, AT_FDCWD, name,
                            1 /* RENAME_NOREPLACE; musl has neither */);
    snprintf(own, sizeof own, "/proc/self/fd/%d", fd);
    return linkat(AT_FDCWD, own, AT_FDCWD, name, AT_SYMLINK_FOLLOW);
}

void cf_segment_agreed_name(char *name, size_t room, const char *path, const uint8_t boot_id[16])
{
    uint64_t half;
    memcpy(&half, boot_id, sizeof half);
    snprintf(name, room, "%s.%016llx", path, (unsigned long long)half);
}

/* Put the new segment in the place of one of another boot.  Many may try at once, and the
 * slowest may come when the new one is long in use; so first all agree on one file, by
 * giving it a name that is never taken away in this boot, and then each renames a link to
 * that same file over the path, which for all but the first changes nothing.  Killed at any
 * point, the next one goes on with the same names. */
static int replace(int fd, const char *temporary, const char *path, const struct cf_mapping *old,
                   const uint8_t boot_id[16])
{
    char agreed[4352], beside[4400];
    struct stat st;
    cf_segment_agreed_name(agreed, sizeof agreed, path, boot_id);
    snprintf(beside, sizeof beside, "%s.new", agreed);
    if (link_hidden(fd, temporary, agreed) != 0 && errno != EEXIST)
        return -1;
    if (link(agreed, beside) != 0 && errno != EEXIST)
        return -1;
    if (stat(path, &st) != 0 || st.st_dev != old->device || st.st_ino != old->inode) {
        unlink(beside); /* it was replaced already, or taken away */
        return 0;
    }
    int result = rename(beside, path);
    if (result != 0 && errno == ENOENT)
        result = 0; /* another was quicker with this very link */
    cf_segment_agreed_name(agreed, sizeof agreed, path,
                           ((const struct cf_header *)(const void *)old->base)->boot_id);
    int error = errno;
    unlink(agreed);
    errno = error;
    return result;
}

cachify_status_t cf_segment_create(const char *path, const cachify_config_t *config,
                                   const struct cf_mapping *old)
{
    char temporary[4352];
    int fd = open_hidden(path, temporary, sizeof temporary);
    if (fd < 0) {
        int error = errno;
        if (error == ENOENT || error == ENOTDIR)
            return cf_report(CACHIFY_SYSTEM,
                             "cannot create segment %s: its directory does not exist", path);
        cachify_status_t status = error == EACCES || error == EPERM || error == EROFS
                                      ? CACHIFY_PERMISSION
                                  : error == ENOSPC || error == EDQUOT ? CACHIFY_FULL
                                                                       : CACHIFY_SYSTEM;
        return cf_report(status, "cannot create segment %s: %s", path, strerror(error));
    }
    cachify_status_t status = cf_segment_fill(fd, config, path, old);
    if (status == CACHIFY_OK && fchmod(fd, config->mode != 0 ? config->mode : 0600) != 0)
        status = cf_report(CACHIFY_SYSTEM, "cannot give segment %s mode %o: %s", path, config->mode,
                           strerror(errno));
    if (status == CACHIFY_OK) {
        uint8_t boot_id[16];
        cf_boot_id(boot_id);
        int result = old == NULL ? link_hidden(fd, temporary, path)
                                 : replace(fd, temporary, path, old, boot_id);
        if (result != 0 && errno != EEXIST)
            status = cf_report(CACHIFY_SYSTEM, "cannot name the new segment %s: %s", path,
                               strerror(errno));
    }
    if (temporary[0] != '\0')
        unlink(temporary); /* gone already if it was renamed */
    close(fd);
    return status;
}
