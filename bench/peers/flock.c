/* flock: on a file that stays open, and by name, from open to close. */
#include "peers/loops.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define PATH_ROOM 128

static char key_path[KEYS][PATH_ROOM];
static int key_fd[MANY_KEYS]; /* the first is the hot key's */
static int other_fd;
static int named_fd;

static void path_of(char *path, const char *name)
{
    snprintf(path, PATH_ROOM, "%s/flock-%.31s", room_path(), name);
}

static int open_file(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        fail("cannot open %s: %s", path, strerror(errno));
    return fd;
}

static const char *open_names(void)
{
    for (unsigned i = 0; i < KEYS; i++)
        path_of(key_path[i], key_name(i));
    return NULL;
}

/* ---- On a file that is open ---- */

/* Locks belong to open files, and a child's copy of a descriptor is the same one. */
static void attach(void)
{
    for (unsigned i = 0; i < MANY_KEYS; i++) {
        if (key_fd[i] > 0)
            close(key_fd[i]);
        key_fd[i] = open_file(key_path[i]);
    }
}

static const char *open_files(void)
{
    open_names();
    attach();
    other_fd = open_file(key_path[0]);
    return NULL;
}

static void take_key(unsigned key)
{
    flock(key_fd[key], LOCK_EX);
}

static void give_key(unsigned key)
{
    flock(key_fd[key], LOCK_UN);
}

static void take(void)
{
    take_key(0);
}

static void give(void)
{
    give_key(0);
}

static void busy(void)
{
    if (flock(other_fd, LOCK_EX | LOCK_NB) == 0)
        fail("a flock is not busy");
}

static const struct lock lock = {.attach = attach,
                                 .take = take,
                                 .give = give,
                                 .hold = take,
                                 .take_key = take_key,
                                 .give_key = give_key};

static double pair_loop(long n)
{
    return ns_each_pair(n, take, give);
}

static double busy_loop(long n)
{
    return ns_each_held(n, &lock, busy);
}

const struct peer flock_peer = {.name = "flock",
                                .open = open_files,
                                .version = version_of_kernel,
                                .lock = &lock,
                                .loop = {[PAIR] = pair_loop, [BUSY] = busy_loop}};

/* ---- By name ---- */

static void named_take_key(unsigned key)
{
    named_fd = open_file(key_path[key]);
    flock(named_fd, LOCK_EX);
}

static void named_give_key(unsigned key)
{
    (void)key;
    close(named_fd);
}

static void named_take(void)
{
    named_take_key(0);
}

static void named_give(void)
{
    named_give_key(0);
}

static void named_busy(void)
{
    int fd = open_file(key_path[0]);
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        fail("a flock is not busy");
    close(fd);
}

static void fresh_pair(const char *name)
{
    char path[PATH_ROOM];
    path_of(path, name);
    int fd = open_file(path);
    flock(fd, LOCK_EX);
    close(fd);
}

static void fresh_drop(const char *name)
{
    char path[PATH_ROOM];
    path_of(path, name);
    unlink(path);
}

static const struct lock named_lock = {.take = named_take,
                                       .give = named_give,
                                       .hold = named_take,
                                       .take_key = named_take_key,
                                       .give_key = named_give_key};

static double named_pair_loop(long n)
{
    return ns_each_pair(n, named_take, named_give);
}

static double named_keys_loop(long n)
{
    return ns_each_key(n, named_take_key, named_give_key);
}

static double named_busy_loop(long n)
{
    int held = open_file(key_path[0]);
    flock(held, LOCK_EX);
    double ns = ns_each(n, named_busy);
    close(held);
    return ns;
}

static double named_fresh_loop(long n)
{
    return ns_each_fresh(n, fresh_pair, fresh_drop);
}

const struct peer flock_name_peer = {.name = "flock_name",
                                     .open = open_names,
                                     .version = version_of_kernel,
                                     .lock = &named_lock,
                                     .loop = {[PAIR] = named_pair_loop,
                                              [RANDOM_KEYS] = named_keys_loop,
                                              [BUSY] = named_busy_loop,
                                              [FRESH_KEYS] = named_fresh_loop}};
