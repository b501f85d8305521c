#include "stepper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "room.h"

#if defined(__x86_64__)

#define RIP offsetof(struct user_regs_struct, rip)
#define RAX offsetof(struct user_regs_struct, rax)
#define LONGEST 4000000u /* instructions */

/* ptrace takes numbers as addresses. */
static void *address(uint64_t at)
{
    return (void *)(uintptr_t)at; /* NOLINT(performance-no-int-to-ptr) */
}

void stepper_stand(void)
{
    raise(SIGSTOP);
}

/* Instead of libc's, for the whole program.  The vdso's begins anew whenever the kernel's tick came
 * while it read; an instruction at a time, on a slow machine, one always comes.
 * NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): libc's are reserved */
int clock_gettime(clockid_t clock, struct timespec *t)
{
    return (int)syscall(SYS_clock_gettime, clock, t);
}

static bool wait_stop(pid_t victim, int *number)
{
    int status;
    while (waitpid(victim, &status, 0) < 0)
        if (errno != EINTR)
            return false;
    if (!WIFSTOPPED(status))
        return false;
    *number = WSTOPSIG(status);
    return true;
}

bool stepper_met(pid_t victim)
{
    int number;
    return wait_stop(victim, &number) &&
           ptrace(PTRACE_SETOPTIONS, victim, NULL, address(PTRACE_O_EXITKILL)) == 0;
}

bool stepper_let_go(pid_t victim)
{
    int number = SIGTRAP;
    while (number != SIGSTOP)
        if (ptrace(PTRACE_CONT, victim, NULL, NULL) != 0 || !wait_stop(victim, &number))
            return false;
    return true;
}

/* ---- The segment, byte by byte ---- */

/* The file may come to its name only in the course of the operation. */
struct watch {
    const char *path;
    uint8_t *bytes; /* NULL: not there yet */
    uint8_t *before;
    size_t size;
    ino_t inode;
};

static void watch_map(struct watch *w)
{
    struct stat st;
    int fd = open(w->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0 && st.st_size > 0 && (w->bytes == NULL || st.st_ino != w->inode)) {
        if (w->bytes != NULL)
            munmap(w->bytes, w->size);
        free(w->before);
        w->size = (size_t)st.st_size;
        w->inode = st.st_ino;
        w->bytes = mmap(NULL, w->size, PROT_READ, MAP_SHARED, fd, 0);
        w->before = malloc(w->size);
        if (w->bytes == MAP_FAILED || w->before == NULL)
            abort();
        memcpy(w->before, w->bytes, w->size);
    }
    close(fd);
}

static bool watch_changed(struct watch *w)
{
    if (w->bytes == NULL || memcmp(w->bytes, w->before, w->size) == 0)
        return false;
    memcpy(w->before, w->bytes, w->size);
    return true;
}

static void watch_end(struct watch *w)
{
    if (w->bytes != NULL)
        munmap(w->bytes, w->size);
    free(w->before);
}

/* ---- Steps ---- */

/* The victim is a fork of this process, so its text and vdso lie where ours do. */
static bool is_syscall(uint64_t rip)
{
    uint8_t code[2];
    memcpy(code, address(rip), sizeof code);
    return code[0] == 0x0f && code[1] == 0x05;
}

static uint64_t peek_register(pid_t victim, uint64_t at)
{
    return (uint64_t)ptrace(PTRACE_PEEKUSER, victim, address(at), NULL);
}

static uint64_t where(pid_t victim)
{
    return peek_register(victim, RIP);
}

/* One instruction: *rip is where it was.  -1: it died. */
static int step(pid_t victim, struct watch *w, uint64_t *rip)
{
    int number;
    *rip = where(victim);
    bool call = is_syscall(*rip) && peek_register(victim, RAX) != SYS_clock_gettime;
    if (ptrace(PTRACE_SINGLESTEP, victim, NULL, NULL) != 0 || !wait_stop(victim, &number))
        return -1;
    if (call)
        watch_map(w);
    return watch_changed(w) || call;
}

static uint32_t count_runs(const uint64_t *history, uint64_t n, uint64_t rip)
{
    uint32_t runs = 0;
    for (uint64_t i = 0; i < n; i++)
        runs += history[i] == rip;
    return runs;
}

