/* Whose segment it is and what the system has left for it: owners, permissions, full file systems,
 * exhausted limits.  Acts here change user, mounts or limits, so they run in agents. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"

#define SOMEBODY 12345
#define SOMEBODY_ELSE 12346

static char path[PATH_ROOM];

static void setup_path(void)
{
    new_path(path);
}

static cachify_status_t open_with(const char *where, uint32_t max_locks, uint32_t flags)
{
    cachify_t *instance;
    cachify_config_t config = {.path = where, .max_locks = max_locks, .flags = flags};
    cachify_status_t status = cachify_open(&config, &instance);
    if (status == CACHIFY_OK)
        status = cachify_close(instance);
    return status;
}

static void make_segment(uid_t owner, mode_t mode)
{
    assert_ok(open_with(path, 8, 0));
    ck_assert_int_eq(chmod(path, mode), 0);
    ck_assert_int_eq(chown(path, owner, (gid_t)-1), 0);
}

#define NEEDS_ROOT()                                                                               \
    do {                                                                                           \
        if (geteuid() != 0)                                                                        \
            SKIP("needs root");                                                                    \
    } while (0)

/* ---- Owners ---- */

/* As another user; number: flags. */
static cachify_status_t act_open_as_somebody(struct agent_self *self,
                                             const struct agent_order *order,
                                             struct agent_answer *answer)
{
    (void)self, (void)answer;
    if (setgroups(0, NULL) != 0 || setgid(SOMEBODY) != 0 || setuid(SOMEBODY) != 0)
        return CACHIFY_PENDING;
    return open_with(order->key, 8, (uint32_t)order->number);
}

static struct agent_answer open_as_somebody(uint32_t flags)
{
    struct agent_order order = {.act = act_open_as_somebody, .number = flags};
    memcpy(order.key, path, sizeof order.key);
    struct agent_answer answer = agent_do(agent_start_idle(), &order);
    ck_assert_int_eq(answer.verdict, ANSWERED);
    return answer;
}

#define assert_answer(answer, expected, text)                                                      \
    do {                                                                                           \
        struct agent_answer got_ = (answer);                                                       \
        ck_assert_msg(got_.status == (expected), "%s: %s", status_name(got_.status), got_.error);  \
        ck_assert_msg(strstr(got_.error, text) != NULL, "\"%s\" is not in \"%s\"", text,           \
                      got_.error);                                                                 \
    } while (0)

/* pitfall 59 */
START_TEST(another_users_segment_is_refused_unless_allowed)
{
    NEEDS_ROOT();
    make_segment(SOMEBODY_ELSE, 0666);
    assert_answer(open_as_somebody(0), CACHIFY_PERMISSION, "belongs to user 12346");
    assert_answer(open_as_somebody(0), CACHIFY_PERMISSION, "expected 12345 or root");
    assert_ok(open_as_somebody(CACHIFY_ANY_OWNER).status);
}
END_TEST

/* pitfall 57, pitfall 59: also by root, and whatever fs.protected_regular says. */
START_TEST(root_too_refuses_anothers_unless_allowed)
{
    NEEDS_ROOT();
    make_segment(SOMEBODY, 0600);
    assert_status(open_with(path, 8, 0), CACHIFY_PERMISSION);
    assert_says("belongs to user 12345");
    assert_ok(open_with(path, 8, CACHIFY_ANY_OWNER));
}
END_TEST

START_TEST(ones_own_and_roots_are_accepted)
{
    NEEDS_ROOT();
    make_segment(SOMEBODY, 0600);
    assert_ok(open_as_somebody(0).status);
    ck_assert_int_eq(chown(path, 0, 0), 0);
    ck_assert_int_eq(chmod(path, 0666), 0);
    assert_ok(open_as_somebody(0).status);
}
END_TEST

/* pitfall 56 */
START_TEST(without_permission_it_says_so)
{
    NEEDS_ROOT();
    make_segment(0, 0600);
    assert_answer(open_as_somebody(0), CACHIFY_PERMISSION, path);
    ck_assert_int_eq(chmod(path, 0444), 0);
    assert_answer(open_as_somebody(0), CACHIFY_PERMISSION, path);
    ck_assert_int_eq(unlink(path), 0);
    char directory[PATH_ROOM];
    new_directory(directory);
    snprintf(path, sizeof path, "%.100s/segment", directory);
    assert_answer(open_as_somebody(0), CACHIFY_PERMISSION, path);
    ck_assert_uint_eq(count_entries(directory), 0);
}
END_TEST

/* ---- Space ---- */

/* A file system of the agent's own. */
static bool mount_own(const char *where, const char *options)
{
    return unshare(CLONE_NEWNS) == 0 &&
           mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("none", where, "tmpfs", 0, options) == 0;
}

/* number: how many entries the directory has afterwards. */
static cachify_status_t act_open_on_small(struct agent_self *self, const struct agent_order *order,
                                          struct agent_answer *answer)
{
    char segment[PATH_ROOM + 16];
    (void)self;
    if (order->number == 0 && !mount_own(order->key, "size=256k"))
        return CACHIFY_PENDING;
    snprintf(segment, sizeof segment, "%s/segment", order->key);
    cachify_status_t status = open_with(segment, order->number == 0 ? 16384 : 8, 0);
    answer->number = count_entries(order->key);
    return status;
}

