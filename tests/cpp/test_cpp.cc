/* <cachify/cachify.hpp>, and exceptions that pass the C interface.  Run by tests/cpp/run. */
#include "trial.hpp"

#include <cmath>
#include <limits>
#include <type_traits>

#include <pthread.h>

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;
using trial::child;
using trial::is_locked;
using trial::milliseconds;
using trial::query;
using trial::segment;
using trial::signpost;

static_assert(!std::is_copy_constructible<cachify::lease>::value &&
                  !std::is_copy_assignable<cachify::lease>::value &&
                  !std::is_copy_constructible<cachify::instance>::value &&
                  !std::is_copy_assignable<cachify::instance>::value,
              "move-only");
static_assert(std::is_nothrow_move_constructible<cachify::lease>::value &&
                  std::is_nothrow_move_assignable<cachify::lease>::value &&
                  std::is_nothrow_move_constructible<cachify::instance>::value &&
                  std::is_nothrow_move_assignable<cachify::instance>::value &&
                  std::is_nothrow_destructible<cachify::lease>::value &&
                  std::is_nothrow_destructible<cachify::instance>::value,
              "moving and destroying never throws");
static_assert(!std::is_convertible<cachify::lease, bool>::value &&
                  !std::is_convertible<cachify::instance, bool>::value,
              "bool only when asked for");
static_assert(std::is_copy_constructible<cachify::lock>::value, "options are values");

namespace
{

struct world : segment {
    cachify::instance here{config};
    cachify::instance other{config}; /* somebody else, in the same process */
    cachify::lock job{"job"};

    bool locked() const
    {
        return is_locked(other, "job");
    }
    void force() const
    {
        CHECK_EQUAL(cachify_release_key(other.get(), "job"), CACHIFY_OK);
    }
};

struct thrown {
};

int return_early(const world &w, bool early)
{
    cachify::lease mine = w.job.acquire(w.here);
    if (early)
        return w.locked() ? 1 : 0;
    return 2;
}

} // namespace

/* ---- Its life ---- */

TEST(a_lease_is_held_to_the_end_of_the_block)
{
    world w;
    {
        cachify::lease mine = w.job.acquire(w.here);
        CHECK(mine && mine.held() && mine.token() != 0 && w.locked());
        CHECK(mine.remaining() > seconds(29) && mine.remaining() <= seconds(30));
        CHECK_EQUAL(mine.origin().how, static_cast<uint32_t>(CACHIFY_FRESH));
    }
    CHECK(!w.locked());
}

TEST(an_exception_gives_it_back)
{
    world w;
    bool caught = false;
    try {
        cachify::lease mine = w.job.acquire(w.here);
        CHECK(w.locked());
        throw thrown();
    } catch (const thrown &) {
        caught = true;
        CHECK(!w.locked());
    }
    CHECK(caught);
}

TEST(an_early_return_gives_it_back_after_the_value_was_made)
{
    world w;
    CHECK_EQUAL(return_early(w, true), 1);
    CHECK(!w.locked());
}

TEST(a_move_leaves_an_empty_one_and_the_c_lease_at_its_place)
{
    world w;
    cachify::lease first = w.job.acquire(w.here);
    cachify_lease_t *at = first.get();
    const std::uint64_t token = first.token();
    {
        cachify::lease second = std::move(first);
        CHECK(second.get() == at && second.token() == token && second.held());
        // cppcheck-suppress accessMoved ; what is left of one is what is tested
        CHECK(!first && !first.held() && first.token() == 0 && first.get() == nullptr);
        CHECK(first.remaining() == milliseconds(0));
        first = std::move(second);
    }
    CHECK(first.held() && first.token() == token && w.locked());
}

TEST(a_move_onto_a_held_one_gives_that_back)
{
    world w;
    cachify::lease mine = w.job.acquire(w.here);
    mine = cachify::lock("other").acquire(w.here);
    CHECK(!w.locked() && is_locked(w.here, "other"));
    mine = cachify::lease();
    CHECK(!is_locked(w.here, "other"));
}

TEST(a_move_onto_itself_changes_nothing)
{
    world w;
    cachify::lease mine = w.job.acquire(w.here);
    cachify::lease &same = mine;
    const std::uint64_t token = mine.token();
    mine = std::move(same);
    CHECK(mine.held() && mine.token() == token && w.locked());
    cachify::instance &here = w.here;
    w.here = std::move(here);
    CHECK(w.here && is_locked(w.here, "job"));
}

TEST(another_thread_may_give_it_back)
{
    world w;
    cachify::lease mine = w.job.acquire(w.here);
    std::thread([&] { cachify::lease taken = std::move(mine); }).join();
    CHECK(!mine && !w.locked());
}

#ifdef __GLIBC__
static void *hold_until_cancelled(void *given)
{
    const world &w = *static_cast<world *>(given);
    cachify::lease mine = w.job.acquire(w.here);
    for (;;)
        pause();
}

