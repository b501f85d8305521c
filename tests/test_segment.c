/* The segment's file: creating and opening it, by name, path and descriptor; its mode, space and
 * limits; races of creators, and creators that are killed. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"
#include "confine.h"
#include "shm/segment.h"

static cachify_lease_t lease;

static struct stat look(const char *path)
{
    struct stat st;
    ck_assert_msg(stat(path, &st) == 0, "%s: %s", path, strerror(errno));
    return st;
}

/* Opens and closes. */
static cachify_status_t open_once(cachify_config_t config)
{
    cachify_t *instance;
    cachify_status_t status = cachify_open(&config, &instance);
    if (status == CACHIFY_OK)
        status = cachify_close(instance);
    return status;
}

/* ---- Where ---- */

START_TEST(the_default_is_the_users_own_in_dev_shm)
{
    char *path, expected[64];
    int fd;
    cachify_config_t config = {0};
    snprintf(expected, sizeof expected, "/dev/shm/cachify.%lu", (unsigned long)geteuid());
    assert_ok(cf_segment_locate(&config, &path, &fd));
    ck_assert_str_eq(path, expected);
    ck_assert_int_eq(fd, -1);
    free(path);
}
END_TEST

START_TEST(a_name_is_a_file_in_dev_shm)
{
    char path[PATH_ROOM];
    new_path(path);
    assert_ok(open_once((cachify_config_t){.name = strrchr(path, '/') + 1, .max_locks = 1}));
    ck_assert(S_ISREG(look(path).st_mode));
}
END_TEST

START_TEST(a_name_that_is_no_file_name_is_refused)
{
    char longest[257];
    memset(longest, 'n', 256);
    longest[256] = '\0';
    const char *const names[] = {"", ".", "..", "a/b", "/a", longest};
    for (unsigned i = 0; i < 6; i++) {
        assert_status(open_once((cachify_config_t){.name = names[i]}), CACHIFY_INVALID);
        assert_says(names[i]);
        assert_says("expected");
    }
}
END_TEST

START_TEST(a_path_may_be_relative_and_survives_chdir)
{
    char directory[PATH_ROOM], before[4096];
    cachify_t *instance;
    new_directory(directory);
    ck_assert_ptr_nonnull(getcwd(before, sizeof before));
    ck_assert_int_eq(chdir(directory), 0);
    assert_ok(cachify_open(&(cachify_config_t){.path = "segment", .max_locks = 4}, &instance));
    ck_assert_int_eq(chdir(before), 0);
    assert_ok(cachify_acquire(instance, &(cachify_lock_t){.key = "a"}, &lease));
    for (int64_t until = now_ms() + 250; now_ms() < until; tick()) /* two looks at the file */
        ck_assert(cachify_lease_held(&lease));
    assert_ok(cachify_release(&lease));
    assert_ok(cachify_close(instance));
    ck_assert_uint_eq(count_entries(directory), 1);
}
END_TEST

START_TEST(a_path_may_lie_on_another_file_system)
{
    char directory[] = "/tmp/cachify-test-XXXXXX", path[64];
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/segment", directory);
    cachify_status_t first = open_once((cachify_config_t){.path = path, .max_locks = 4});
    cachify_status_t again = open_once((cachify_config_t){.path = path});
    unsigned left = count_entries(directory);
    unlink(path);
    rmdir(directory);
    assert_ok(first);
    assert_ok(again);
    ck_assert_uint_eq(left, 1);
}
END_TEST

START_TEST(only_one_of_name_path_and_descriptor_may_be_given)
{
    const cachify_config_t configs[] = {{.name = "a", .path = "/dev/shm/b"},
                                        {.path = "/dev/shm/b", .fd = 3},
                                        {.name = "a", .fd = 3},
                                        {.name = "a", .path = "/dev/shm/b", .fd = 3}};
    for (unsigned i = 0; i < 4; i++)
        assert_status(open_once(configs[i]), CACHIFY_INVALID);
    assert_status(open_once((cachify_config_t){.fd = -3}), CACHIFY_INVALID);
    assert_says("-3");
    assert_status(open_once((cachify_config_t){.path = ""}), CACHIFY_INVALID);
}
END_TEST

