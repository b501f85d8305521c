/* What is no segment, or not ours: refused with its status, a message that says what is there and
 * what was expected, and left as it was; without a hang and without a leak. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "shm/segment.h"
#include "support.h"

static char path[PATH_ROOM];

static void setup_path(void)
{
    new_path(path);
}

static cachify_status_t open_path(void)
{
    cachify_t *instance;
    cachify_config_t config = {.path = path, .max_locks = 8};
    cachify_status_t status = cachify_open(&config, &instance);
    if (status == CACHIFY_OK)
        status = cachify_close(instance);
    return status;
}

/* Refused with this status, naming the path and this text; no descriptor or mapping stays. */
#define assert_refused(expected, text)                                                             \
    do {                                                                                           \
        assert_status(open_path(), expected); /* the first call of all keeps some memory */        \
        unsigned descriptors_ = count_descriptors(), mappings_ = count_mappings();                 \
        assert_status(open_path(), expected);                                                      \
        assert_says(path);                                                                         \
        assert_says(text);                                                                         \
        ck_assert_uint_eq(count_descriptors(), descriptors_);                                      \
        ck_assert_uint_eq(count_mappings(), mappings_);                                            \
    } while (0)

/* ---- Wrong kinds (pitfall 58) ---- */

START_TEST(a_directory_is_refused)
{
    ck_assert_int_eq(mkdir(path, 0700), 0);
    assert_refused(CACHIFY_INVALID, "a directory; expected a regular file");
    ck_assert_uint_eq(count_entries(path), 0);
}
END_TEST

START_TEST(a_fifo_is_refused_without_waiting_for_its_other_end)
{
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    assert_refused(CACHIFY_INVALID, "a FIFO; expected a regular file");
}
END_TEST

START_TEST(a_socket_is_refused)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%.100s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_refused(CACHIFY_INVALID, "expected a regular file");
    close(fd);
}
END_TEST

START_TEST(a_device_is_refused)
{
    snprintf(path, sizeof path, "/dev/null");
    assert_refused(CACHIFY_INVALID, "a character device; expected a regular file");
}
END_TEST

START_TEST(a_symbolic_link_is_refused_wherever_it_points)
{
    char target[PATH_ROOM];
    cachify_t *instance;
    new_path(target);
    assert_ok(cachify_open(&(cachify_config_t){.path = target, .max_locks = 8}, &instance));
    assert_ok(cachify_close(instance));
    ck_assert_int_eq(symlink(target, path), 0);
    assert_refused(CACHIFY_INVALID, "a symbolic link; expected a regular file");
    ck_assert_int_eq(unlink(target), 0); /* dangling: nothing is created through it */
    assert_refused(CACHIFY_INVALID, "a symbolic link; expected a regular file");
    ck_assert_int_ne(access(target, F_OK), 0);
}
END_TEST

/* A hard link to some other file of ours: its contents protect it. */
START_TEST(a_hard_link_to_another_file_harms_it_not)
{
    char other[PATH_ROOM], text[64] = "precious data, longer than nothing at all", after[64] = "";
    new_path(other);
    int fd = open(other, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_eq(write(fd, text, sizeof text), sizeof text);
    ck_assert_int_eq(link(other, path), 0);
    assert_refused(CACHIFY_CORRUPT, "64 bytes");
    ck_assert_int_eq(pread(fd, after, sizeof after, 0), sizeof after);
    ck_assert_str_eq(after, text);
    close(fd);
}
END_TEST

/* ---- Wrong contents (pitfall 51, pitfall 60, pitfall 62) ---- */

/* A whole segment in memory, to be spoilt and written. */
static struct cf_header *header;
static uint8_t *bytes;
static size_t size;

static void setup_bytes(void)
{
    struct stat st;
    setup_path();
    assert_ok(open_path());
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ck_assert_int_eq(fstat(fd, &st), 0);
    size = (size_t)st.st_size;
    bytes = malloc(size + 4096);
    ck_assert_int_eq(read(fd, bytes, size), (ssize_t)size);
    memset(bytes + size, 0, 4096);
    close(fd);
    unlink(path);
    header = (struct cf_header *)(void *)bytes;
}

static void teardown_bytes(void)
{
    free(bytes);
    bytes = NULL;
    teardown_here();
}

/* The file's n bytes are refused, and are the same afterwards. */
static void refuse_bytes(size_t n, cachify_status_t expected, const char *text)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ck_assert_int_eq(write(fd, bytes, n), (ssize_t)n);
    assert_refused(expected, text);
    uint8_t *after = malloc(n + 1);
    ck_assert_int_eq(pread(fd, after, n + 1, 0), (ssize_t)n);
    ck_assert_mem_eq(after, bytes, n);
    free(after);
    close(fd);
}

START_TEST(an_empty_file_is_refused)
{
    refuse_bytes(0, CACHIFY_CORRUPT, "has 0 bytes; expected at least");
}
END_TEST

