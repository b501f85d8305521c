/* The ground: clocks, futexes, identity, hash, and who is a new process. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"
#include "confine.h"
#include "ground/fork.h"
#include "ground/hash.h"
#include "ground/os.h"

/* ---- Clocks ---- */

START_TEST(the_monotonic_clock_never_goes_back)
{
    uint64_t last = 0;
    for (unsigned i = 0; i < 10000; i++) {
        uint64_t now = cf_monotonic_ns();
        ck_assert_uint_ge(now, last);
        last = now;
    }
}
END_TEST

START_TEST(the_coarse_clock_is_never_ahead)
{
    for (unsigned i = 0; i < 10000; i++) {
        uint64_t coarse = cf_monotonic_coarse_ns(), precise = cf_monotonic_ns();
        ck_assert_uint_le(coarse, precise);
    }
}
END_TEST

START_TEST(a_sleep_is_as_long_as_asked_or_longer)
{
    const uint64_t lengths[] = {0, 1, CF_MS, 20 * CF_MS};
    for (unsigned i = 0; i < 4; i++) {
        uint64_t start = cf_monotonic_ns();
        cf_nanosleep(lengths[i]);
        uint64_t took = cf_monotonic_ns() - start;
        ck_assert_uint_ge(took, lengths[i]);
        ck_assert_uint_lt(took, lengths[i] + CF_SECOND);
    }
}
END_TEST

static void *sleep_and_tell(void *slept)
{
    cf_nanosleep(100 * CF_MS);
    *(_Atomic bool *)slept = true;
    pthread_testcancel();
    return NULL;
}

/* pitfall 42: nanosleep is a cancellation point, its callers have things to give back. */
START_TEST(a_sleep_is_not_cancelled)
{
    pthread_t thread;
    void *result;
    _Atomic bool slept = false;
    ck_assert_int_eq(pthread_create(&thread, NULL, sleep_and_tell, (void *)&slept), 0);
    pthread_cancel(thread);
    pthread_join(thread, &result);
    ck_assert(slept || result == PTHREAD_CANCELED); /* before it began, or after it ended */
}
END_TEST

/* ---- Futexes (pitfall 22) ---- */

START_TEST(a_futex_whose_word_differs_does_not_sleep)
{
    _Atomic uint32_t word = 7;
    uint64_t start = cf_monotonic_ns();
    ck_assert(!cf_futex_wait(&word, 8, 10 * CF_SECOND));
    ck_assert_uint_lt(cf_monotonic_ns() - start, 5 * CF_SECOND);
}
END_TEST

START_TEST(a_futex_sleeps_no_shorter_than_asked)
{
    _Atomic uint32_t word = 7;
    uint64_t start = cf_monotonic_ns();
    ck_assert(!cf_futex_wait(&word, 7, 50 * CF_MS));
    uint64_t took = cf_monotonic_ns() - start;
    ck_assert_uint_ge(took, 50 * CF_MS);
    ck_assert_uint_lt(took, 5 * CF_SECOND);
}
END_TEST

/* A word that children share, and how many of them were woken. */
struct bed {
    _Atomic uint32_t word;
    _Atomic unsigned asleep, woken;
};

static pid_t lay_down(struct bed *bed)
{
    pid_t pid = fork();
    if (pid == 0) {
        atomic_fetch_add(&bed->asleep, 1);
        if (cf_futex_wait(&bed->word, 0, 60 * CF_SECOND))
            atomic_fetch_add(&bed->woken, 1);
        end_child();
    }
    return pid;
}

/* Whether the kernel has it asleep in a futex. */
static bool is_asleep(pid_t pid)
{
    char name[64], text[64] = "";
    snprintf(name, sizeof name, "/proc/%d/wchan", (int)pid);
    FILE *file = fopen(name, "r");
    if (file != NULL) {
        size_t n = fread(text, 1, sizeof text - 1, file);
        text[n] = '\0';
        fclose(file);
    }
    return strstr(text, "futex") != NULL;
}

