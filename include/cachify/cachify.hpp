/* cachify for C++11 and later: locks that are given back by destructors.  Header only; link
 * with libcachify.  <cachify/cachify.h> says what a lease is, and holds for all that is here.
 *
 *     cachify::instance here;                                // the user's own segment
 *     const auto order = cachify::lock("order-4711")
 *                            .wait(std::chrono::seconds(10))
 *                            .expire(std::chrono::minutes(1))
 *                            .note("invoice run");
 *     {
 *         cachify::lease mine = order.acquire(here);         // throws cachify::error
 *         ship(4711, mine.token());
 *     }                                                      // given back
 *     if (auto mine = order.try_acquire(here))               // empty if somebody holds it
 *         ship(4711, mine.token());
 *     int shipped = cachify::with(here, order, [] { return ship_all(); });
 *
 * Where an instance can be left out, it is the global one (cachify_init).
 *
 * Durations of any kind are rounded up to milliseconds.  A hundred years or more, as in
 * std::chrono::hours::max(), are without end.
 *
 * Threads and fork as in C.  An object is not to be moved or destroyed while another thread uses
 * it.  A child made by fork may destroy what it has inherited: its parent keeps the lock.
 */
#ifndef CACHIFY_CACHIFY_HPP
#define CACHIFY_CACHIFY_HPP

#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include <cachify/cachify.h>

namespace cachify
{

/* No limit to waiting; no expiry; what remains of a lease that has none. */
constexpr std::chrono::milliseconds forever = (std::chrono::milliseconds::max)();
constexpr std::chrono::milliseconds never = forever;

/* Any status but OK, with what cachify_last_error() said when it was thrown. */
class CACHIFY_API error : public std::runtime_error
{
  public:
    explicit error(cachify_status_t status)
        : std::runtime_error(cachify_last_error()), status_(status)
    {
    }

    error(cachify_status_t status, const char *text) : std::runtime_error(text), status_(status)
    {
    }

    cachify_status_t status() const noexcept
    {
        return status_;
    }

  private:
    cachify_status_t status_;
};

namespace detail
{

inline void check(cachify_status_t status)
{
    if (status != CACHIFY_OK)
        throw error(status);
}

/* 0 for a duration that is zero, negative, or no number. */
template <class Rep, class Period>
std::int64_t milliseconds(const std::chrono::duration<Rep, Period> &length)
{
    const long double about = std::chrono::duration<long double, std::milli>(length).count();
    if (!(about > 0))
        return 0;
    if (about >= static_cast<long double>(CACHIFY_MAX_MS))
        return CACHIFY_NEVER;
    const auto whole = std::chrono::duration_cast<std::chrono::milliseconds>(length);
    return std::int64_t{whole.count()} + (whole < length ? 1 : 0);
}

template <class Rep, class Period>
std::int64_t expiry(const std::chrono::duration<Rep, Period> &length)
{
    const std::int64_t ms = milliseconds(length);
    if (ms == 0)
        throw error(CACHIFY_INVALID, "a lease is to last for zero or less; expected more");
    return ms;
}

/* A length that is held to 32 bits: what is longer is refused by the library, unread. */
inline std::uint32_t length(const std::string &text) noexcept
{
    constexpr auto most = (std::numeric_limits<std::uint32_t>::max)();
    return text.size() < most ? static_cast<std::uint32_t>(text.size()) : most;
}

} // namespace detail

/* An instance of one's own, open from its construction to its destruction, or close().
 * Move-only; one that was moved from or closed is empty, and INVALID where it is used. */
class instance
{
  public:
    /* All defaults: the user's own segment. */
    instance() : instance_(open(nullptr))
    {
    }

    explicit instance(const cachify_config_t &config) : instance_(open(&config))
    {
    }

    /* Leases stay usable. */
    void close() noexcept
    {
        instance_.reset();
    }

    explicit operator bool() const noexcept
    {
        return instance_ != nullptr;
    }

    /* For calls of the C interface; NULL if empty, which to them is the global instance. */
    cachify_t *get() const noexcept
    {
        return instance_.get();
    }

  private:
    struct closer {
        void operator()(cachify_t *handle) const noexcept
        {
            (void)cachify_close(handle);
        }
    };

    static cachify_t *open(const cachify_config_t *config)
    {
        cachify_t *handle = nullptr;
        detail::check(cachify_open(config, &handle));
        return handle;
    }

    std::unique_ptr<cachify_t, closer> instance_;
};

/* One acquisition, given back at the end of its life.  Move-only; the C lease within stays at
 * its place.  By default, and once moved from or released, empty. */
class lease
{
  public:
    lease() noexcept = default;

    /* Whether there is one: acquired, and not released since.  It may have ended meanwhile. */
    explicit operator bool() const noexcept
    {
        return lease_ != nullptr;
    }

    /* Whether the lock is still mine at this moment; false if empty, and in a forked child. */
    bool held() const noexcept
    {
        return lease_ != nullptr && cachify_lease_held(lease_.get());
    }

    /* 0 if empty, or of a client that has no tokens. */
    std::uint64_t token() const noexcept
    {
        return lease_ != nullptr ? cachify_lease_token(lease_.get()) : 0;
    }

    /* Zero if over, lost or empty; never, if it has no expiry. */
    std::chrono::milliseconds remaining() const noexcept
    {
        const auto ms = lease_ != nullptr ? cachify_lease_remaining_ms(lease_.get()) : 0;
        return ms == CACHIFY_NEVER ? never : std::chrono::milliseconds(ms);
    }