static bool trace_on(pid_t victim, struct watch *w, struct trace *trace, uint64_t *history,
                     unsigned stop_at)
{
    uint64_t n = 0, outside = 0;
    trace->points = 1;
    while (!board->done && trace->points < POINTS && trace->points <= stop_at && n < LONGEST) {
        int changed = step(victim, w, &history[n]);
        if (changed < 0)
            return false;
        n++;
        if (!board->begun) {
            outside = n;
            continue;
        }
        if (changed && !board->done) {
            uint64_t rip = history[n - 1];
            trace->point[trace->points++] = (struct point){rip, count_runs(history, n, rip)};
        }
    }
    trace->instructions = n - outside;
    return trace->points < POINTS && n < LONGEST;
}

static bool trace_to(pid_t victim, const char *path, struct trace *trace, unsigned stop_at)
{
    struct watch w = {.path = path};
    uint64_t *history = malloc(LONGEST * sizeof *history);
    if (history == NULL)
        return false;
    watch_map(&w);
    bool whole = trace_on(victim, &w, trace, history, stop_at);
    watch_end(&w);
    free(history);
    return whole;
}

bool stepper_trace(pid_t victim, const char *path, struct trace *trace)
{
    return trace_to(victim, path, trace, POINTS);
}

/* ---- Breakpoints ---- */

/* Run the instruction at rip for the runs-th time, where no breakpoint is but there. */
static bool run_to(pid_t victim, struct point p)
{
    int number;
    void *at = address(p.rip);
    errno = 0;
    long code = ptrace(PTRACE_PEEKTEXT, victim, at, NULL);
    if (errno != 0)
        return false;
    long trap = (code & ~0xffL) | 0xcc;
    for (uint32_t i = 1; i <= p.runs; i++) {
        if (ptrace(PTRACE_POKETEXT, victim, at, address((uint64_t)trap)) != 0 ||
            ptrace(PTRACE_CONT, victim, NULL, NULL) != 0 || !wait_stop(victim, &number) ||
            number != SIGTRAP || where(victim) != p.rip + 1)
            return false;
        ptrace(PTRACE_POKETEXT, victim, at, address((uint64_t)code));
        ptrace(PTRACE_POKEUSER, victim, address(RIP), at);
        if (i < p.runs &&
            (ptrace(PTRACE_SINGLESTEP, victim, NULL, NULL) != 0 || !wait_stop(victim, &number)))
            return false;
    }
    return true;
}

static int by_breakpoint(pid_t victim, const char *path, struct point p)
{
    struct watch w = {.path = path};
    uint64_t rip;
    if (!run_to(victim, p))
        return 0;
    watch_map(&w);
    int changed = step(victim, &w, &rip);
    watch_end(&w);
    return changed;
}

/* Without a look at the segment. */
static int by_instructions(pid_t victim, unsigned n)
{
    int number;
    for (unsigned i = 0; i < n && !board->done; i += board->begun)
        if (ptrace(PTRACE_SINGLESTEP, victim, NULL, NULL) != 0 || !wait_stop(victim, &number))
            return -1;
    return !board->done;
}

int stepper_to(pid_t victim, const char *path, const struct trace *trace, unsigned n, enum way way)
{
    static struct trace again;
    if (n == 0)
        return 1;
    if (way == BY_INSTRUCTIONS)
        return by_instructions(victim, n);
    if (way == BY_BREAKPOINT)
        return by_breakpoint(victim, path, trace->point[n]);
    if (!trace_to(victim, path, &again, n))
        return -1;
    return again.points > n;
}

const char *stepper_refused(void)
{
    int number;
    pid_t child = fork();
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
            _exit(1);
        raise(SIGSTOP);
        _exit(0);
    }
    if (child < 0)
        return "fork failed";
    if (!wait_stop(child, &number))
        return "ptrace is not permitted here";
    bool can = ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) == 0 && wait_stop(child, &number);
    kill(child, SIGKILL);
    waitpid(child, &number, 0);
    return can ? NULL : "single steps are not permitted here";
}

#else

const char *stepper_refused(void)
{
    return "written for x86-64 only";
}
void stepper_stand(void)
{
}
bool stepper_met(pid_t victim)
{
    (void)victim;
    return false;
}
bool stepper_let_go(pid_t victim)
{
    (void)victim;
    return false;
}
bool stepper_trace(pid_t victim, const char *path, struct trace *trace)
{
    (void)victim, (void)path, (void)trace;
    return false;
}
int stepper_to(pid_t victim, const char *path, const struct trace *trace, unsigned n, enum way way)
{
    (void)victim, (void)path, (void)trace, (void)n, (void)way;
    return -1;
}

#endif
