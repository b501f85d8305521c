/* Every system call and allocation that may fail does, one at a time: each operation is done
 * again and again, the nth call of it failing, until it needs no more calls.  Whatever happens, the
 * answer is a status with a message, nothing is left open or lying about, and the next try works. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cachify/client.h>
#include <cachify/shm.h>

#include "agent.h"
#include "shm/segment.h"

/* ---- Faults ---- */

/* Each thread has its own. */
static _Thread_local struct {
    bool armed;
    unsigned after; /* so many calls succeed */
    unsigned calls;
    const char *failed; /* the name of the one that did not */
    const char *always; /* this one fails every time, and is not counted */
} fault;

static bool fails(const char *name, int error)
{
    if (!fault.armed)
        return false;
    bool it = fault.always != NULL && strcmp(name, fault.always) == 0;
    if (!it && fault.calls++ == fault.after) {
        fault.failed = name;
        it = true;
    }
    if (it)
        errno = error;
    return it;
}

/* The linker puts these in the place of libc's (--wrap), for the library and for this file. */
#define WRAP(type, name, failure, error, parameters, arguments)                                    \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;                                                                 \
    type __wrap_##name parameters                                                                  \
    {                                                                                              \
        return fails(#name, error) ? (failure) : __real_##name arguments;                          \
    }

WRAP(void *, calloc, NULL, ENOMEM, (size_t n, size_t size), (n, size))
WRAP(void *, malloc, NULL, ENOMEM, (size_t size), (size))
WRAP(char *, strdup, NULL, ENOMEM, (const char *text), (text))
WRAP(char *, getcwd, NULL, ENOENT, (char *buffer, size_t size), (buffer, size))
WRAP(int, access, -1, EACCES, (const char *path, int mode), (path, mode))
WRAP(int, stat, -1, EACCES, (const char *path, struct stat *st), (path, st))
WRAP(int, fstat, -1, EIO, (int fd, struct stat *st), (fd, st))
WRAP(ssize_t, pread, -1, EIO, (int fd, void *to, size_t n, off_t at), (fd, to, n, at))
WRAP(ssize_t, read, -1, EIO, (int fd, void *to, size_t n), (fd, to, n))
WRAP(int, posix_fallocate, ENOSPC, ENOSPC, (int fd, off_t at, off_t n), (fd, at, n))
WRAP(int, fchmod, -1, EPERM, (int fd, mode_t mode), (fd, mode))
WRAP(int, link, -1, EMLINK, (const char *from, const char *to), (from, to))
WRAP(int, linkat, -1, EIO, (int f, const char *from, int t, const char *to, int flags),
     (f, from, t, to, flags))
WRAP(int, rename, -1, EIO, (const char *from, const char *to), (from, to))
WRAP(void *, mmap, MAP_FAILED, ENOMEM,
     (void *at, size_t size, int protection, int flags, int fd, off_t offset),
     (at, size, protection, flags, fd, offset))
WRAP(int, madvise, -1, EINVAL, (void *addr, size_t len, int advice), (addr, len, advice))
WRAP(ssize_t, getrandom, -1, EAGAIN, (void *to, size_t n, unsigned flags), (to, n, flags))

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(more, mode_t) : 0;
    va_end(more);
    return fails("open", EMFILE) ? -1 : __real_open(path, flags, mode);
}

int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...)
{
    va_list more;
    va_start(more, command);
    void *argument = va_arg(more, void *);
    va_end(more);
    return fails("fcntl", ENOLCK) ? -1 : __real_fcntl(fd, command, argument);
}