START_TEST(a_missing_directory_is_named)
{
    char directory[PATH_ROOM], path[PATH_ROOM + 16];
    new_path(directory);
    snprintf(path, sizeof path, "%s/segment", directory);
    assert_status(open_once((cachify_config_t){.path = path}), CACHIFY_SYSTEM);
    assert_says(path);
    assert_says("directory does not exist");
    assert_status(open_once((cachify_config_t){.path = "/dev/null/segment"}), CACHIFY_SYSTEM);
    assert_says("directory does not exist");
}
END_TEST

/* ---- What ---- */

/* pitfall 52 */
START_TEST(its_space_is_reserved_when_it_is_created)
{
    struct stat st = look(here.path);
    ck_assert_uint_eq((uint64_t)st.st_size, here.m->size);
    ck_assert_uint_ge((uint64_t)st.st_blocks * 512, here.m->size);
}
END_TEST

/* pitfall 54: 16,384 locks fit a container's 64 MB many times. */
START_TEST(it_is_as_large_as_promised)
{
    struct cf_header h;
    cachify_config_t config = {0};
    assert_ok(cf_header_plan(&config, &h));
    ck_assert_uint_eq(h.max_locks, 16384);
    ck_assert_uint_eq(h.key_max, 192);
    ck_assert_uint_le(h.size, 16384 * 400 + 512 * 1024);
    config.max_locks = 1000000;
    assert_ok(cf_header_plan(&config, &h));
    ck_assert_uint_le(h.size, UINT64_C(400) * 1000000);
    for (uint32_t locks = 1; locks < CF_LOCKS_LIMIT; locks += locks / 2 + 1) {
        config.max_locks = locks;
        assert_ok(cf_header_plan(&config, &h));
        ck_assert(h.groups * CF_SLOTS >= 2 * locks);
        ck_assert_uint_gt(h.records, locks);
        ck_assert_uint_lt(h.records, CF_RECORDS_LIMIT);
        ck_assert_uint_le(h.processes, CF_ENTRIES_LIMIT);
        ck_assert_uint_le(h.records_offset + (uint64_t)h.records * h.record_size, h.size);
        ck_assert_uint_le(h.groups_offset + (uint64_t)h.groups * CF_LINE, h.records_offset);
    }
}
END_TEST

START_TEST(limits_are_refused_by_name_and_number)
{
    char number[16];
    snprintf(number, sizeof number, "%u", CF_LOCKS_LIMIT);
    assert_status(open_once((cachify_config_t){.max_locks = CF_LOCKS_LIMIT + 1}), CACHIFY_INVALID);
    assert_says("max_locks");
    assert_says(number);
    assert_status(open_once((cachify_config_t){.max_locks = UINT32_MAX}), CACHIFY_INVALID);
    assert_says("4294967295");
    assert_status(open_once((cachify_config_t){.key_max = 4097}), CACHIFY_INVALID);
    assert_says("key_max");
    assert_says("4097");
    assert_says("4096");
}
END_TEST

START_TEST(the_smallest_one_works)
{
    reopen_here((cachify_config_t){.max_locks = 1, .key_max = 1, .prefix = ""});
    cachify_lease_t second;
    assert_ok(take("a", 0, &lease));
    assert_status(take("b", 0, &second), CACHIFY_FULL);
    assert_status(take("ab", 0, &second), CACHIFY_KEY_TOO_LONG);
    assert_ok(cachify_release(&lease));
    assert_ok(take("b", 0, &lease));
}
END_TEST

START_TEST(one_that_exists_stays_as_it_is)
{
    cachify_t *other;
    struct stat before = look(here.path);
    cachify_config_t config = {
        .path = here.path, .max_locks = 1000, .key_max = 512, .mode = 0666, .prefix = ""};
    assert_ok(cachify_open(&config, &other));
    ck_assert_uint_eq(mapping_of(other)->max_locks, 64);
    ck_assert_uint_eq(mapping_of(other)->key_max, 64);
    assert_ok(cachify_close(other));
    struct stat after = look(here.path);
    ck_assert_int_eq(after.st_size, before.st_size);
    ck_assert_uint_eq(after.st_mode, before.st_mode);
    ck_assert_uint_eq(after.st_ino, before.st_ino);
}
END_TEST

