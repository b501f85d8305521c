/* fcntl: a byte of one file is a key, locked by an open file (F_OFD_SETLKW). */
#include "peers/loops.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FILL_FROM 100000 /* the first byte of those that are only held */

static int own_fd = -1, other_fd = -1;

/* The type that the kernel answers with, or -1. */
static int command_on(int fd, int what, short type, long byte, long bytes)
{
    struct flock f = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = bytes};
    return fcntl(fd, what, &f) != 0 ? -1 : f.l_type;
}

static int command(int fd, int what, short type, long byte)
{
    return command_on(fd, what, type, byte, 1);
}

static int open_file(void)
{
    char path[128];
    snprintf(path, sizeof path, "%s/ofd", room_path());
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        fail("cannot open %s: %s", path, strerror(errno));
    return fd;
}

static void attach(void)
{
    close(own_fd);
    own_fd = open_file();
}

static const char *open_files(void)
{
    own_fd = open_file();
    other_fd = open_file();
    return NULL;
}

static void take_key(unsigned key)
{
    command(own_fd, F_OFD_SETLKW, F_WRLCK, key);
}

static void give_key(unsigned key)
{
    command(own_fd, F_OFD_SETLK, F_UNLCK, key);
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
    if (command(other_fd, F_OFD_SETLK, F_WRLCK, 0) >= 0)
        fail("a byte is not busy");
}

static void ask(void)
{
    if (command(other_fd, F_OFD_GETLK, F_WRLCK, 0) != F_UNLCK)
        fail("a byte is not free");
}

static const struct lock lock = {.attach = attach,
                                 .take = take,
                                 .give = give,
                                 .hold = take,
                                 .take_key = take_key,
                                 .give_key = give_key};

LOCK_LOOPS

static double is_locked_loop(long n)
{
    return ns_each(n, ask);
}

/* Every other byte, else they become one lock; by another than takes and gives, as if of other
 * processes. */
static void fill(long count)
{
    for (long i = count - 1; i >= 0; i--)
        if (command(other_fd, F_OFD_SETLK, F_WRLCK, FILL_FROM + 2 * i) < 0)
            fail("cannot hold %ld bytes: %s", count, strerror(errno));
}

static void empty(long count)
{
    command_on(other_fd, F_OFD_SETLK, F_UNLCK, FILL_FROM, 2 * count);
}

const struct peer ofd_peer = {.name = "ofd_byte",
                              .open = open_files,
                              .version = version_of_kernel,
                              .lock = &lock,
                              .fill = fill,
                              .empty = empty,
                              .fill_most = 10000, /* filling takes the square of it */
                              .loop = {[PAIR] = pair_loop,
                                       [RANDOM_KEYS] = keys_loop,
                                       [BUSY] = busy_loop,
                                       [IS_LOCKED] = is_locked_loop,
                                       [HELD] = keys_loop}};