START_TEST(a_short_file_is_refused)
{
    refuse_bytes(1, CACHIFY_CORRUPT, "has 1 bytes; expected at least");
    refuse_bytes(sizeof *header - 1, CACHIFY_CORRUPT, "expected at least");
    refuse_bytes(sizeof *header, CACHIFY_CORRUPT, "its header says");
    refuse_bytes(4096, CACHIFY_CORRUPT, "has 4096 bytes; its header says");
    refuse_bytes(size - 1, CACHIFY_CORRUPT, "its header says");
}
END_TEST

START_TEST(a_file_that_is_too_long_is_refused)
{
    refuse_bytes(size + 4096, CACHIFY_CORRUPT, "its header says");
}
END_TEST

START_TEST(garbage_is_refused)
{
    uint64_t state = seed();
    for (unsigned i = 0; i < 20; i++) {
        for (size_t at = 0; at < size; at++)
            bytes[at] = (uint8_t)chance(&state);
        refuse_bytes(size, CACHIFY_CORRUPT, "no cachify segment");
    }
    memset(bytes, 0, size);
    refuse_bytes(size, CACHIFY_CORRUPT, "no cachify segment");
}
END_TEST

/* pitfall 62 */
START_TEST(another_version_is_incompatible_and_named)
{
    char text[64];
    header->version = CF_LAYOUT_VERSION + 1;
    header->checksum = cf_header_checksum(header);
    snprintf(text, sizeof text, "version %u; this library knows %u", header->version,
             CF_LAYOUT_VERSION);
    refuse_bytes(size, CACHIFY_INCOMPATIBLE, text);
    header->checksum ^= 1; /* of which the other version may know better */
    refuse_bytes(size, CACHIFY_INCOMPATIBLE, text);
}
END_TEST

/* pitfall 61: a build with other sizes or another byte order has another format word. */
START_TEST(another_format_is_incompatible_and_named)
{
    char text[64];
    header->format ^= 0x10;
    header->checksum = cf_header_checksum(header);
    snprintf(text, sizeof text, "format %08x; this build has %08x", header->format,
             cf_layout_format());
    refuse_bytes(size, CACHIFY_INCOMPATIBLE, text);
}
END_TEST

START_TEST(a_damaged_header_is_refused_at_any_bit)
{
    for (size_t at = offsetof(struct cf_header, size); at < sizeof *header; at++) {
        bytes[at] ^= (uint8_t)(1u << at % 8);
        refuse_bytes(size, CACHIFY_CORRUPT, "checksum");
        bytes[at] ^= (uint8_t)(1u << at % 8);
    }
}
END_TEST

/* A hostile creator knows the checksum. */
START_TEST(numbers_that_do_not_fit_each_other_are_refused)
{
    struct cf_header good = *header;
    const struct {
        uint32_t *number;
        uint32_t wrong;
    } wrong[] = {{&header->max_locks, 0},
                 {&header->max_locks, UINT32_MAX},
                 {&header->max_locks, good.max_locks + 1},
                 {&header->records, good.records + 1},
                 {&header->records, UINT32_MAX},
                 {&header->groups, 0},
                 {&header->groups, good.groups + 1},
                 {&header->processes, 0},
                 {&header->processes, UINT32_MAX},
                 {&header->waiters, 0},
                 {&header->key_max, 0},
                 {&header->key_max, UINT32_MAX},
                 {&header->value_max, 4096},
                 {&header->record_size, 0},
                 {&header->record_size, 8}};
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        *wrong[i].number = wrong[i].wrong;
        header->checksum = cf_header_checksum(header);
        refuse_bytes(size, CACHIFY_CORRUPT, "do not fit");
        *header = good;
    }
    uint64_t *const offsets[] = {&header->size, &header->processes_offset, &header->waiters_offset,
                                 &header->groups_offset, &header->records_offset};
    for (unsigned i = 0; i < 5; i++) {
        *offsets[i] += UINT64_C(1) << (12 + 8 * i);
        header->checksum = cf_header_checksum(header);
        refuse_bytes(size, CACHIFY_CORRUPT, "do not fit");
        *header = good;
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("segment_refuse");
    TCase *t = group(s, "wrong kinds", setup_path, teardown_here);
    tcase_add_test(t, a_directory_is_refused);
    tcase_add_test(t, a_fifo_is_refused_without_waiting_for_its_other_end);
    tcase_add_test(t, a_socket_is_refused);
    tcase_add_test(t, a_device_is_refused);
    tcase_add_test(t, a_symbolic_link_is_refused_wherever_it_points);
    tcase_add_test(t, a_hard_link_to_another_file_harms_it_not);
    t = group(s, "wrong contents", setup_bytes, teardown_bytes);
    tcase_add_test(t, an_empty_file_is_refused);
    tcase_add_test(t, a_short_file_is_refused);
    tcase_add_test(t, a_file_that_is_too_long_is_refused);
    tcase_add_test(t, garbage_is_refused);
    tcase_add_test(t, another_version_is_incompatible_and_named);
    tcase_add_test(t, another_format_is_incompatible_and_named);
    tcase_add_test(t, a_damaged_header_is_refused_at_any_bit);
    tcase_add_test(t, numbers_that_do_not_fit_each_other_are_refused);
    return run_suite(s);
}
