/* Other processes: started, waited for, and gone when this one is. */
#include "bench.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_CHILDREN 1100
#define PATIENCE 500000 /* looks, of a tenth of a millisecond and more */

static pid_t children[MAX_CHILDREN];
static bool is_child;

static const int ends[] = {SIGHUP, SIGINT, SIGTERM};

/* ---- The end ---- */

void children_kill(void)
{
    for (int i = 0; i < MAX_CHILDREN; i++)
        if (children[i] > 0)
            kill(children[i], SIGKILL);
    for (int i = 0; i < MAX_CHILDREN; i++)
        if (children[i] > 0)
            waitpid(children[i], NULL, 0);
    memset(children, 0, sizeof children);
}

void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("bench: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    if (is_child)
        _exit(1);
    children_kill();
    room_close();
    exit(1);
}

static void end(int signal)
{
    children_kill();
    room_close();
    _exit(128 + signal);
}

void clean_up_when_told_to_end(void)
{
    struct sigaction action = {.sa_handler = end};
    for (unsigned i = 0; i < sizeof ends / sizeof ends[0]; i++)
        sigaction(ends[i], &action, NULL);
}

/* ---- Children ---- */

static bool remember(pid_t from, pid_t to)
{
    for (int i = 0; i < MAX_CHILDREN; i++)
        if (children[i] == from) {
            children[i] = to;
            return true;
        }
    return false;
}

static void become_child(pid_t parent)
{
    is_child = true;
    memset(children, 0, sizeof children);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (unsigned i = 0; i < sizeof ends / sizeof ends[0]; i++)
        signal(ends[i], SIG_DFL);
    if (getppid() != parent)
        _exit(1);
}

pid_t child_start(void (*work)(void *with), void *with)
{
    fflush(NULL);
    pid_t parent = getpid(), child = fork();
    if (child < 0)
        fail("fork: %s", strerror(errno));
    if (child == 0) {
        become_child(parent);
        work(with);
        _exit(0);
    }
    if (!remember(0, child))
        fail("more than %d children", MAX_CHILDREN);
    return child;
}

static void look_for_failures(void)
{
    for (int i = 0; i < MAX_CHILDREN; i++) {
        siginfo_t it = {0};
        if (children[i] > 0 &&
            waitid(P_PID, (id_t)children[i], &it, WEXITED | WNOHANG | WNOWAIT) == 0 &&
            it.si_pid != 0 && (it.si_code != CLD_EXITED || it.si_status != 0))
            fail("another process failed");
    }
}

/* Between two looks at what may never come. */
static void look_again(unsigned *looks)
{
    usleep(50);
    if (++*looks % 100 == 0 && !is_child)
        look_for_failures();
    if (*looks > PATIENCE && !is_child)
        fail("another process does not get on");
}

void child_join(pid_t child)
{
    unsigned looks = 0;
    int status = 0;
    while (waitpid(child, &status, WNOHANG) == 0)
        look_again(&looks);
    remember(child, 0);
    if (status != 0)
        fail("another process failed");
}

void child_kill(pid_t child)
{
    kill(child, SIGKILL);
    remember(child, 0);
}

void child_reap(pid_t child)
{
    waitpid(child, NULL, 0);
}

/* ---- Between them ---- */

void *shared_make(size_t bytes)
{
    void *shared = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        fail("mmap: %s", strerror(errno));
    return shared;
}

void shared_end(void *shared, size_t bytes)
{
    munmap(shared, bytes);
}

void await(const _Atomic int *word, int value)
{
    unsigned looks = 0;
    while (*word != value)
        look_again(&looks);
}

void await_change(const _Atomic int *word, int from)
{
    unsigned looks = 0;
    while (*word == from)
        look_again(&looks);
}

void sleep_until_told(_Atomic int *word)
{
    while (*word == 0)
        syscall(SYS_futex, word, FUTEX_WAIT, 0, NULL, NULL, 0);
}

void tell(_Atomic int *word)
{
    *word = 1;
    syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* The state stands behind the command's name, which may have any character. */
static bool asleep(pid_t process, pid_t thread)
{
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/%d/task/%d/stat", (int)process, (int)thread);
    FILE *f = fopen(path, "r");
    if (f == NULL)
        return false;
    const char *state = fgets(line, sizeof line, f) != NULL ? strrchr(line, ')') : NULL;
    fclose(f);
    return state != NULL && strncmp(state, ") S", 3) == 0;
}

void await_asleep(pid_t process, pid_t thread, unsigned ms)
{
    unsigned looks = 0;
    do {
        while (!asleep(process, thread))
            look_again(&looks);
        usleep(ms * 1000);
    } while (ms > 0 && !asleep(process, thread));
}