TEST(a_thread_that_is_cancelled_gives_it_back)
{
    world w;
    pthread_t thread;
    CHECK_EQUAL(pthread_create(&thread, nullptr, hold_until_cancelled, &w), 0);
    EVENTUALLY(w.locked());
    CHECK_EQUAL(pthread_cancel(thread), 0);
    CHECK_EQUAL(pthread_join(thread, nullptr), 0);
    CHECK(!w.locked());
}
#endif

/* ---- Busy ---- */

TEST(a_busy_lock_throws_or_is_empty)
{
    world w;
    cachify::lease mine = w.job.acquire(w.here);
    CHECK_THROWS(w.job.acquire(w.other), CACHIFY_LOCKED, "job is already locked!");
    cachify::lease none = w.job.try_acquire(w.other);
    CHECK(!none && !none.held() && none.token() == 0 && !none.release());
    CHECK(std::string(cachify_last_error()).find("already locked") != std::string::npos);
    CHECK(mine.release());
    CHECK(w.job.try_acquire(w.other));
}

TEST(waiting_ends_with_its_timeout)
{
    world w;
    cachify::lease mine = w.job.acquire(w.here);
    const cachify::lock patient = cachify::lock("job").wait(milliseconds(50));
    const auto before = trial::clock::now();
    CHECK_THROWS(patient.acquire(w.other), CACHIFY_TIMEOUT, "job");
    CHECK(trial::clock::now() - before >= milliseconds(50));
    CHECK(!patient.try_acquire(w.other));
    CHECK(trial::clock::now() - before >= milliseconds(100));
    mine.extend(cachify::never);
    CHECK_THROWS(cachify::lock("job").wait().try_acquire(w.here), CACHIFY_DEADLOCK, "job");
}

TEST(a_wait_of_zero_or_less_is_none)
{
    world w;
    cachify::lease mine = w.job.acquire(w.here);
    CHECK_THROWS(w.job.wait(seconds(0)).acquire(w.other), CACHIFY_LOCKED, "job");
    CHECK_THROWS(w.job.wait(hours(-1)).acquire(w.other), CACHIFY_LOCKED, "job");
    CHECK_THROWS(w.job.wait(hours::min()).acquire(w.other), CACHIFY_LOCKED, "job");
    CHECK_THROWS(w.job.wait(nanoseconds(1)).acquire(w.other), CACHIFY_TIMEOUT, "job");
}

TEST(durations_are_rounded_up_and_have_no_overflow)
{
    using third = std::chrono::duration<std::int64_t, std::ratio<1, 3>>;
    using small = std::chrono::duration<signed char>;
    using real = std::chrono::duration<double>;
    using wide = std::chrono::duration<std::uint64_t, std::nano>;
    const std::int64_t most = CACHIFY_MAX_MS;
    cachify::lock l("job");
    CHECK_EQUAL(l.options().timeout_ms, std::int64_t{0});
    CHECK_EQUAL(l.options().exp_ms, std::int64_t{0});
    CHECK_EQUAL(l.wait(nanoseconds(1)).options().timeout_ms, std::int64_t{1});
    CHECK_EQUAL(l.wait(nanoseconds(999999)).options().timeout_ms, std::int64_t{1});
    CHECK_EQUAL(l.wait(microseconds(2000)).options().timeout_ms, std::int64_t{2});
    CHECK_EQUAL(l.wait(microseconds(2001)).options().timeout_ms, std::int64_t{3});
    CHECK_EQUAL(l.wait(third(1)).options().timeout_ms, std::int64_t{334});
    CHECK_EQUAL(l.wait(small(127)).options().timeout_ms, std::int64_t{127000});
    CHECK_EQUAL(l.wait(real(0.0015)).options().timeout_ms, std::int64_t{2});
    CHECK_EQUAL(l.wait(hours(24)).options().timeout_ms, std::int64_t{86400000});
    CHECK_EQUAL(l.wait(milliseconds(most - 1)).options().timeout_ms, most - 1);
    CHECK_EQUAL(l.wait(nanoseconds(INT64_MAX - 1000000)).options().timeout_ms, CACHIFY_NEVER);
    CHECK_EQUAL(l.wait(milliseconds(most + 1)).options().timeout_ms, CACHIFY_NEVER);
    CHECK_EQUAL(l.wait((wide::max)()).options().timeout_ms, CACHIFY_NEVER);
    CHECK_EQUAL(l.wait((hours::max)()).options().timeout_ms, CACHIFY_NEVER);
    CHECK_EQUAL(l.wait(real(INFINITY)).options().timeout_ms, CACHIFY_NEVER);
    CHECK_EQUAL(l.wait(cachify::forever).options().timeout_ms, CACHIFY_NEVER);
    CHECK(l.wait().options().wait && !l.wait(real(NAN)).options().wait);
    CHECK(!l.wait(real(-INFINITY)).options().wait);
    CHECK_EQUAL(l.expire(cachify::never).options().exp_ms, CACHIFY_NEVER);
    CHECK_EQUAL(l.expire(microseconds(1)).options().exp_ms, std::int64_t{1});
    CHECK_THROWS(l.expire(seconds(0)), CACHIFY_INVALID, "zero or less");
    CHECK_THROWS(l.expire((hours::min)()), CACHIFY_INVALID, "zero or less");
    CHECK_THROWS(l.expire(real(NAN)), CACHIFY_INVALID, "zero or less");
    CHECK_EQUAL(l.options().exp_ms, std::int64_t{1});
}

