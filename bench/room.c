/* A directory in /dev/shm for the run's files and sockets.  A process of its own, the guard, sees
 * this one end, in whatever way, and removes them, and the set of semaphores that a peer has. */
#include "bench.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/wait.h>
#include <unistd.h>

#define SHM "/dev/shm"

static char path[] = SHM "/cachify-bench-XXXXXX";
static bool made;
static int guarded = -1; /* closed when this process ends */
static pid_t guard;
static _Atomic int *semaphores; /* their id + 1; shared with the guard */

const char *room_path(void)
{
    return path;
}

/* Those whose names have this in them; of "", all. */
static void remove_files(const char *directory, const char *part)
{
    DIR *d = opendir(directory);
    if (d == NULL)
        return;
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        if (strstr(e->d_name, part) != NULL)
            unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
}

static void clean(void)
{
    if (*semaphores > 0)
        semctl(*semaphores - 1, 0, IPC_RMID);
    remove_files(path, "");
    rmdir(path);
    remove_files(SHM, strrchr(path, '/') + 1);
}

static void guard_work(int watched)
{
    char byte;
    signal(SIGHUP, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    while (read(watched, &byte, 1) < 0 && errno == EINTR) {
    }
    clean();
    _exit(0);
}

static void start_guard(void)
{
    int ends[2];
    fflush(NULL);
    if (pipe2(ends, O_CLOEXEC) != 0)
        fail("pipe: %s", strerror(errno));
    guard = fork();
    if (guard == 0) {
        close(ends[1]);
        guard_work(ends[0]);
    }
    if (guard < 0)
        fail("fork: %s", strerror(errno));
    close(ends[0]);
    guarded = ends[1];
}

void room_open(void)
{
    if (mkdtemp(path) == NULL)
        fail("cannot make %s: %s", path, strerror(errno));
    made = true;
    semaphores = shared_make(sizeof *semaphores);
    start_guard();
}

void room_keep_semaphores(int set)
{
    *semaphores = set + 1;
}

void room_close(void)
{
    if (guard > 0) {
        close(guarded);
        waitpid(guard, NULL, 0);
    } else if (made) {
        clean();
    }
    made = false;
}
