/* Looking at a segment that is a copy, that changes all the time, or that is full of nonsense:
 * nothing in it can hurt who looks. */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"
#include "looking.h"
#include "shm/segment.h"

static cachify_lease_t lease, second;

/* ---- Copies, and other boots ---- */

START_TEST(a_copy_can_be_listed_and_nobody_lives_in_it)
{
    char path[PATH_ROOM];
    assert_ok(take("mine", CACHIFY_NEVER, &lease));
    assert_ok(take("over", 1, &second));
    EVENTUALLY(!is_locked("over"), LONG_MS);
    copy_segment(path);
    view_instead(path);
    ck_assert_uint_eq(list(), 2);
    ck_assert_int_eq(listed("mine")->state, CACHIFY_STATE_OWNER_DEAD);
    ck_assert_int_eq(listed("mine")->pid, getpid());
    ck_assert_int_eq(listed("over")->state, CACHIFY_STATE_EXPIRED);
    ck_assert_uint_eq(count().processes, 0);
}
END_TEST

START_TEST(of_another_boot_no_times_are_told)
{
    char path[PATH_ROOM];
    struct cf_header h;
    cachify_shm_header_t header = {0};
    assert_ok(take("mine", CACHIFY_NEVER, &lease));
    copy_segment(path);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    ck_assert_int_eq(pread(fd, &h, sizeof h, 0), sizeof h);
    h.boot_id[3] ^= 1;
    h.checksum = cf_header_checksum(&h);
    ck_assert_int_eq(pwrite(fd, &h, sizeof h, 0), sizeof h);
    close(fd);
    view_instead(path);
    ck_assert_uint_eq(list(), 1);
    ck_assert_int_eq(seen_at(0)->info.state, CACHIFY_STATE_OWNER_DEAD);
    ck_assert_int_eq(seen_at(0)->info.held_ms, 0);
    ck_assert_int_eq(seen_at(0)->info.remaining_ms, 0);
    assert_ok(cachify_shm_header(view, &header));
    ck_assert_uint_eq(header.other_boot, 1);
    ck_assert_int_eq(header.age_ms, 0);
}
END_TEST

/* ---- Under churn ---- */

#define KEYS 8u

static _Atomic uint32_t *looked; /* shared: nobody looks any more */

/* Locks whose key and note are one digit again and again, and whose expiry is that of the digit:
 * what is made of two of them shows.  Until it was looked at for long enough. */
static cachify_status_t act_churn(struct agent_self *self, const struct agent_order *order,
                                  struct agent_answer *answer)
{
    (void)answer;
    for (unsigned i = 0; cf_load_relaxed(looked) == 0; i++) {
        char key[61] = "";
        unsigned digit = (i * 7 + order->lease) % KEYS;
        memset(key, (char)('0' + digit), 60);
        cachify_lock_t lock = {
            .key = key, .value = key, .value_len = 60, .exp_ms = 60000 * (digit + INT64_C(1))};
        if (cachify_acquire(self->cachify, &lock, &lease) != CACHIFY_OK)
            continue;
        if (i % 4 == 0)
            cachify_extend(&lease, lock.exp_ms);
        cachify_release(&lease);
    }
    return CACHIFY_OK;
}

static unsigned whole; /* leases listed */

static int be_whole(void *context, const cachify_shm_lease_t *listed)
{
    const cachify_info_t *info = &listed->info;
    int64_t expiry = 60000 * (listed->key[0] - '0' + INT64_C(1));
    (void)context;
    ck_assert_uint_eq(listed->key_len, 60);
    ck_assert_uint_eq(info->value_len, 60);
    ck_assert_uint_eq(strspn(info->value, (char[]){listed->key[0], '\0'}), 60);
    ck_assert_mem_eq(listed->key, info->value, 60);
    ck_assert_int_le(info->remaining_ms, expiry);
    ck_assert_int_gt(info->remaining_ms, expiry - LONG_MS);
    ck_assert_int_eq(info->state, CACHIFY_STATE_HELD);
    ck_assert_int_eq(info->thread, info->pid);
    whole++;
    return 0;
}

START_TEST(under_churn_each_lease_is_whole)
{
    struct agent *agents[3];
    /* Few groups, so that most of the time goes into looking at leases. */
    cachify_config_t config = here.config;
    config.max_locks = 8;
    reopen_here(config);
    view_instead(here.path);
    looked = shared(sizeof *looked);
    for (unsigned i = 0; i < 3; i++) {
        agents[i] = agent_start();
        agent_tell(agents[i], &(struct agent_order){.act = act_churn, .lease = i});
    }
    whole = 0;
    for (int64_t start = now_ms(), ms = 0; ms < rounds(600) || (whole == 0 && !under_valgrind());
         ms = now_ms() - start) {
        assert_ok(cachify_shm_leases(view, be_whole, NULL, NULL));
        ck_assert_int_lt(ms, LONG_MS);
    }
    cf_store_relaxed(looked, 1);
    for (unsigned i = 0; i < 3; i++)
        assert_ok(agent_finish(agents[i]).status);
    ck_assert_uint_eq(list(), 0);
}
END_TEST

/* ---- Hostile contents ---- */

static int be_in_bounds(void *context, const cachify_shm_lease_t *listed)
{
    (void)context;
    volatile char last = listed->key[listed->key_len - 1];
    (void)last;
    ck_assert_uint_ge(listed->key_len, 1);
    ck_assert_uint_le(listed->key_len, 64);
    ck_assert_uint_le(listed->info.value_len, 64);
    ck_assert_uint_ge(listed->info.state, CACHIFY_STATE_HELD);
    ck_assert_uint_le(listed->info.state, CACHIFY_STATE_OWNER_DEAD);
    ck_assert_int_ge(listed->info.held_ms, 0);
    ck_assert_int_ge(listed->info.remaining_ms, 0);
    ck_assert_uint_lt(strnlen(listed->info.command, 16), 16);
    return 0;
}

