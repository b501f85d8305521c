/* What C++ tests use: a list of tests that add themselves, conditions that name themselves, a
 * segment of the test's own, and children that answer with a number. */
#ifndef CF_TESTS_CPP_TRIAL_HPP
#define CF_TESTS_CPP_TRIAL_HPP

#include <cachify/cachify.hpp>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

namespace trial
{

/* Not a std::exception: no test catches it by mistake. */
struct failed {
    std::string what;
};

struct test {
    const char *name;
    void (*run)();
};

inline std::vector<test> &tests()
{
    static std::vector<test> all;
    return all;
}

struct add {
    add(const char *name, void (*run)())
    {
        tests().push_back(test{name, run});
    }
};

#define TEST(name)                                                                                 \
    static void name();                                                                            \
    static const trial::add name##_added(#name, name);                                             \
    static void name()

inline void claim(bool holds, const char *file, int line, const std::string &what)
{
    if (!holds)
        throw failed{std::string(file) + ":" + std::to_string(line) + ": " + what};
}

#define CHECK(condition) trial::claim(static_cast<bool>(condition), __FILE__, __LINE__, #condition)

inline std::string text(const std::string &value)
{
    return '"' + value + '"';
}

inline std::string text(const char *value)
{
    return text(std::string(value));
}

template <class T> std::string text(T value)
{
    return std::to_string(value);
}

template <class T> void claim_equal(T got, T expected, const char *file, int line, const char *what)
{
    claim(got == expected, file, line,
          std::string(what) + " is " + text(got) + ", expected " + text(expected));
}

#define CHECK_EQUAL(got, expected)                                                                 \
    trial::claim_equal<typename std::decay<decltype(expected)>::type>(got, expected, __FILE__,     \
                                                                      __LINE__, #got)

/* The statement throws cachify::error of this status, with this text in it. */
template <class F>
void claim_throws(F f, cachify_status_t status, const char *part, const char *file, int line,
                  const char *what)
{
    try {
        f();
    } catch (const cachify::error &e) {
        claim(e.status() == status, file, line,
              std::string(what) + " threw " + cachify_strerror(e.status()) + " (" + e.what() +
                  "), expected " + cachify_strerror(status));
        claim(std::string(e.what()).find(part) != std::string::npos, file, line,
              text(part) + " is not in the error " + text(e.what()));
        return;
    }
    claim(false, file, line,
          std::string(what) + " threw nothing, expected " + cachify_strerror(status));
}

#define CHECK_THROWS(statement, status, part)                                                      \
    trial::claim_throws([&] { (void)(statement); }, status, part, __FILE__, __LINE__, #statement)

using clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

/* A condition that has to come true; looked at every millisecond. */
inline void claim_eventually(const std::function<bool()> &condition, const char *file, int line,
                             const char *what)
{
    const auto until = clock::now() + milliseconds(20000);
    while (!condition()) {
        claim(clock::now() < until, file, line, std::string("not within 20 s: ") + what);
        std::this_thread::sleep_for(milliseconds(1));
    }
}

#define EVENTUALLY(condition)                                                                      \
    trial::claim_eventually([&] { return static_cast<bool>(condition); }, __FILE__, __LINE__,      \
                            #condition)

/* ---- A segment of the test's own ---- */

/* As the other suites': 64 locks, no prefix, a poll interval of 5 s. */
struct segment {
    segment()
        : path("/dev/shm/cachify-test-" + std::to_string(getpid()) + "-cpp-" +
               std::to_string(count()++))
    {
        config.path = path.c_str();
        config.max_locks = 64;
        config.key_max = 64;
        config.prefix = "";
        config.poll_interval_ms = 5000;
    }
    ~segment()
    {
        (void)unlink(path.c_str());
    }
    segment(const segment &) = delete;
    segment &operator=(const segment &) = delete;

    static unsigned &count()
    {
        static unsigned n;
        return n;
    }

    std::string path;
    cachify_config_t config = {};
};

inline bool is_locked(const cachify::instance &where, const char *key)
{
    bool locked = false;
    CHECK_EQUAL(cachify_is_locked(where.get(), key, &locked), CACHIFY_OK);
    return locked;
}

inline cachify_info_t query(const cachify::instance &where, const char *key)
{
    cachify_info_t info = {};
    CHECK_EQUAL(cachify_query(where.get(), key, &info), CACHIFY_OK);
    return info;
}

/* ---- Children ---- */

/* A child that runs f and ends with its answer, 100 if it threw.  Killed if the test does not
 * come to wait for it. */
class child
{
  public:
    explicit child(const std::function<int()> &f) : pid_(fork())
    {
        if (pid_ != 0)
            return;
        int answer = 100;
        try {
            answer = f();
        } catch (const failed &e) {
            std::fprintf(stderr, "in a child: %s\n", e.what.c_str());
        } catch (const std::exception &e) {
            std::fprintf(stderr, "in a child: %s\n", e.what());
        }
        _exit(answer);
    }
    ~child()
    {
        if (pid_ > 0)
            kill();
    }
    child(const child &) = delete;
    child &operator=(const child &) = delete;

    /* -1: it did not end by itself. */
    int wait()
    {
        int status = 0;
        claim(pid_ > 0 && waitpid(pid_, &status, 0) == pid_, __FILE__, __LINE__, "no child");
        pid_ = -1;
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }
    void kill()
    {
        (void)::kill(pid_, SIGKILL);
        (void)wait();
    }

  private:
    pid_t pid_;
};

/* One word from a process to another. */
struct signpost {
    int end[2];
    signpost()
    {
        claim(pipe(end) == 0, __FILE__, __LINE__, "pipe");
    }
    ~signpost()
    {
        close(end[0]);
        close(end[1]);
    }
    signpost(const signpost &) = delete;
    signpost &operator=(const signpost &) = delete;
    void give() const
    {
        claim(write(end[1], "x", 1) == 1, __FILE__, __LINE__, "write");
    }
    void await() const
    {
        char c;
        claim(read(end[0], &c, 1) == 1, __FILE__, __LINE__, "read");
    }
};

/* ---- Running ---- */

inline int run()
{
    unsigned failures = 0;
    for (const test &t : tests()) {
        std::string why;
        try {
            t.run();
        } catch (const failed &e) {
            why = e.what;
        } catch (const std::exception &e) {
            why = std::string("it threw: ") + e.what();
        }
        if (why.empty())
            continue;
        failures++;
        std::printf("%s: failed: %s\n", t.name, why.c_str());
    }
    const auto count = static_cast<unsigned>(tests().size());
    std::printf("%u%%: Checks: %u, Failures: %u, Errors: 0\n", (count - failures) * 100 / count,
                count, failures);
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

} // namespace trial

#endif