static struct agent_answer in_directory(agent_act *act)
{
    struct agent_order order = {.act = act};
    new_directory(order.key);
    struct agent_answer answer = agent_do(agent_start_idle(), &order);
    ck_assert_int_eq(answer.verdict, ANSWERED);
    return answer;
}

/* pitfall 52, pitfall 54 */
START_TEST(a_full_file_system_is_FULL_at_creation)
{
    struct agent *agent = agent_start_idle();
    struct agent_order order = {.act = act_open_on_small};
    new_directory(order.key);
    struct agent_answer answer = agent_do(agent, &order);
    if (answer.status == CACHIFY_PENDING)
        SKIP("no permission to mount");
    assert_answer(answer, CACHIFY_FULL, "bytes");
    assert_answer(answer, CACHIFY_FULL, "smaller max_locks");
    ck_assert_int_eq(answer.number, 0); /* nothing is left behind */
    order.number = 1;
    answer = agent_do(agent, &order);
    ck_assert_msg(answer.status == CACHIFY_OK, "%s", answer.error);
    ck_assert_int_eq(answer.number, 1);
}
END_TEST

/* So full that not even a name fits. */
static cachify_status_t act_open_without_inodes(struct agent_self *self,
                                                const struct agent_order *order,
                                                struct agent_answer *answer)
{
    char segment[PATH_ROOM + 16];
    (void)self, (void)answer;
    if (!mount_own(order->key, "nr_inodes=1"))
        return CACHIFY_PENDING;
    snprintf(segment, sizeof segment, "%s/segment", order->key);
    return open_with(segment, 8, 0);
}

START_TEST(a_file_system_without_room_for_a_file_is_FULL)
{
    struct agent_answer answer = in_directory(act_open_without_inodes);
    if (answer.status == CACHIFY_PENDING)
        SKIP("no permission to mount");
    assert_answer(answer, CACHIFY_FULL, "segment");
}
END_TEST

static cachify_status_t act_open_read_only(struct agent_self *self, const struct agent_order *order,
                                           struct agent_answer *answer)
{
    char segment[PATH_ROOM + 16];
    (void)self, (void)answer;
    if (!mount_own(order->key, "ro"))
        return CACHIFY_PENDING;
    snprintf(segment, sizeof segment, "%s/segment", order->key);
    return open_with(segment, 8, 0);
}

START_TEST(a_read_only_file_system_is_PERMISSION)
{
    struct agent_answer answer = in_directory(act_open_read_only);
    if (answer.status == CACHIFY_PENDING)
        SKIP("no permission to mount");
    assert_answer(answer, CACHIFY_PERMISSION, "segment");
}
END_TEST

/* ---- Limits of the process ---- */

static cachify_status_t act_open_without_descriptors(struct agent_self *self,
                                                     const struct agent_order *order,
                                                     struct agent_answer *answer)
{
    struct rlimit limit = {3, 3};
    (void)self, (void)answer;
    setrlimit(RLIMIT_NOFILE, &limit);
    return open_with(order->key, 8, 0);
}

START_TEST(no_descriptor_left_is_SYSTEM_and_says_why)
{
    if (under_valgrind())
        SKIP("valgrind has descriptors of its own");
    struct agent_order order = {.act = act_open_without_descriptors};
    memcpy(order.key, path, sizeof order.key);
    assert_answer(agent_do(agent_start_idle(), &order), CACHIFY_SYSTEM, strerror(EMFILE));
    ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

static cachify_status_t act_open_without_memory(struct agent_self *self,
                                                const struct agent_order *order,
                                                struct agent_answer *answer)
{
    struct rlimit limit;
    (void)self, (void)answer;
    getrlimit(RLIMIT_AS, &limit);
    limit.rlim_cur = (rlim_t)order->number;
    setrlimit(RLIMIT_AS, &limit);
    return open_with(order->key, 8, 0);
}

START_TEST(no_address_space_left_is_NO_MEMORY)
{
    if (SANITIZED || under_valgrind())
        SKIP("the checker needs address space");
    struct agent_order order = {.act = act_open_without_memory, .number = 64 << 20};
    assert_ok(open_with(path, 500000, 0)); /* some 170 MB of it */
    memcpy(order.key, path, sizeof order.key);
    assert_answer(agent_do(agent_start_idle(), &order), CACHIFY_NO_MEMORY, path);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("segment_owner");
    TCase *t = group(s, "owners", setup_path, teardown_here);
    tcase_add_test(t, another_users_segment_is_refused_unless_allowed);
    tcase_add_test(t, root_too_refuses_anothers_unless_allowed);
    tcase_add_test(t, ones_own_and_roots_are_accepted);
    tcase_add_test(t, without_permission_it_says_so);
    t = group(s, "space", setup_path, teardown_here);
    tcase_add_test(t, a_full_file_system_is_FULL_at_creation);
    tcase_add_test(t, a_file_system_without_room_for_a_file_is_FULL);
    tcase_add_test(t, a_read_only_file_system_is_PERMISSION);
    t = group(s, "limits", setup_path, teardown_here);
    tcase_add_test(t, no_descriptor_left_is_SYSTEM_and_says_why);
    tcase_add_test(t, no_address_space_left_is_NO_MEMORY);
    return run_suite(s);
}