static void look_at_all(void)
{
    assert_ok(cachify_shm_leases(view, be_in_bounds, NULL, NULL));
    count();
}

/* One word of a copy becomes another: one bit of it, all of it, or all ones or zeros. */
static void spoil(uint64_t *words, uint64_t count, uint64_t *state)
{
    uint64_t *word = &words[chance(state) % count];
    uint64_t values[] = {*word ^ UINT64_C(1) << chance(state) % 64, chance(state), 0, UINT64_MAX};
    *word = values[chance(state) % 4];
}

static uint8_t *writable_copy(char path[PATH_ROOM])
{
    copy_segment(path);
    view_instead(path);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    uint8_t *base = mmap(NULL, here.m->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ck_assert_ptr_ne(base, MAP_FAILED);
    close(fd);
    return base;
}

START_TEST(random_words_hurt_nobody)
{
    char path[PATH_ROOM];
    cachify_lease_t leases[30];
    uint64_t state = seed();
    for (unsigned i = 0; i < 30; i++)
        assert_ok(take(numbered("job", i), 0, &leases[i]));
    uint8_t *base = writable_copy(path);
    uint64_t all = (here.m->size - CF_PAGE) / 8;
    uint64_t records = (uint64_t)(here.m->record_at - here.m->base);
    for (unsigned i = rounds(2000); i > 0; i--) {
        /* Few at a time, and most where words and owners lie. */
        spoil((uint64_t *)(void *)(base + CF_PAGE), all, &state);
        spoil((uint64_t *)(void *)(base + CF_PAGE), (records - CF_PAGE) / 8, &state);
        spoil((uint64_t *)(void *)(base + records), 30 * here.m->record_size / 8, &state);
        look_at_all();
    }
    munmap(base, here.m->size);
}
END_TEST

START_TEST(noise_hurts_nobody)
{
    char path[PATH_ROOM];
    uint64_t state = seed();
    uint8_t *base = writable_copy(path);
    for (unsigned i = rounds(20); i > 0; i--) {
        for (uint64_t at = 0; at < here.m->size; at += 8) { /* the header, too: it was read */
            uint64_t word = chance(&state);
            memcpy(base + at, &word, sizeof word);
        }
        look_at_all();
    }
    munmap(base, here.m->size);
}
END_TEST

/* ---- Bad input ---- */

START_TEST(bad_arguments_are_refused)
{
    cachify_shm_header_t header = {.size = 4};
    cachify_shm_counts_t counts = {.size = 8, .held = 77};
    assert_status(cachify_shm_open(NULL, here.path, NULL), CACHIFY_INVALID);
    assert_status(cachify_shm_leases(NULL, keep, NULL, NULL), CACHIFY_INVALID);
    assert_status(cachify_shm_leases(view, NULL, NULL, NULL), CACHIFY_INVALID);
    assert_status(cachify_shm_header(NULL, &header), CACHIFY_INVALID);
    assert_status(cachify_shm_header(view, NULL), CACHIFY_INVALID);
    assert_status(cachify_shm_header(view, &header), CACHIFY_INVALID);
    assert_says("has size 4");
    assert_status(cachify_shm_count(view, NULL), CACHIFY_INVALID);
    assert_status(cachify_shm_count(view, &counts), CACHIFY_INVALID);
    ck_assert_uint_eq(counts.held, 77);
    cachify_shm_close(NULL);
}
END_TEST

START_TEST(what_is_no_segment_is_refused)
{
    char path[PATH_ROOM], name[PATH_ROOM];
    cachify_shm_view_t *none = NULL;
    new_path(path);
    snprintf(name, sizeof name, "%s", path + strlen("/dev/shm/"));
    assert_status(cachify_shm_open(NULL, path, &none), CACHIFY_SYSTEM);
    assert_says(path);
    assert_status(cachify_shm_open(name, NULL, &none), CACHIFY_SYSTEM);
    assert_says(path);
    assert_status(cachify_shm_open(name, path, &none), CACHIFY_INVALID);
    assert_status(cachify_shm_open("a/b", NULL, &none), CACHIFY_INVALID);
    ck_assert_int_eq(access(path, F_OK), -1);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    assert_status(cachify_shm_open(NULL, path, &none), CACHIFY_INVALID);
    ck_assert_int_eq(rmdir(path), 0);
    ck_assert_int_eq(symlink(here.path, path), 0);
    assert_status(cachify_shm_open(NULL, path, &none), CACHIFY_INVALID);
    ck_assert_int_eq(unlink(path), 0);
    copy_segment(path);
    ck_assert_int_eq(truncate(path, 5000), 0);
    assert_status(cachify_shm_open(NULL, path, &none), CACHIFY_CORRUPT);
    ck_assert_ptr_null(none);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("inspect, hard");
    TCase *t = group(s, "copies", setup_view, teardown_view);
    tcase_add_test(t, a_copy_can_be_listed_and_nobody_lives_in_it);
    tcase_add_test(t, of_another_boot_no_times_are_told);
    t = group(s, "hard", setup_view, teardown_view);
    tcase_add_test(t, under_churn_each_lease_is_whole);
    tcase_add_test(t, random_words_hurt_nobody);
    tcase_add_test(t, noise_hurts_nobody);
    t = group(s, "bad input", setup_view, teardown_view);
    tcase_add_test(t, bad_arguments_are_refused);
    tcase_add_test(t, what_is_no_segment_is_refused);
    return run_suite(s);
}
