/* Opening a segment's path by two processes at once.  What they share is a directory; the
 * points at which they meet are the system calls that look at it or change it. */
#include "files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "memory.h"
#include "shm/segment.h"
#include "world.h"

#define OLD_TOKEN UINT64_C(5000000000000000000) /* beyond any real time */

static char directory[64], path[96], agreed[160];
static enum files_kind kind;
static struct cf_mapping *mapping[ACTORS];
static uint8_t *old_bytes; /* a segment of another boot */
static size_t old_size;

/* ---- The calls ---- */

int __real_open(const char *name, int flags, ...);
int __wrap_open(const char *name, int flags, ...);
int __real_link(const char *from, const char *to);
int __wrap_link(const char *from, const char *to);
int __real_linkat(int a, const char *from, int b, const char *to, int flags);
int __wrap_linkat(int a, const char *from, int b, const char *to, int flags);
int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
int __real_unlink(const char *name);
int __wrap_unlink(const char *name);
int __real_stat(const char *name, struct stat *st);
int __wrap_stat(const char *name, struct stat *st);

/* Only names in the directory are shared. */
static void meet(const char *call, const char *name)
{
    char text[300];
    if (scheduler_actor() < 0 || directory[0] == '\0' ||
        strncmp(name, directory, strlen(directory)) != 0)
        return;
    snprintf(text, sizeof text, "%s %s", call, name + strlen(directory));
    scheduler_point(text);
}

int __wrap_open(const char *name, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = (mode_t)va_arg(args, unsigned); /* whether or not there is one */
    va_end(args);
    if (kind != FILES_CREATE && kind != FILES_REPLACE && (flags & O_TMPFILE) == O_TMPFILE) {
        errno = EOPNOTSUPP; /* such file systems there are */
        return -1;
    }
    if ((flags & O_TMPFILE) != O_TMPFILE)
        meet((flags & O_CREAT) != 0 ? "create" : "open", name);
    return __real_open(name, flags, mode);
}

int __wrap_link(const char *from, const char *to)
{
    meet("link", to);
    return __real_link(from, to);
}

int __wrap_linkat(int a, const char *from, int b, const char *to, int flags)
{
    meet("link", to);
    return __real_linkat(a, from, b, to, flags);
}

int __wrap_rename(const char *from, const char *to)
{
    meet("rename to", to);
    return __real_rename(from, to);
}

/* The one that the library has to call by its number. */
long __wrap_syscall(long number, ...)
{
    va_list more;
    long a[6];
    va_start(more, number);
    for (unsigned i = 0; i < 6; i++)
        a[i] = va_arg(more, long);
    va_end(more);
    if (number == SYS_renameat2)
        meet("rename, not over,", (const char *)a[3]); /* NOLINT(performance-no-int-to-ptr) */
    return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

int __wrap_unlink(const char *name)
{
    meet("unlink", name);
    return __real_unlink(name);
}

int __wrap_stat(const char *name, struct stat *st)
{
    meet("stat", name);
    return __real_stat(name, st);
}

/* ---- The directory ---- */

/* How many files there are; removes them if asked to. */
static unsigned count_files(bool clear)
{
    unsigned count = 0;
    DIR *files = opendir(directory);
    if (files == NULL)
        return 0;
    for (struct dirent *one; (one = readdir(files)) != NULL;) {
        if (one->d_name[0] == '.')
            continue;
        count++;
        if (clear)
            unlinkat(dirfd(files), one->d_name, 0);
    }
    closedir(files);
    return count;
}

static void remove_directory(void)
{
    count_files(true);
    rmdir(directory);
}

static const cachify_config_t *config(void)
{
    static cachify_config_t c;
    c = (cachify_config_t){.path = path, .max_locks = 1, .key_max = 8};
    return &c;
}

static _Noreturn void give_up(const char *what)
{
    fprintf(stderr, "interleave: %s: %s\n", what, strerror(errno));
    exit(2);
}

/* A segment as another boot left it. */
static void make_old(void)
{
    struct cf_mapping *m;
    if (cf_segment_open(config(), &m) != CACHIFY_OK)
        give_up("cannot make a segment");
    old_size = m->size;
    old_bytes = malloc(old_size);
    if (old_bytes == NULL)
        give_up("no memory");
    cf_store_relaxed(&m->group_at[0].token, OLD_TOKEN);
    memcpy(old_bytes, m->base, old_size);
    struct cf_header *h = (struct cf_header *)(void *)old_bytes;
    h->boot_id[0] ^= 0xff;
    h->checksum = cf_header_checksum(h);
    cf_segment_close(m);
    count_files(true);
}

static bool replaces(void)
{
    return kind == FILES_REPLACE || kind == FILES_REPLACE_NAMED;
}

/* ---- The game ---- */

static void begin(void)
{
    for (unsigned i = 0; i < ACTORS; i++) {
        cf_segment_close(mapping[i]);
        mapping[i] = NULL;
    }
    count_files(true);
    if (!replaces())
        return;
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, old_bytes, old_size) != (ssize_t)old_size)
        give_up("cannot write a segment");
    close(fd);
}

static void act(unsigned actor)
{
    struct cf_mapping *opened;
    if (cf_segment_open(config(), &opened) == CACHIFY_OK)
        mapping[actor] = opened;
    else
        wrong("%c: %s", "AB"[actor], cachify_last_error());
}

static void changed(unsigned actor, uint32_t word, uint64_t old)
{
    (void)actor, (void)word, (void)old;
}

static void name(uint32_t word, uint64_t value, char *text, size_t room)
{
    (void)word, (void)value;
    snprintf(text, room, "?");
}

static void end(void)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        wrong("there is no segment at its path");
        return;
    }
    for (unsigned i = 0; i < ACTORS; i++) {
        if (mapping[i]->inode != st.st_ino)
            wrong("I1: %c uses another segment than the one at the path", "AB"[i]);
        if (replaces() && cf_load_relaxed(&mapping[i]->group_at[0].token) <= OLD_TOKEN)
            wrong("I3: tokens do not go on from the old segment's");
    }
    unsigned files = count_files(false);
    if (files != (replaces() ? 2 : 1))
        wrong("%u files are left in the directory", files);
    if (replaces() && (stat(agreed, &st) != 0 || mapping[0]->inode != st.st_ino))
        wrong("the name that all agreed on is not the segment's");
}

static const struct game game = {
    .begin = begin, .act = act, .changed = changed, .end = end, .name = name};

const struct game *files_begin(enum files_kind which)
{
    static uint64_t nothing[2];
    static pid_t made_by;
    uint8_t boot[16];
    kind = which;
    world.now = 1000 * CF_SECOND;
    if (made_by == getpid()) /* to be replayed */
        return &game;
    made_by = getpid();
    snprintf(directory, sizeof directory, "/dev/shm/cachify-interleave-XXXXXX");
    if (mkdtemp(directory) == NULL)
        give_up("cannot make a directory");
    atexit(remove_directory);
    snprintf(path, sizeof path, "%s/segment", directory);
    cf_boot_id(boot);
    cf_segment_agreed_name(agreed, sizeof agreed, path, boot);
    memory_share(nothing, sizeof nothing, nothing, 0);
    if (replaces())
        make_old();
    return &game;
}