/* pitfall 56 */
START_TEST(its_mode_is_what_was_asked_whatever_the_umask)
{
    const mode_t masks[] = {0, 022, 077, 0777};
    const uint32_t modes[] = {0, 0600, 0660, 0666, 0644};
    for (unsigned i = 0; i < 4; i++)
        for (unsigned j = 0; j < 5; j++) {
            char path[PATH_ROOM];
            new_path(path);
            mode_t before = umask(masks[i]);
            cachify_status_t status =
                open_once((cachify_config_t){.path = path, .mode = modes[j], .max_locks = 1});
            umask(before);
            assert_ok(status);
            ck_assert_uint_eq(look(path).st_mode & 07777, modes[j] != 0 ? modes[j] : 0600);
        }
    assert_status(open_once((cachify_config_t){.mode = 01777}), CACHIFY_INVALID);
    assert_says("1777");
}
END_TEST

START_TEST(two_processes_share_it)
{
    struct agent *agent = agent_start();
    assert_ok(agent_take(agent, "job", 0).status);
    assert_status(take("job", 0, &lease), CACHIFY_LOCKED);
    ck_assert_uint_eq(census(here.m).entries, 2);
}
END_TEST

/* ---- A descriptor ---- */

static int make_memfd(unsigned flags)
{
    int fd = memfd_create("cachify-test", MFD_CLOEXEC | flags);
    ck_assert_int_gt(fd, 0);
    return fd;
}

START_TEST(an_empty_memfd_becomes_a_segment_and_stays_the_callers)
{
    cachify_t *a, *b;
    int fd = make_memfd(MFD_ALLOW_SEALING);
    cachify_config_t config = {.fd = fd, .max_locks = 8, .prefix = ""};
    assert_ok(cachify_open(&config, &a));
    ck_assert_int_ne(fcntl(fd, F_GET_SEALS) & F_SEAL_SHRINK, 0);
    ck_assert_int_eq(ftruncate(fd, 0), -1); /* pitfall 53 */
    assert_ok(cachify_open(&config, &b));
    assert_ok(cachify_acquire(a, &(cachify_lock_t){.key = "job"}, &lease));
    bool locked = false;
    assert_ok(cachify_is_locked(b, "job", &locked));
    ck_assert(locked);
    close(fd); /* the library has its own */
    assert_ok(cachify_release(&lease));
    assert_ok(cachify_acquire(b, &(cachify_lock_t){.key = "job"}, &lease));
    assert_ok(cachify_release(&lease));
    assert_ok(cachify_close(a));
    assert_ok(cachify_close(b));
}
END_TEST

START_TEST(a_memfd_is_inherited_by_a_child)
{
    int fd = make_memfd(MFD_ALLOW_SEALING);
    cachify_close(here.cachify);
    here.config = (cachify_config_t){.fd = fd, .max_locks = 8, .prefix = ""};
    assert_ok(cachify_open(&here.config, &here.cachify));
    here.m = mapping_of(here.cachify);
    struct agent *agent = agent_start();
    assert_ok(agent_take(agent, "job", CACHIFY_NEVER).status);
    assert_status(take("job", 0, &lease), CACHIFY_LOCKED);
    agent_kill(agent);
    EVENTUALLY(take("job", 0, &lease) == CACHIFY_OK, LONG_MS);
    ck_assert_int_eq(cachify_lease_origin(&lease, NULL), CACHIFY_OWNER_DIED);
    close(fd);
}
END_TEST

static off_t size_of(int fd)
{
    struct stat st;
    ck_assert_int_eq(fstat(fd, &st), 0);
    return st.st_size;
}

