#include "shm/process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cachify/client.h>

#include "ground/fork.h"
#include "ground/report.h"
#include "shm/lease_pool.h"
#include "shm/liveness.h"

/* A description of our own: locks belong to descriptions, and the one that the segment is
 * mapped through may be shared with parents and children.  Through the descriptor where
 * there is no path, or none that this process can still look up (after chroot). */
static int open_again(const struct cf_mapping *m)
{
    char own[64];
    int fd = -1;
    if (m->path != NULL)
        fd = cf_open(m->path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0);
    if (fd >= 0 || m->fd < 0)
        return fd;
    snprintf(own, sizeof own, "/proc/self/fd/%d", m->fd);
    return cf_open(own, O_RDWR | O_CLOEXEC | O_NONBLOCK, 0);
}

static cachify_status_t open_description(const struct cf_mapping *m, int *fd)
{
    const char *name = m->path != NULL ? m->path : "on a descriptor";
    struct stat st;
    *fd = open_again(m);
    if (*fd < 0)
        return cf_report(CACHIFY_SYSTEM,
                         "cannot open segment %s again to register this process: %s", name,
                         strerror(errno));
    if (fstat(*fd, &st) != 0 || st.st_dev != m->device || st.st_ino != m->inode ||
        (uint64_t)st.st_size < m->size) {
        close(*fd);
        return cf_report(CACHIFY_GONE, "segment %s was replaced or cut short", name);
    }
    return CACHIFY_OK;
}

static bool lock_byte(int fd, uint32_t entry)
{
    struct flock lock = {.l_type = F_WRLCK,
                         .l_whence = SEEK_SET,
                         .l_start = (off_t)(CF_LIVE_BYTES + entry),
                         .l_len = 1};
    return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

/* Say that whoever was in the entry last is dead, if he is, before its byte is locked again:
 * from the lock until the generation is counted on he would count as alive, and for as long
 * as this process is stopped there. */
static void bury_last(const struct cf_mapping *m, uint32_t entry)
{
    _Atomic uint64_t *generation = &m->process_at[entry].generation;
    uint64_t last = cf_load_acquire(generation);
    if (cf_byte_ask(m, entry) == CF_BYTE_FREE)
        cf_cas64(generation, last, (last | 1) + 1);
}

/* Ours, by the byte. */
static uint64_t begin_generation(struct cf_process *p)
{
    uint64_t last = cf_load_relaxed(&p->generation);
    while (!cf_try64(&p->generation, &last, (last + 1) | 1)) {
    }
    return (last + 1) | 1;
}

/* Processes that start one after the other have numbers in a row, and should not meet. */
uint32_t cf_process_place(const struct cf_mapping *m, pid_t pid)
{
    uint64_t mix = (uint64_t)pid * UINT64_C(0x9E3779B97F4A7C15);
    return (uint32_t)((mix >> 32) % m->processes);
}

/* An entry whose byte is free, of those first that nobody is known to be in: for each one that it
 * is asked about the kernel looks through the locks of all processes. */
static cachify_status_t lock_entry(const struct cf_mapping *m, int fd, uint32_t *entry)
{
    uint32_t start = cf_process_place(m, getpid());
    for (uint32_t i = 0; i < 2 * m->processes; i++) {
        *entry = (start + i) % m->processes;
        if (i < m->processes && cf_load_relaxed(&m->process_at[*entry].generation) % 2 != 0)
            continue;
        bury_last(m, *entry);
        if (lock_byte(fd, *entry))
            return CACHIFY_OK;
        if (errno != EAGAIN && errno != EACCES)
            return cf_report(CACHIFY_SYSTEM, "cannot lock a byte of the segment's file: %s",
                             strerror(errno));
    }
    return cf_report(CACHIFY_FULL,
                     "all %u process entries of the segment are taken by living processes, of "
                     "which each has one for every instance it has open",
                     m->processes);
}

static void describe(struct cf_mapping *m, struct cf_process *p)
{
    char command[CF_COMMAND];
    uint64_t words[CF_COMMAND / 8];
    cf_command(command);
    memcpy(words, command, sizeof words);
    for (unsigned i = 0; i < CF_COMMAND / 8; i++)
        cf_store_relaxed(&p->command[i], words[i]);
    cf_store_relaxed(&p->pid, (uint64_t)getpid());
    cf_store_relaxed(&p->pid_namespace, cf_pid_namespace());
    cf_store_relaxed(&p->registered, cf_now(m));
}

cachify_status_t cf_process_register(struct cf_mapping *m)
{
    uint64_t serial = cf_process_serial();
    int fd;
    uint32_t entry = 0;
    if (m->registered_in == serial)
        return CACHIFY_OK;
    m->live_page = NULL; /* a child's copy of its parent's: not mapped here */
    cachify_status_t status = open_description(m, &fd);
    if (status != CACHIFY_OK)
        return status;
    status = lock_entry(m, fd, &entry);
    if (status != CACHIFY_OK) {
        close(fd);
        return status;
    }
    struct cf_process *p = &m->process_at[entry];
    uint64_t generation = begin_generation(p); /* at once: see bury_last */
    /* The page keeps the description open when the descriptor is closed, is not inherited,
     * and falls with this process's memory: at kill, exit and exec, never before. */
    void *page = mmap(NULL, CF_PAGE, PROT_READ, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED || madvise(page, CF_PAGE, MADV_DONTFORK) != 0) {
        status =
            cf_report(CACHIFY_SYSTEM, "cannot map the segment's first page: %s", strerror(errno));
        if (page != MAP_FAILED)
            munmap(page, CF_PAGE);
        close(fd);
        return status;
    }
    close(fd);
    cf_intents_settle(m, p);
    describe(m, p);
    m->live_page = page;
    m->pid = (uint32_t)getpid();
    cf_store_release(&m->self, cf_owner_make(entry, generation));
    m->registered_in = serial;
    return CACHIFY_OK;
}

void cf_process_unregister(struct cf_mapping *m)
{
    cf_owner self = cf_self(m);
    if (self != 0 && !cf_load_relaxed(&m->cut_short))
        cf_cas64(&m->process_at[cf_owner_entry(self)].generation, cf_owner_generation(self),
                 cf_owner_generation(self) + 1);
    cf_store_release(&m->self, 0);
    if (m->live_page != NULL)
        munmap(m->live_page, CF_PAGE); /* the lock falls with it */
    m->live_page = NULL;
    m->registered_in = 0;
}