/* pitfall 24: between processes, as many as asked. */
START_TEST(a_futex_wakes_other_processes_as_many_as_asked_for)
{
    struct bed *bed = shared(sizeof *bed);
    pid_t pids[4];
    for (unsigned i = 0; i < 4; i++)
        pids[i] = lay_down(bed);
    EVENTUALLY(bed->asleep == 4, LONG_MS);
    for (int64_t until = now_ms() + LONG_MS; !is_asleep(pids[0]); tick()) {
        if (now_ms() > until || access("/proc/self/wchan", R_OK) != 0) {
            for (unsigned i = 0; i < 4; i++)
                send_signal(pids[i], SIGKILL);
            SKIP("/proc does not tell who sleeps where");
        }
    }
    for (unsigned i = 0; i < 4; i++)
        EVENTUALLY(is_asleep(pids[i]), LONG_MS);
    ck_assert_int_eq(cf_futex_wake(&bed->word, 1), 1);
    EVENTUALLY(bed->woken == 1, LONG_MS);
    ck_assert_int_eq(cf_futex_wake(&bed->word, 10), 3);
    EVENTUALLY(bed->woken == 4, LONG_MS);
    ck_assert_int_eq(cf_futex_wake(&bed->word, 10), 0);
    for (unsigned i = 0; i < 4; i++)
        waitpid(pids[i], NULL, 0);
}
END_TEST

static void on_alarm(int signal)
{
    (void)signal;
}

START_TEST(a_signal_ends_a_futex_sleep_as_no_wake)
{
    _Atomic uint32_t word = 0;
    struct itimerval once = {{0, 20000}, {0, 20000}}, never = {{0, 0}, {0, 0}};
    struct sigaction action = {.sa_handler = on_alarm}, before;
    sigaction(SIGALRM, &action, &before);
    setitimer(ITIMER_REAL, &once, NULL);
    uint64_t start = cf_monotonic_ns();
    bool woken = cf_futex_wait(&word, 0, 20 * CF_SECOND);
    setitimer(ITIMER_REAL, &never, NULL);
    sigaction(SIGALRM, &before, NULL);
    ck_assert(!woken);
    ck_assert_uint_lt(cf_monotonic_ns() - start, 15 * CF_SECOND);
}
END_TEST

static cachify_status_t act_sleep_without_futex(struct agent_self *self,
                                                const struct agent_order *order,
                                                struct agent_answer *answer)
{
    _Atomic uint32_t word = 0;
    (void)self;
    if (!forbid_call(SYS_futex, (int)order->number))
        return CACHIFY_PENDING;
    uint64_t start = cf_monotonic_ns();
    bool woken = cf_futex_wait(&word, 0, 40 * CF_MS);
    answer->number = (int64_t)(cf_monotonic_ns() - start);
    return woken ? CACHIFY_LOST : CACHIFY_OK;
}

/* pitfall 27 */
START_TEST(without_futexes_it_sleeps_for_the_time_given)
{
    const int errors[] = {ENOSYS, EPERM, EACCES};
    struct agent_answer answer = agent_run(agent_start_idle(), act_sleep_without_futex, errors[_i]);
    if (answer.status == CACHIFY_PENDING)
        SKIP("no seccomp here");
    ck_assert_int_eq(answer.status, CACHIFY_OK);
    ck_assert_int_ge(answer.number, 40 * (int64_t)CF_MS);
}
END_TEST

/* ---- Identity ---- */

START_TEST(the_boot_id_is_what_the_kernel_says)
{
    uint8_t id[16], again[16];
    char text[64] = "", ours[40] = "";
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_gt(read(fd, text, sizeof text - 1), 35);
    close(fd);
    cf_boot_id(id);
    cf_boot_id(again);
    ck_assert_mem_eq(id, again, sizeof id);
    for (unsigned i = 0, at = 0; i < 16; i++) {
        at += (unsigned)sprintf(ours + at, "%02x", id[i]);
        if (i == 3 || i == 5 || i == 7 || i == 9)
            at += (unsigned)sprintf(ours + at, "-");
    }
    ck_assert_int_eq(strncmp(text, ours, 36), 0);
}
END_TEST

START_TEST(the_pid_namespace_is_its_inode)
{
    struct stat st;
    ck_assert_int_eq(stat("/proc/self/ns/pid", &st), 0);
    ck_assert_uint_eq(cf_pid_namespace(), st.st_ino);
}
END_TEST

