#include "shm/liveness.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* The application may have closed our descriptor, and the number may mean another file
 * by now: then the answer is worth nothing, and asking it harms nobody. */
static bool is_our_file(const struct cf_mapping *m, int fd)
{
    struct stat st;
    return fd >= 0 && fstat(fd, &st) == 0 && st.st_dev == m->device && st.st_ino == m->inode;
}

static enum cf_byte ask(const struct cf_mapping *m, int fd, uint32_t entry)
{
    struct flock lock = {
        .l_type = F_RDLCK, /* so that whoever else asks is no obstacle */
        .l_whence = SEEK_SET,
        .l_start = (off_t)(CF_LIVE_BYTES + entry),
        .l_len = 1,
    };
    if (!is_our_file(m, fd) || fcntl(fd, F_OFD_GETLK, &lock) != 0 || !is_our_file(m, fd))
        return CF_BYTE_UNKNOWN;
    return lock.l_type == F_UNLCK ? CF_BYTE_FREE : CF_BYTE_LOCKED;
}

bool cf_live_descriptor(const struct cf_mapping *m, int *fd)
{
    *fd = -1;
    if (is_our_file(m, m->fd))
        return true;
    if (m->path != NULL)
        *fd = cf_open(m->path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0);
    if (is_our_file(m, *fd))
        return true;
    if (*fd >= 0)
        close(*fd);
    return false;
}

enum cf_byte cf_byte_ask(const struct cf_mapping *m, uint32_t entry)
{
    int saved = errno;
    enum cf_byte answer = ask(m, m->fd, entry);
    int fd = -1;
    if (answer == CF_BYTE_UNKNOWN && cf_live_descriptor(m, &fd)) {
        answer = ask(m, fd >= 0 ? fd : m->fd, entry);
        if (fd >= 0)
            close(fd);
    }
    errno = saved;
    return answer;
}

bool cf_owner_ask(struct cf_mapping *m, uint32_t entry, uint64_t generation, uint64_t now)
{
    struct cf_process *p = &m->process_at[entry];
    switch (cf_byte_ask(m, entry)) {
    case CF_BYTE_FREE:
        /* The byte was free after the generation was seen, so that generation is dead; if
         * the CAS fails, somebody has said so already. */
        cf_cas64(&p->generation, generation, generation + 1);
        return true;
    case CF_BYTE_LOCKED:
        cf_store_relaxed(&p->seen_alive, now != 0 ? now : cf_now(m));
        return false;
    default:
        return false;
    }
}
