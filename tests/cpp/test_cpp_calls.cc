/* <cachify/cachify.hpp>: functions under a lock, instances, keys and notes; and exceptions that
 * pass the macros and the wrapped functions of the C interface.  Run by tests/cpp/run. */
#include "trial.hpp"

#include <memory>

using std::chrono::seconds;
using trial::is_locked;
using trial::query;
using trial::segment;

namespace
{

struct thrown {
    int number;
};

struct world : segment {
    cachify::instance here{config};
    cachify::lock job{"job"};

    bool locked() const
    {
        return is_locked(here, "job");
    }
    void force() const
    {
        CHECK_EQUAL(cachify_release_key(here.get(), "job"), CACHIFY_OK);
    }
};

/* The global instance, for the time of a test. */
struct global {
    explicit global(const cachify_config_t &config)
    {
        CHECK_EQUAL(cachify_init(&config), CACHIFY_OK);
    }
    ~global()
    {
        (void)cachify_shutdown();
    }
    global(const global &) = delete;
    global &operator=(const global &) = delete;
};

} // namespace

/* ---- with ---- */

TEST(with_runs_under_the_lock_and_returns_the_result)
{
    world w;
    int calls = 0;
    CHECK_EQUAL(cachify::with(w.here, w.job,
                              [&] {
                                  calls++;
                                  return w.locked() ? 4711 : 0;
                              }),
                4711);
    CHECK(!w.locked());
    cachify::with(w.here, w.job, [&] {
        calls++;
        CHECK(w.locked());
    });
    CHECK(!w.locked());
    CHECK_EQUAL(calls, 2);
}

TEST(with_returns_references_and_what_can_only_be_moved)
{
    world w;
    int place = 3;
    int &same = cachify::with(w.here, w.job, [&]() -> int & { return place; });
    CHECK(&same == &place);
    std::unique_ptr<int> made =
        cachify::with(w.here, w.job, [] { return std::unique_ptr<int>(new int(5)); });
    CHECK(made && *made == 5);
    std::function<std::string()> named = [] { return std::string("text"); };
    CHECK_EQUAL(cachify::with(w.here, w.job, named), std::string("text"));
}

TEST(with_lets_an_exception_through_and_gives_back)
{
    world w;
    int number = 0;
    try {
        cachify::with(w.here, w.job, [&]() -> int { throw thrown{w.locked() ? 7 : 0}; });
    } catch (const thrown &t) {
        number = t.number;
    }
    CHECK_EQUAL(number, 7);
    CHECK(!w.locked());
}

TEST(with_does_not_run_without_the_lock)
{
    world w;
    bool ran = false;
    cachify::lease held = w.job.acquire(w.here);
    CHECK_THROWS(cachify::with(w.here, w.job,
                               [&] {
                                   ran = true;
                                   return 0;
                               }),
                 CACHIFY_LOCKED, "already locked");
    CHECK(!ran && held.held());
}

TEST(with_throws_LOST_if_the_lock_was_not_ours_to_the_end)
{
    world w;
    bool ran = false;
    cachify::lease next;
    CHECK_THROWS(cachify::with(w.here, w.job,
                               [&] {
                                   w.force();
                                   next = w.job.acquire(w.here);
                                   ran = true;
                                   return 5;
                               }),
                 CACHIFY_LOST, "");
    CHECK(ran && next.held());
    CHECK(next.release());
    ran = false;
    bool lost = false;
    try {
        cachify::with(w.here, w.job, [&] {
            w.force();
            ran = true;
        });
    } catch (const cachify::error &e) {
        lost = e.status() == CACHIFY_LOST;
    }
    CHECK(ran && lost);
}

/* ---- Instances ---- */

TEST(without_an_instance_it_is_the_global_one)
{
    world w;
    CHECK_THROWS(w.job.acquire(), CACHIFY_NOT_INITIALIZED, "cachify_init");
    CHECK_THROWS(w.job.try_acquire(), CACHIFY_NOT_INITIALIZED, "cachify_init");
    CHECK_THROWS(cachify::with(w.job, [] { return 1; }), CACHIFY_NOT_INITIALIZED, "cachify_init");
    global g(w.config);
    {
        cachify::lease mine = w.job.acquire();
        CHECK(mine.held() && w.locked());
        CHECK(!w.job.try_acquire());
    }
    CHECK(w.job.try_acquire());
    CHECK(cachify::with(w.job, [&] { return w.locked(); }));
    CHECK(!w.locked());
}