START_TEST(thread_and_command_are_the_kernels)
{
    char command[16];
    ck_assert_uint_eq(cf_thread_id(), (uint32_t)syscall(SYS_gettid));
    cf_command(command);
    ck_assert_str_ne(command, "");
    ck_assert_ptr_nonnull(memchr(command, '\0', sizeof command));
    ck_assert_ptr_null(strchr(command, '\n'));
}
END_TEST

/* In a child: the offset of its time namespace, or -1 if it cannot be told, -2 if not permitted. */
static cachify_status_t act_time_namespace(struct agent_self *self, const struct agent_order *order,
                                           struct agent_answer *answer)
{
    int64_t offset = 0, *from_child = shared(sizeof *from_child);
    uint64_t inode;
    const char *text = "monotonic 1000 5\n";
    (void)self;
    if (unshare(CLONE_NEWTIME) != 0)
        return CACHIFY_PENDING;
    int fd = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
    if (write(fd, text, strlen(text)) < 0)
        return CACHIFY_PENDING;
    close(fd);
    if (order->number == 0) { /* itself is still in the old one */
        answer->number = cf_time_namespace(&offset, &inode) ? offset : -1;
        return CACHIFY_OK;
    }
    pid_t pid = fork();
    if (pid == 0) {
        *from_child = cf_time_namespace(&offset, &inode) ? offset : -1;
        if (order->number == 2) /* its children are to be in yet another one */
            *from_child = unshare(CLONE_NEWTIME) != 0          ? -2
                          : cf_time_namespace(&offset, &inode) ? offset
                                                               : -1;
        end_child();
    }
    waitpid(pid, NULL, 0);
    answer->number = *from_child;
    return CACHIFY_OK;
}

/* pitfall 47 */
START_TEST(the_offset_of_a_time_namespace_is_told_or_not_known)
{
    const int64_t expected[] = {0, 1000 * (int64_t)CF_SECOND + 5, -1};
    struct agent_answer answer = agent_run(agent_start_idle(), act_time_namespace, _i);
    if (answer.status == CACHIFY_PENDING)
        SKIP("no permission to make time namespaces");
    ck_assert_int_eq(answer.number, expected[_i]);
}
END_TEST

START_TEST(random_bits_differ)
{
    uint64_t seen[100];
    for (unsigned i = 0; i < 100; i++) {
        seen[i] = cf_random();
        for (unsigned k = 0; k < i; k++)
            ck_assert_uint_ne(seen[k], seen[i]);
    }
}
END_TEST

/* ---- Hash ---- */

/* The processes that share a segment may be of different builds. */
START_TEST(the_hash_is_XXH3_and_stays_it)
{
    ck_assert_uint_eq(cf_hash("", 0, 0), UINT64_C(0x2d06800538d394c2));
    ck_assert_uint_eq(cf_hash("abc", 3, 0), UINT64_C(0x78af5f94892f3950));
}
END_TEST

/* pitfall 72 */
START_TEST(the_hash_depends_on_every_bit_of_key_and_seed)
{
    char key[40] = "a key of some forty bytes, more or less";
    uint64_t plain = cf_hash(key, 39, 1);
    for (unsigned bit = 0; bit < 39 * 8; bit++) {
        key[bit / 8] = (char)(key[bit / 8] ^ (1 << bit % 8));
        ck_assert_uint_ne(cf_hash(key, 39, 1), plain);
        key[bit / 8] = (char)(key[bit / 8] ^ (1 << bit % 8));
    }
    for (unsigned bit = 0; bit < 64; bit++)
        ck_assert_uint_ne(cf_hash(key, 39, 1 ^ UINT64_C(1) << bit), plain);
    ck_assert_uint_ne(cf_hash(key, 38, 1), plain);
}
END_TEST

/* ---- New processes ---- */

static uint64_t serial_in_child(bool raw)
{
    uint64_t *serial = shared(sizeof *serial);
    pid_t pid = raw ? (pid_t)syscall(SYS_clone, (long)SIGCHLD, NULL, NULL, NULL, NULL) : fork();
    if (pid == 0) {
        *serial = cf_process_serial();
        end_child();
    }
    waitpid(pid, NULL, 0);
    return *serial;
}