START_TEST(a_descriptor_that_cannot_be_sealed_is_refused_and_left_alone)
{
    char path[PATH_ROOM], expected[32];
    int fd = make_memfd(0); /* sealed against sealing */
    assert_status(open_once((cachify_config_t){.fd = fd}), CACHIFY_INVALID);
    assert_says("sealed");
    ck_assert_int_eq(size_of(fd), 0);
    close(fd);
    snprintf(expected, sizeof expected, "fd %d", fd);
    assert_status(open_once((cachify_config_t){.fd = fd}), CACHIFY_INVALID); /* closed */
    assert_says(expected);
    new_path(path);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_status(open_once((cachify_config_t){.fd = fd}), CACHIFY_INVALID);
    assert_says(expected);
    ck_assert_int_eq(size_of(fd), 0);
    close(fd);
    int pair[2];
    ck_assert_int_eq(pipe(pair), 0);
    assert_status(open_once((cachify_config_t){.fd = pair[0]}), CACHIFY_INVALID);
    assert_says("no memfd");
    close(pair[0]);
    close(pair[1]);
}
END_TEST

START_TEST(a_memfd_of_another_purpose_is_refused_and_left_alone)
{
    char data[8192] = {0}, after[8192];
    for (unsigned i = 0; i < 2; i++) {
        int fd = make_memfd(MFD_ALLOW_SEALING);
        memset(data + (i == 0 ? 0 : 100), 0x77, 50); /* with and without zeros at its head */
        ck_assert_int_eq(write(fd, data, sizeof data), sizeof data);
        assert_status(open_once((cachify_config_t){.fd = fd}), CACHIFY_CORRUPT);
        ck_assert_int_eq(pread(fd, after, sizeof after, 0), sizeof after);
        ck_assert_mem_eq(after, data, sizeof data);
        close(fd);
        memset(data, 0, sizeof data);
    }
}
END_TEST

static int64_t open_memfd(unsigned i, void *context)
{
    cachify_t *instance;
    cachify_config_t config = {.fd = *(int *)context, .max_locks = 8};
    (void)i;
    if (cachify_open(&config, &instance) != CACHIFY_OK)
        return -2;
    return (int64_t)(mapping_of(instance)->hash_seed & INT64_MAX);
}

START_TEST(many_who_fill_one_memfd_agree)
{
    int64_t seeds[8];
    int fd = make_memfd(MFD_ALLOW_SEALING);
    processes_together(8, open_memfd, &fd, seeds);
    for (unsigned i = 0; i < 8; i++)
        ck_assert_int_eq(seeds[i], seeds[0]);
    ck_assert_int_ge(seeds[0], 0);
    close(fd);
}
END_TEST

/* ---- Races ---- */

static int64_t open_and_tell(unsigned i, void *context)
{
    cachify_t *instance;
    cachify_config_t config = {.path = context, .max_locks = 64};
    (void)i;
    if (cachify_open(&config, &instance) != CACHIFY_OK)
        return -2;
    return (int64_t)mapping_of(instance)->inode;
}

/* pitfall 50 */
START_TEST(of_many_creators_at_once_all_get_one_segment)
{
    for (unsigned round = 0; round < rounds(20); round++) {
        char directory[PATH_ROOM], path[PATH_ROOM + 16];
        int64_t inodes[16];
        new_directory(directory);
        snprintf(path, sizeof path, "%s/segment", directory);
        processes_together(16, open_and_tell, path, inodes);
        for (unsigned i = 0; i < 16; i++)
            ck_assert_int_eq(inodes[i], (int64_t)look(path).st_ino);
        ck_assert_uint_eq(count_entries(directory), 1);
    }
}
END_TEST