/* ---- Its end ---- */

TEST(release_says_whether_it_was_still_mine)
{
    world w;
    cachify::lease mine = w.job.acquire(w.here);
    CHECK(mine.release() && !mine && !w.locked());
    CHECK(!mine.release());
    mine = w.job.acquire(w.here);
    w.force();
    CHECK(mine && !mine.held());
    cachify::lease next = w.job.acquire(w.other);
    CHECK(!mine.release() && !mine);
    CHECK(next.held());
}

TEST(an_expired_lease_is_anothers_and_the_destructor_hurts_nobody)
{
    world w;
    cachify::lease next;
    {
        cachify::lease mine = cachify::lock("job").expire(milliseconds(20)).acquire(w.here);
        const std::uint64_t token = mine.token();
        EVENTUALLY(!mine.held());
        CHECK(mine && mine.remaining() == milliseconds(0));
        next = w.job.acquire(w.other);
        CHECK_EQUAL(next.origin().how, static_cast<uint32_t>(CACHIFY_EXPIRED));
        CHECK_EQUAL(next.origin().previous_token, token);
        CHECK(next.token() > token);
        CHECK_THROWS(mine.extend(seconds(1)), CACHIFY_LOST, "");
    }
    CHECK(next.held());
}

TEST(extend_counts_from_now)
{
    world w;
    cachify::lease mine = cachify::lock("job").expire(seconds(100)).acquire(w.here);
    mine.extend(seconds(60));
    CHECK(mine.remaining() > seconds(50) && mine.remaining() <= seconds(60));
    mine.extend();
    CHECK(mine.remaining() > seconds(20) && mine.remaining() <= seconds(30));
    mine.extend(cachify::never);
    CHECK(mine.remaining() == cachify::never);
    CHECK_THROWS(mine.extend(milliseconds(0)), CACHIFY_INVALID, "zero or less");
    CHECK(mine.remaining() == cachify::never);
    CHECK(mine.release());
    CHECK_THROWS(mine.extend(seconds(1)), CACHIFY_LOST, "empty");
    CHECK_THROWS(cachify::lease().extend(), CACHIFY_LOST, "empty");
}

/* ---- Processes ---- */

TEST(two_processes_exclude_and_wake_each_other)
{
    world w;
    signpost held, go;
    child holder([&] {
        cachify::instance mine(w.config);
        cachify::lease lease = w.job.acquire(mine);
        held.give();
        go.await();
        return lease.held() ? 0 : 1;
    });
    held.await();
    CHECK(!w.job.try_acquire(w.here));
    CHECK_THROWS(w.job.acquire(w.here), CACHIFY_LOCKED, "already locked");
    go.give();
    cachify::lease lease = cachify::lock("job").wait(seconds(20)).acquire(w.here);
    CHECK_EQUAL(holder.wait(), 0);

    child waiter([&] {
        cachify::instance mine(w.config);
        const auto before = trial::clock::now();
        cachify::lease got = cachify::lock("job").wait().acquire(mine);
        const std::int64_t waited =
            std::chrono::duration_cast<milliseconds>(trial::clock::now() - before).count();
        return got.held() && waited < 20000 ? 0 : 1;
    });
    EVENTUALLY(query(w.here, "job").waiters == 1);
    const auto woken = trial::clock::now();
    lease = cachify::lease();
    CHECK_EQUAL(waiter.wait(), 0);
    CHECK(trial::clock::now() - woken < milliseconds(2500)); /* half a poll interval */
    CHECK(!w.locked());
}

TEST(a_child_has_no_part_in_what_it_inherits)
{
    world w;
    cachify::lease mine = w.job.acquire(w.here);
    child heir([&] {
        CHECK(!mine.held());
        CHECK(!w.job.try_acquire(w.here));
        CHECK_THROWS(mine.extend(seconds(1)), CACHIFY_INVALID, "fork");
        CHECK_THROWS(mine.release(), CACHIFY_INVALID, "fork");
        return 0;
    });
    CHECK_EQUAL(heir.wait(), 0);
    child destroyer([&] {
        mine = cachify::lease();
        return w.locked() ? 0 : 1;
    });
    CHECK_EQUAL(destroyer.wait(), 0);
    CHECK(mine.held() && mine.release());
}

TEST(the_lock_of_a_killed_process_is_had_with_its_story)
{
    world w;
    signpost held;
    child holder([&] {
        cachify::instance mine(w.config);
        cachify::lease lease = cachify::lock("job").expire(cachify::never).acquire(mine);
        held.give();
        for (;;)
            pause();
        return 1;
    });
    held.await();
    holder.kill();
    cachify::lease next = cachify::lock("job").wait(seconds(20)).acquire(w.here);
    CHECK_EQUAL(next.origin().how, static_cast<uint32_t>(CACHIFY_OWNER_DIED));
    CHECK(next.origin().previous_token != 0 && next.origin().previous_pid > 0);
}

int main()
{
    return trial::run();
}