START_TEST(a_process_has_one_serial_and_its_children_others)
{
    uint64_t serial = cf_process_serial();
    ck_assert_uint_ne(serial, 0);
    ck_assert_uint_eq(cf_process_serial(), serial);
    uint64_t child = serial_in_child(false);
    ck_assert_uint_ne(child, 0);
    ck_assert_uint_ne(child, serial);
#ifndef CF_TSAN
    child = serial_in_child(true); /* without any handler being run */
    ck_assert_uint_ne(child, 0);
    ck_assert_uint_ne(child, serial);
#endif
    ck_assert_uint_eq(cf_process_serial(), serial);
}
END_TEST

START_TEST(a_grandchild_has_neither_its_parents_nor_its_grandparents)
{
    uint64_t *serials = shared(2 * sizeof *serials);
    uint64_t own = cf_process_serial();
    pid_t pid = fork();
    if (pid == 0) {
        serials[0] = cf_process_serial();
        pid_t grandchild = fork();
        if (grandchild == 0) {
            serials[1] = cf_process_serial();
            end_child();
        }
        waitpid(grandchild, NULL, 0);
        end_child();
    }
    waitpid(pid, NULL, 0);
    ck_assert_uint_ne(serials[0], own);
    ck_assert_uint_ne(serials[1], own);
    ck_assert_uint_ne(serials[1], serials[0]);
}
END_TEST

struct fences {
    pthread_barrier_t gate;
    _Atomic unsigned x, y;
    unsigned seen_x, seen_y, both_missed;
};

static int64_t store_then_look(unsigned i, void *context)
{
    struct fences *f = context;
    for (unsigned round = 0; round < rounds(20000); round++) {
        pthread_barrier_wait(&f->gate);
        if (i == 0) {
            cf_store_relaxed(&f->x, 1);
            cf_fence_light();
            f->seen_y = cf_load_relaxed(&f->y);
        } else {
            cf_store_relaxed(&f->y, 1);
            cf_fence_heavy();
            f->seen_x = cf_load_relaxed(&f->x);
        }
        pthread_barrier_wait(&f->gate);
        if (i == 0) {
            f->both_missed += f->seen_x == 0 && f->seen_y == 0;
            cf_store_relaxed(&f->x, 0);
            cf_store_relaxed(&f->y, 0);
        }
    }
    return 0;
}

/* pitfall 23 */
START_TEST(of_a_light_and_a_heavy_fence_one_sees_the_others_store)
{
    struct fences f = {0};
    pthread_barrier_init(&f.gate, NULL, 2);
    threads_together(2, store_then_look, &f, NULL);
    pthread_barrier_destroy(&f.gate);
    ck_assert_uint_eq(f.both_missed, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ground");
    TCase *t = group(s, "clocks", NULL, NULL);
    tcase_add_test(t, the_monotonic_clock_never_goes_back);
    tcase_add_test(t, the_coarse_clock_is_never_ahead);
    tcase_add_test(t, a_sleep_is_as_long_as_asked_or_longer);
    tcase_add_test(t, a_sleep_is_not_cancelled);
    t = group(s, "futexes", NULL, agents_end);
    tcase_add_test(t, a_futex_whose_word_differs_does_not_sleep);
    tcase_add_test(t, a_futex_sleeps_no_shorter_than_asked);
    tcase_add_test(t, a_futex_wakes_other_processes_as_many_as_asked_for);
    tcase_add_test(t, a_signal_ends_a_futex_sleep_as_no_wake);
    tcase_add_loop_test(t, without_futexes_it_sleeps_for_the_time_given, 0, 3);
    t = group(s, "identity", NULL, agents_end);
    tcase_add_test(t, the_boot_id_is_what_the_kernel_says);
    tcase_add_test(t, the_pid_namespace_is_its_inode);
    tcase_add_test(t, thread_and_command_are_the_kernels);
    tcase_add_loop_test(t, the_offset_of_a_time_namespace_is_told_or_not_known, 0, 3);
    tcase_add_test(t, random_bits_differ);
    t = group(s, "hash", NULL, NULL);
    tcase_add_test(t, the_hash_is_XXH3_and_stays_it);
    tcase_add_test(t, the_hash_depends_on_every_bit_of_key_and_seed);
    t = group(s, "new processes", NULL, NULL);
    tcase_add_test(t, a_process_has_one_serial_and_its_children_others);
    tcase_add_test(t, a_grandchild_has_neither_its_parents_nor_its_grandparents);
    tcase_add_test(t, of_a_light_and_a_heavy_fence_one_sees_the_others_store);
    return run_suite(s);
}