/* Only one of the library's bare system calls can leave something behind. */
long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...)
{
    va_list more;
    long a[6];
    va_start(more, number);
    for (unsigned i = 0; i < 6; i++)
        a[i] = va_arg(more, long);
    va_end(more);
    if (number == SYS_renameat2 && fails("renameat2", EINVAL))
        return -1;
    return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* ---- Operations ---- */

static char directory[PATH_ROOM], path[PATH_ROOM + 16];

static void remove_all(void)
{
    char command[2 * PATH_ROOM];
    snprintf(command, sizeof command, "rm -f '%s'/*", directory);
    ck_assert_int_eq(system(command), 0);
}

static void setup_directory(void)
{
    new_directory(directory);
    snprintf(path, sizeof path, "%s/segment", directory);
}

static void teardown_directory(void)
{
    remove_all();
    ck_assert_int_eq(rmdir(directory), 0);
}

static const cachify_config_t *config(void)
{
    static cachify_config_t it;
    it = (cachify_config_t){.path = path, .max_locks = 8, .key_max = 16};
    return &it;
}

/* All that a process does with a segment, from first to last. */
static cachify_status_t live(const cachify_config_t *how)
{
    cachify_t *instance;
    cachify_lease_t lease = CACHIFY_LEASE_INIT;
    cachify_lock_t lock = {.key = "job"};
    cachify_status_t status = cachify_open(how, &instance);
    if (status != CACHIFY_OK)
        return status;
    status = cachify_acquire(instance, &lock, &lease);
    if (status == CACHIFY_OK)
        status = cachify_extend(&lease, 1000);
    cachify_status_t released = cachify_release(&lease);
    cachify_status_t closed = cachify_close(instance);
    return status != CACHIFY_OK ? status : released != CACHIFY_OK ? released : closed;
}

static cachify_status_t do_create(void)
{
    return live(config());
}

static void prepare_existing(void)
{
    assert_ok(live(config()));
}

static void prepare_another_boot(void)
{
    assert_ok(live(config()));
    struct cf_header header;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    ck_assert_int_eq(pread(fd, &header, sizeof header, 0), sizeof header);
    header.boot_id[0] ^= 1;
    header.checksum = cf_header_checksum(&header);
    ck_assert_int_eq(pwrite(fd, &header, sizeof header, 0), sizeof header);
    close(fd);
}

static cachify_status_t do_relative(void)
{
    cachify_config_t relative = *config();
    relative.path = "segment";
    return live(&relative);
}

static void prepare_relative(void)
{
    ck_assert_int_eq(chdir(directory), 0);
}

static int memfd = -1;

static void prepare_memfd(void)
{
    if (memfd >= 0)
        close(memfd);
    memfd = memfd_create("faults", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    ck_assert_int_gt(memfd, 0);
}

static cachify_status_t do_memfd(void)
{
    cachify_config_t given = *config();
    given.path = NULL;
    given.fd = memfd;
    return live(&given);
}

static int count_lease(void *context, const cachify_shm_lease_t *lease)
{
    (void)context, (void)lease;
    return 0;
}

static int count_process(void *context, const cachify_shm_process_t *process)
{
    (void)context, (void)process;
    return 0;
}

static cachify_status_t do_view(void)
{
    cachify_shm_view_t *view;
    cachify_shm_counts_t counts = {0};
    cachify_status_t status = cachify_shm_open(NULL, path, &view);
    if (status != CACHIFY_OK)
        return status;
    status = cachify_shm_leases(view, count_lease, NULL, NULL);
    if (status == CACHIFY_OK)
        status = cachify_shm_count(view, &counts);
    if (status == CACHIFY_OK)
        status = cachify_shm_processes(view, count_process, NULL, NULL);
    cachify_shm_close(view);
    return status;
}

static cachify_status_t do_global(void)
{
    cachify_status_t status = cachify_init(config());
    if (status != CACHIFY_OK)
        return status;
    bool locked;
    status = cachify_is_locked(NULL, "job", &locked);
    cachify_status_t shut = cachify_shutdown();
    return status != CACHIFY_OK ? status : shut;
}

/* A client of one's own stays one's own where it could not be opened. */
static cachify_status_t live_with(cachify_client_t *client)
{
    cachify_t *instance;
    cachify_lease_t lease = CACHIFY_LEASE_INIT;
    cachify_async_t *async;
    cachify_lock_t lock = {.key = "job", .wait = true};
    cachify_config_t with = {.client = client};
    cachify_status_t status = cachify_open(&with, &instance);
    if (status != CACHIFY_OK) {
        client->destroy(client->self);
        return status;
    }
    status = cachify_acquire(instance, &lock, &lease);
    if (status == CACHIFY_OK)
        status = cachify_extend(&lease, 1000);
    if (status == CACHIFY_OK)
        status = cachify_acquire_start(instance, &lock, &async);
    if (status == CACHIFY_OK)
        status = cachify_async_cancel(async);
    cachify_status_t released = cachify_release(&lease);
    cachify_status_t closed = cachify_close(instance);
    return status != CACHIFY_OK ? status : released != CACHIFY_OK ? released : closed;
}

static cachify_status_t do_memory(void)
{
    cachify_client_t client;
    cachify_status_t status = cachify_memory_client(8, &client);
    return status == CACHIFY_OK ? live_with(&client) : status;
}

/* The same store, with no more than set, get and del of it. */
static cachify_status_t do_plain(void)
{
    cachify_client_t client;
    cachify_status_t status = cachify_memory_client(8, &client);
    if (status != CACHIFY_OK)
        return status;
    client.acquire = NULL;
    client.release = NULL;
    client.extend = NULL;
    client.remaining_ns = NULL;
    client.query = NULL;
    return live_with(&client);
}

static void wrapped_function(const cachify_call_t *call)
{
    *(bool *)call->result = true;
}

static cachify_status_t call_wrapped(cachify_t *instance)
{
    cachify_lock_t lock = {.key = "job"};
    cachify_wrap_options_t options = {.function = wrapped_function, .lock = &lock};
    cachify_wrapped_t *wrapped;
    bool called = false;
    cachify_status_t status = cachify_wrap(instance, &options, &wrapped);
    if (status != CACHIFY_OK)
        return status;
    status = cachify_wrap_call(wrapped, NULL, 0, &called);
    fault.armed = false; /* an assertion needs memory, too */
    ck_assert(called == (status == CACHIFY_OK));
    cachify_wrap_free(wrapped);
    return status;
}

static cachify_status_t do_wrapped(void)
{
    cachify_t *instance;
    cachify_status_t status = cachify_open(config(), &instance);
    if (status != CACHIFY_OK)
        return status;
    status = call_wrapped(instance);
    cachify_status_t closed = cachify_close(instance);
    return status != CACHIFY_OK ? status : closed;
}

static void nothing(void)
{
}

static const struct operation {
    const char *name;
    void (*prepare)(void);
    cachify_status_t (*act)(void);
    const char *always;
} operations[] = {
    {"creating", nothing, do_create, NULL},
    {"creating where files have to have names", nothing, do_create, "access"},
    {"opening", prepare_existing, do_create, NULL},
    {"replacing what another boot left", prepare_another_boot, do_create, NULL},
    {"replacing it, with names", prepare_another_boot, do_create, "access"},
    {"opening by a relative path", prepare_relative, do_relative, NULL},
    {"filling a memfd", prepare_memfd, do_memfd, NULL},
    {"looking", prepare_existing, do_view, NULL},
    {"using the global instance", prepare_existing, do_global, NULL},
    {"locks in this process's memory", nothing, do_memory, NULL},
    {"locks made of set, get and del", nothing, do_plain, NULL},
    {"calling a wrapped function", prepare_existing, do_wrapped, NULL},
};
#define OPERATIONS ((int)(sizeof operations / sizeof operations[0]))

/* How often a segment is mapped here; the C library's own memory comes and goes. */
static unsigned count_segment_mappings(void)
{
    char line[512];
    unsigned count = 0;
    FILE *maps = fopen("/proc/self/maps", "re");
    ck_assert_ptr_nonnull(maps);
    while (fgets(line, sizeof line, maps) != NULL)
        count += strstr(line, "/dev/shm/") != NULL || strstr(line, "memfd:") != NULL;
    fclose(maps);
    return count;
}

/* One with the fault, and one without. */
static bool try_with_fault(const struct operation *operation, unsigned after)
{
    remove_all();
    operation->prepare();
    unsigned descriptors = count_descriptors(), mappings = count_segment_mappings();
    fault.always = operation->always;
    fault.failed = NULL;
    fault.calls = 0;
    fault.after = after;
    fault.armed = true;
    cachify_status_t status = operation->act();
    fault.armed = false;
    const char *failed = fault.failed != NULL ? fault.failed : "nothing";
    ck_assert_msg(status == CACHIFY_OK || cachify_last_error()[0] != '\0',
                  "%s, %s failing: %s without a message", operation->name, failed,
                  status_name(status));
    ck_assert_msg(status == CACHIFY_OK || fault.failed != NULL, "%s: %s with no fault",
                  operation->name, cachify_last_error());
    /* A number that cannot be asked about is left alone: it may be another file's by now. */
    ck_assert_msg(count_descriptors() == descriptors || strcmp(failed, "fstat") == 0,
                  "%s, %s failing: a descriptor is left open", operation->name, failed);
    ck_assert_msg(count_segment_mappings() == mappings, "%s, %s failing: a mapping is left",
                  operation->name, failed);
    status = operation->act();
    ck_assert_msg(status == CACHIFY_OK, "%s, after %s failed once: %s", operation->name, failed,
                  cachify_last_error());
    /* The segment, and the name that the processes of this boot agreed on. */
    ck_assert_msg(count_entries(directory) <= 2, "%s, %s failing: a file is left", operation->name,
                  failed);
    return fault.failed != NULL;
}

START_TEST(whatever_call_fails_the_next_try_works)
{
    const struct operation *operation = &operations[_i];
    operation->prepare();
    assert_ok(operation->act()); /* whatever is made once in a process */
    unsigned after = 0;
    while (try_with_fault(operation, after))
        after++;
    printf("%s: %u calls\n", operation->name, after);
    ck_assert_uint_gt(after, 2);
    if (memfd >= 0)
        close(memfd);
}
END_TEST

/* ---- A thread's first call ---- */

static void *release_in_a_thread(void *lease)
{
    static cachify_status_t statuses[2];
    fault.always = "calloc";
    fault.after = 1000;
    fault.armed = true;
    statuses[0] = cachify_release(lease);
    fault.armed = false;
    statuses[1] = cachify_release(lease);
    return statuses;
}

START_TEST(a_release_without_memory_can_be_tried_again)
{
    cachify_t *instance;
    cachify_lease_t lease;
    cachify_lock_t lock = {.key = "job", .exp_ms = CACHIFY_NEVER};
    pthread_t thread;
    void *statuses;
    bool locked = true;
    assert_ok(cachify_open(config(), &instance));
    assert_ok(cachify_acquire(instance, &lock, &lease));
    ck_assert_int_eq(pthread_create(&thread, NULL, release_in_a_thread, &lease), 0);
    pthread_join(thread, &statuses);
    ck_assert_int_eq(((cachify_status_t *)statuses)[0], CACHIFY_NO_MEMORY);
    ck_assert_int_eq(((cachify_status_t *)statuses)[1], CACHIFY_OK);
    assert_ok(cachify_is_locked(instance, "job", &locked));
    ck_assert(!locked);
    assert_ok(cachify_close(instance));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("faults");
    TCase *t = group(s, "one call fails", setup_directory, teardown_directory);
    tcase_add_loop_test(t, whatever_call_fails_the_next_try_works, 0, OPERATIONS);
    tcase_add_test(t, a_release_without_memory_can_be_tried_again);
    return run_suite(s);
}