TEST(an_empty_instance_is_INVALID_and_not_the_global_one)
{
    world w;
    global g(w.config);
    cachify::instance moved = std::move(w.here);
    CHECK(moved && !w.here && w.here.get() == nullptr);
    CHECK_THROWS(w.job.acquire(w.here), CACHIFY_INVALID, "empty");
    CHECK_THROWS(w.job.try_acquire(w.here), CACHIFY_INVALID, "empty");
    CHECK_THROWS(cachify::with(w.here, w.job, [] { return 1; }), CACHIFY_INVALID, "empty");
    w.here = std::move(moved);
    CHECK(w.job.try_acquire(w.here));
    w.here.close();
    w.here.close();
    CHECK_THROWS(w.job.acquire(w.here), CACHIFY_INVALID, "empty");
}

TEST(an_instance_is_closed_at_its_end_by_close_and_where_another_is_moved_onto_it)
{
    world w;
    bool locked;
    cachify_t *first, *second, *third; /* closed handles are INVALID, not a crash */
    {
        cachify::instance brief(w.config);
        first = brief.get();
        brief = cachify::instance(w.config);
        second = brief.get();
        cachify::instance last(w.config);
        third = last.get();
        CHECK_EQUAL(cachify_is_locked(first, "job", &locked), CACHIFY_INVALID);
        CHECK_EQUAL(cachify_is_locked(second, "job", &locked), CACHIFY_OK);
        brief.close();
        CHECK_EQUAL(cachify_is_locked(second, "job", &locked), CACHIFY_INVALID);
        CHECK_EQUAL(cachify_is_locked(third, "job", &locked), CACHIFY_OK);
    }
    // cppcheck-suppress invalidLifetime ; a handle that was closed is an answer, not a crash
    CHECK_EQUAL(cachify_is_locked(third, "job", &locked), CACHIFY_INVALID);
}

TEST(leases_outlive_their_instance)
{
    world w;
    cachify::instance brief(w.config);
    cachify::lease mine = w.job.acquire(brief);
    brief.close();
    CHECK(mine.held() && w.locked());
    mine.extend(seconds(60));
    CHECK(mine.release() && !w.locked());
}

TEST(an_instance_that_cannot_be_opened_throws)
{
    world w;
    cachify_config_t config = w.config;
    config.path = "/dev/null/nothing";
    CHECK_THROWS(cachify::instance(config), CACHIFY_SYSTEM, "/dev/null/nothing");
    config.name = "both";
    CHECK_THROWS(cachify::instance(config), CACHIFY_INVALID, "");
}

TEST(two_segments_know_nothing_of_each_other)
{
    world one, two;
    cachify::lease mine = one.job.acquire(one.here);
    cachify::lease theirs = one.job.acquire(two.here);
    two.force();
    CHECK(mine.held() && !theirs.held());
}

/* ---- Keys and notes ---- */

TEST(keys_are_checked_by_the_library)
{
    world w;
    CHECK_THROWS(cachify::lock("").acquire(w.here), CACHIFY_INVALID, "key");
    CHECK_THROWS(cachify::lock(std::string("a\0b", 3)).acquire(w.here), CACHIFY_INVALID, "NUL");
    CHECK_THROWS(cachify::lock(std::string(65, 'k')).acquire(w.here), CACHIFY_KEY_TOO_LONG, "64");
    const std::string longest(64, 'k');
    cachify::lease mine = cachify::lock(longest).acquire(w.here);
    CHECK(is_locked(w.here, longest.c_str()));
}

TEST(a_note_is_seen_by_who_asks)
{
    world w;
    const std::string binary("invoice\0run", 11);
    cachify::lease mine = cachify::lock("job").note(binary).acquire(w.here);
    cachify_info_t info = query(w.here, "job");
    CHECK_EQUAL(info.value_len, uint32_t{11});
    CHECK_EQUAL(std::string(info.value, 11), binary);
    CHECK_EQUAL(info.token, mine.token());
    CHECK_EQUAL(info.pid, static_cast<int64_t>(getpid()));
    cachify::lease plain = cachify::lock("plain").acquire(w.here);
    CHECK_EQUAL(query(w.here, "plain").value_len, uint32_t{0});
    CHECK_THROWS(cachify::lock("long").note(std::string(65, 'n')).acquire(w.here), CACHIFY_INVALID,
                 "65");
}

