/* Children that are watched, and the segment that they share. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hostile.h"
#include "shm/segment.h"

/* ---- Memory ---- */

void *shared_memory(size_t size)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) {
        perror("mmap");
        exit(EXIT_FAILURE);
    }
    return at;
}

#define GUARD (UINT64_C(64) << 30)

void put_between_guards(struct cf_mapping *m)
{
    uint8_t *room = mmap(NULL, 2 * GUARD + m->size, PROT_NONE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED || mremap(m->base, m->size, m->size, MREMAP_MAYMOVE | MREMAP_FIXED,
                                     room + GUARD) == MAP_FAILED) {
        printf("no room for guards around the mapping: %s\n", strerror(errno));
        return;
    }
    const struct cf_header *h = (const struct cf_header *)(const void *)(room + GUARD);
    m->base = room + GUARD;
    m->process_at = (struct cf_process *)(void *)(m->base + h->processes_offset);
    m->waiter_at = (struct cf_waiter *)(void *)(m->base + h->waiters_offset);
    m->group_at = (struct cf_group *)(void *)(m->base + h->groups_offset);
    m->record_at = m->base + h->records_offset;
}

/* ---- The segment ---- */

void make_segment(const cachify_config_t *config, uint64_t hash_seed)
{
    cachify_t *cachify;
    struct cf_header h;
    unlink(config->path);
    if (cachify_open(config, &cachify) != CACHIFY_OK) {
        printf("%s\n", cachify_last_error());
        exit(EXIT_FAILURE);
    }
    cachify_close(cachify);
    int fd = open(config->path, O_RDWR | O_CLOEXEC);
    bool done = pread(fd, &h, sizeof h, 0) == (ssize_t)sizeof h;
    h.hash_seed = hash_seed;
    h.checksum = cf_header_checksum(&h);
    done = done && pwrite(fd, &h, sizeof h, 0) == (ssize_t)sizeof h;
    close(fd);
    if (!done) {
        printf("cannot write the header of %s\n", config->path);
        exit(EXIT_FAILURE);
    }
}

/* ---- Children ---- */

#ifdef CF_COVERAGE
void __gcov_dump(void);
#endif

/* The lines that this child has run count, too. */
static void keep_counts(void)
{
#ifdef CF_COVERAGE
    __gcov_dump();
#endif
}

pid_t start_child(void (*act)(void *context), void *context)
{
    fflush(NULL);
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid < 0) {
        perror("fork");
        exit(EXIT_FAILURE);
    }
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(EXIT_FAILURE);
    act(context);
    fflush(stdout);
    keep_counts();
    _exit(EXIT_SUCCESS);
}

void end_child(pid_t pid)
{
    if (pid <= 0)
        return;
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

enum end watch_child(pid_t pid, const struct station *at, uint64_t ns, int *status)
{
    uint64_t until = cf_monotonic_ns() + ns;
    do {
        if (waitpid(pid, status, WNOHANG) == pid)
            return WIFEXITED(*status) && WEXITSTATUS(*status) == 0 ? ENDED : DIED;
        uint64_t since = cf_load_acquire(&at->since);
        uint64_t now = cf_monotonic_ns();
        if (since != 0 && since < now && now - since > HANG_NS + cf_load_relaxed(&at->timeout_ns)) {
            end_child(pid);
            return HUNG;
        }
        cf_nanosleep(5 * CF_MS);
    } while (cf_monotonic_ns() < until);
    return GOES_ON;
}

void describe_end(enum end end, int status, const struct station *at, char *text, size_t room)
{
    const char *call = cf_load_acquire(&at->since) != 0 || end == HUNG
                           ? call_name(cf_load_relaxed(&at->call))
                           : "no call";
    if (end == HUNG)
        snprintf(text, room, "hangs in %s", call);
    else if (WIFSIGNALED(status))
        snprintf(text, room, "signal %d (%s) in %s", WTERMSIG(status), strsignal(WTERMSIG(status)),
                 call);
    else
        snprintf(text, room, "exit status %d in %s", WEXITSTATUS(status), call);
}