/* pitfall 50 */
START_TEST(a_creator_killed_on_the_way_leaves_nothing_in_the_way)
{
    uint64_t state = seed();
    char directory[PATH_ROOM], path[PATH_ROOM + 16];
    new_directory(directory);
    snprintf(path, sizeof path, "%s/segment", directory);
    for (unsigned round = 0; round < rounds(100); round++) {
        cachify_config_t config = {.path = path, .max_locks = 4096};
        pid_t pid = fork();
        if (pid == 0) {
            open_once(config);
            end_child();
        }
        cf_nanosleep(chance(&state) % (3 * CF_MS));
        send_signal(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        unsigned entries = count_entries(directory);
        ck_assert_uint_le(entries, 1);
        ck_assert_int_eq(entries == 1, access(path, F_OK) == 0);
        assert_ok(open_once(config));
        unlink(path);
    }
}
END_TEST

static cachify_status_t act_without_tmpfile(struct agent_self *self,
                                            const struct agent_order *order,
                                            struct agent_answer *answer)
{
    (void)self, (void)answer;
    if (!forbid_flags(SYS_openat, 2, O_TMPFILE & ~O_DIRECTORY, EOPNOTSUPP))
        return CACHIFY_PENDING;
    return open_once((cachify_config_t){.path = order->key, .max_locks = 4});
}

START_TEST(a_file_system_without_unnamed_files_will_do)
{
    char directory[PATH_ROOM];
    struct agent_order order = {.act = act_without_tmpfile};
    new_directory(directory);
    snprintf(order.key, sizeof order.key, "%.100s/segment", directory);
    struct agent_answer answer = agent_do(agent_start_idle(), &order);
    if (answer.status == CACHIFY_PENDING)
        SKIP("no seccomp here");
    ck_assert_msg(answer.status == CACHIFY_OK, "%s", answer.error);
    ck_assert_uint_eq(count_entries(directory), 1);
    assert_ok(open_once((cachify_config_t){.path = order.key}));
}
END_TEST

/* ---- Looking ---- */

START_TEST(a_view_is_mapped_read_only)
{
    struct cf_mapping *m;
    cachify_config_t config = {.path = here.path};
    char line[512], wanted[32];
    bool found = false;
    assert_ok(cf_segment_view(&config, &m));
    snprintf(wanted, sizeof wanted, "%08lx-", (unsigned long)(uintptr_t)m->base);
    FILE *maps = fopen("/proc/self/maps", "r");
    ck_assert_ptr_nonnull(maps);
    while (fgets(line, sizeof line, maps) != NULL)
        if (strncmp(line, wanted, strlen(wanted)) == 0)
            found = strstr(line, " r--s ") != NULL;
    fclose(maps);
    ck_assert(found);
    cf_segment_close(m);
    config.path = "/dev/shm/cachify-test-none";
    assert_status(cf_segment_view(&config, &m), CACHIFY_SYSTEM);
    ck_assert_int_ne(access(config.path, F_OK), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("segment");
    TCase *t = group(s, "where", NULL, teardown_here);
    tcase_add_test(t, the_default_is_the_users_own_in_dev_shm);
    tcase_add_test(t, a_name_is_a_file_in_dev_shm);
    tcase_add_test(t, a_name_that_is_no_file_name_is_refused);
    tcase_add_test(t, a_path_may_be_relative_and_survives_chdir);
    tcase_add_test(t, a_path_may_lie_on_another_file_system);
    tcase_add_test(t, only_one_of_name_path_and_descriptor_may_be_given);
    tcase_add_test(t, a_missing_directory_is_named);
    t = group(s, "what", setup_here, teardown_here);
    tcase_add_test(t, its_space_is_reserved_when_it_is_created);
    tcase_add_test(t, it_is_as_large_as_promised);
    tcase_add_test(t, limits_are_refused_by_name_and_number);
    tcase_add_test(t, the_smallest_one_works);
    tcase_add_test(t, one_that_exists_stays_as_it_is);
    tcase_add_test(t, its_mode_is_what_was_asked_whatever_the_umask);
    tcase_add_test(t, two_processes_share_it);
    tcase_add_test(t, a_view_is_mapped_read_only);
    t = group(s, "descriptor", setup_here, teardown_here);
    tcase_add_test(t, an_empty_memfd_becomes_a_segment_and_stays_the_callers);
    tcase_add_test(t, a_memfd_is_inherited_by_a_child);
    tcase_add_test(t, a_descriptor_that_cannot_be_sealed_is_refused_and_left_alone);
    tcase_add_test(t, a_memfd_of_another_purpose_is_refused_and_left_alone);
    tcase_add_test(t, many_who_fill_one_memfd_agree);
    t = group(s, "races", NULL, teardown_here);
    tcase_add_test(t, of_many_creators_at_once_all_get_one_segment);
    tcase_add_test(t, a_creator_killed_on_the_way_leaves_nothing_in_the_way);
    tcase_add_test(t, a_file_system_without_unnamed_files_will_do);
    return run_suite(s);
}