    /* How it was got, and from whom; CACHIFY_FRESH if empty. */
    cachify_origin_t origin() const noexcept
    {
        cachify_origin_t found = {};
        found.size = sizeof found;
        if (lease_ != nullptr)
            (void)cachify_lease_origin(lease_.get(), &found);
        return found;
    }

    /* From now on for so long, or for the instance's default.  Throws on any failure: LOST if
     * another has taken the lock, or if empty; INVALID for zero or less. */
    template <class Rep, class Period> void extend(const std::chrono::duration<Rep, Period> &length)
    {
        renew(detail::expiry(length));
    }

    void extend()
    {
        renew(0);
    }

    /* Give it back now.  True if the lock was mine to the end; false if another had taken it, or
     * empty.  Throws where cachify_release says other than OK and LOST: in a forked child, or
     * NO_MEMORY, after which it is held as before.  The destructor does the same and is silent. */
    bool release()
    {
        if (!*this)
            return false;
        const cachify_status_t status = cachify_release(lease_.get());
        if (status == CACHIFY_NO_MEMORY)
            throw error(status);
        lease_.reset();
        if (status != CACHIFY_LOST)
            detail::check(status);
        return status == CACHIFY_OK;
    }

    /* For calls of the C interface; NULL if it never was one. */
    cachify_lease_t *get() const noexcept
    {
        return lease_.get();
    }

  private:
    friend class lock;

    struct giver {
        void operator()(cachify_lease_t *given) const noexcept
        {
            (void)cachify_release(given);
            delete given;
        }
    };

    void renew(std::int64_t ms)
    {
        if (lease_ == nullptr)
            throw error(CACHIFY_LOST, "the lease is empty: moved from, or never acquired");
        detail::check(cachify_extend(lease_.get(), ms));
    }

    std::unique_ptr<cachify_lease_t, giver> lease_;
};

/* What to lock and how, as cachify_lock_t: no state, may be copied, shared, and used again.
 * By default a busy lock is LOCKED at once, and a lease is as long as the instance says. */
class lock
{
  public:
    /* 1 to key_max bytes with the instance's prefix, any but NUL. */
    explicit lock(std::string key) : key_(std::move(key))
    {
    }

    /* For how long at most; zero or less is not to wait, as for the standard library's timed
     * mutexes. */
    template <class Rep, class Period> lock &wait(const std::chrono::duration<Rep, Period> &limit)
    {
        timeout_ms_ = detail::milliseconds(limit);
        return *this;
    }

    lock &wait() noexcept
    {
        timeout_ms_ = CACHIFY_NEVER;
        return *this;
    }

    /* The lease's length, more than zero, or never. */
    template <class Rep, class Period>
    lock &expire(const std::chrono::duration<Rep, Period> &length)
    {
        exp_ms_ = detail::expiry(length);
        return *this;
    }

    /* Kept with the lease and shown to whoever asks (cachify_query, cachify_get). */
    lock &note(std::string text)
    {
        note_ = std::move(text);
        return *this;
    }

    /* Throws on any failure. */
    lease acquire(const instance &where) const
    {
        return get(handle(where), true);
    }

    lease acquire() const
    {
        return get(nullptr, true);
    }

    /* An empty lease if somebody holds the lock (LOCKED, TIMEOUT), and cachify_last_error() says
     * who.  Throws on any other failure. */
    lease try_acquire(const instance &where) const
    {
        return get(handle(where), false);
    }

    lease try_acquire() const
    {
        return get(nullptr, false);
    }

    /* The same for calls of the C interface; points into this object. */
    cachify_lock_t options() const noexcept
    {
        cachify_lock_t options = {};
        options.size = sizeof options;
        options.key = key_.c_str();
        options.key_len = detail::length(key_);
        options.wait = timeout_ms_ != 0;
        options.timeout_ms = timeout_ms_;
        options.exp_ms = exp_ms_;
        options.value = note_.data();
        options.value_len = detail::length(note_);
        return options;
    }

  private:
    static cachify_t *handle(const instance &where)
    {
        if (!where)
            throw error(CACHIFY_INVALID, "the instance is empty: closed, or moved from");
        return where.get();
    }

    lease get(cachify_t *where, bool must) const
    {
        lease got;
        got.lease_.reset(new cachify_lease_t());
        const cachify_lock_t what = options();
        const cachify_status_t status = cachify_acquire(where, &what, got.lease_.get());
        if (must || (status != CACHIFY_LOCKED && status != CACHIFY_TIMEOUT))
            detail::check(status);
        if (status != CACHIFY_OK)
            got.lease_.reset();
        return got;
    }

    std::string key_, note_;
    std::int64_t timeout_ms_ = 0; /* 0: do not wait */
    std::int64_t exp_ms_ = 0;     /* 0: the instance's default */
};

namespace detail
{

/* The result may be nothing, a value or a reference. */
template <class Result> struct under {
    template <class F> static Result call(lease held, F &f)
    {
        Result result = f();
        end(held);
        return std::forward<Result>(result);
    }

    static void end(lease &held)
    {
        if (!held.release())
            throw error(CACHIFY_LOST);
    }
};

template <> struct under<void> {
    template <class F> static void call(lease held, F &f)
    {
        f();
        under<int>::end(held);
    }
};

} // namespace detail

/* Acquire, run f, give back, and return what f returned.  Throws as acquire does, and then f was
 * not run; what f throws; and LOST if f ran to its end, but the lock was no longer ours then. */
template <class F> auto with(const instance &where, const lock &what, F &&f) -> decltype(f())
{
    return detail::under<decltype(f())>::call(what.acquire(where), f);
}

template <class F> auto with(const lock &what, F &&f) -> decltype(f())
{
    return detail::under<decltype(f())>::call(what.acquire(), f);
}

} // namespace cachify

#endif