TEST(options_may_be_copied_and_used_again)
{
    world w;
    const cachify::lock first = cachify::lock("job").note("one").expire(seconds(60));
    cachify::lock second = first;
    second.note("two");
    CHECK(first.try_acquire(w.here));
    cachify::lease mine = first.acquire(w.here);
    CHECK_EQUAL(std::string(query(w.here, "job").value), std::string("one"));
    CHECK(mine.release());
    mine = second.acquire(w.here);
    CHECK_EQUAL(std::string(query(w.here, "job").value), std::string("two"));
    CHECK(mine.remaining() > seconds(50));
}

/* ---- Exceptions through C ---- */

namespace
{

struct wrapping {
    const world *w;
    bool throws, early, nested, locked;
    cachify_wrapped_t *wrapped;
};

void function(const cachify_call_t *call)
{
    wrapping &state = *static_cast<wrapping *>(call->context);
    state.locked = is_locked(state.w->here, "run-7-lock");
    if (state.nested) {
        const cachify_arg_t inner = cachify_int(8);
        state.nested = false;
        (void)cachify_wrap_call(state.wrapped, &inner, 1, nullptr);
    }
    if (state.early)
        CHECK_EQUAL(cachify_release(call->lease), CACHIFY_OK);
    if (state.throws)
        throw thrown{static_cast<int>(call->args[0].as.i)};
}

/* What the function threw: 0 if nothing. */
int call_wrapped(const world &w, bool early, bool nested)
{
    const char *const names[] = {"arg"};
    wrapping state = {&w, true, early, nested, false, nullptr};
    cachify_lock_t lock = {};
    lock.key = "run-{arg}";
    cachify_wrap_options_t options = {};
    options.function = function;
    options.context = &state;
    options.parameters = names;
    options.parameter_count = 1;
    options.lock = &lock;
    CHECK_EQUAL(cachify_wrap(w.here.get(), &options, &state.wrapped), CACHIFY_OK);
    const std::unique_ptr<cachify_wrapped_t, cachify_status_t (*)(cachify_wrapped_t *)> wrapped(
        state.wrapped, cachify_wrap_free);
    const cachify_arg_t arg = cachify_int(7);
    int number = 0;
    try {
        (void)cachify_wrap_call(wrapped.get(), &arg, 1, nullptr);
    } catch (const thrown &t) {
        number = t.number;
    }
    CHECK(state.locked && !is_locked(w.here, "run-7-lock"));
    CHECK(!is_locked(w.here, "run-8-lock"));
    state.throws = false;
    CHECK_EQUAL(cachify_wrap_call(wrapped.get(), &arg, 1, nullptr), CACHIFY_OK);
    return number;
}

} // namespace

TEST(an_exception_passes_a_wrapped_call_and_gives_back)
{
    world w;
    CHECK_EQUAL(call_wrapped(w, false, false), 7);
}

TEST(an_exception_passes_calls_within_calls)
{
    world w;
    CHECK_EQUAL(call_wrapped(w, false, true), 8);
}

TEST(an_exception_passes_a_call_that_had_given_back_itself)
{
    world w;
    CHECK_EQUAL(call_wrapped(w, true, false), 7);
}

TEST(an_exception_leaves_a_block_of_the_C_interface_and_gives_back)
{
    world w;
    const cachify_lock_t what = w.job.options();
    cachify_status_t status = CACHIFY_PENDING;
    int number = 0;
    try {
        CACHIFY_WITH(held, w.here.get(), &what, &status)
        {
            CHECK(w.locked() && cachify_lease_held(&held.lease));
            throw thrown{1};
        }
    } catch (const thrown &t) {
        number = t.number;
    }
    CHECK_EQUAL(number, 1);
    CHECK_EQUAL(status, CACHIFY_OK);
    CHECK(!w.locked());
    try {
        CACHIFY_SCOPED(held, w.here.get(), &what);
        CHECK(held.status == CACHIFY_OK && w.locked());
        throw thrown{2};
    } catch (const thrown &t) {
        number = t.number;
    }
    CHECK_EQUAL(number, 2);
    CHECK(!w.locked());
}

int main()
{
    return trial::run();
}
