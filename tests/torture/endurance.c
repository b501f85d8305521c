/* Ever new keys: after many millions of them, are paths as short and is memory as small as
 * at the start?  See README.md. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cachify/shm.h>

#define MAX_PROCESSES 2
#define MAX_LOCKS 16384u

/* One way to use up keys.  window: leases that each process holds, the oldest released as
 * the newest is taken. */
static const struct phase {
    const char *name;
    unsigned processes;
    unsigned window;
} phases[] = {
    {"1 process", 1, 1},
    {"2 processes", 2, 1},
    {"2 processes, table three quarters full", 2, MAX_LOCKS * 3 / 8},
};
#define PHASES (sizeof phases / sizeof phases[0])

/* What the processes tell the one that watches. */
struct progress {
    _Atomic bool go;
    _Atomic bool failed;
    _Atomic uint64_t next; /* number to use; taken a share at a time, so that all end together */
    _Atomic uint64_t done[MAX_PROCESSES];
};
#define SHARE 1000u
static struct progress *progress;

/* The most that was seen in a tenth of a phase. */
struct most {
    uint64_t anonymous_kib;
    uint64_t shared_kib;
    double ns; /* a pair, on average */
    uint32_t longest_path;
    uint32_t overflowing;
    uint32_t taken;
    uint32_t samples;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int signal)
{
    interrupted = signal;
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void nap(void)
{
    struct timespec t = {0, 2000000};
    nanosleep(&t, NULL);
}

/* ---- The processes ---- */

_Noreturn static void give_up(const char *what)
{
    fprintf(stderr, "endurance: %s: %s\n", what, cachify_last_error());
    progress->failed = true;
    _exit(1);
}

static void use_up(cachify_t *instance, unsigned number, unsigned window, uint64_t total)
{
    cachify_lease_t *held = calloc(window, sizeof *held);
    uint64_t job = 0;
    if (held == NULL)
        give_up("memory");
    for (uint64_t n = 0; !progress->failed; n++, job++) {
        char key[40];
        if (n % SHARE == 0)
            job = atomic_fetch_add(&progress->next, SHARE);
        if (job >= total)
            break;
        snprintf(key, sizeof key, "job-%" PRIu64, job);
        cachify_lock_t lock = {.size = sizeof lock, .key = key, .exp_ms = CACHIFY_NEVER};
        cachify_lease_t *lease = &held[n % window];
        if (cachify_release(lease) != CACHIFY_OK)
            give_up("release");
        if (cachify_acquire(instance, &lock, lease) != CACHIFY_OK)
            give_up("acquire");
        if (window == 1 && cachify_release(lease) != CACHIFY_OK)
            give_up("release");
        atomic_store_explicit(&progress->done[number], n + 1, memory_order_relaxed);
    }
    for (unsigned i = 0; i < window; i++)
        cachify_release(&held[i]);
    free(held);
}

_Noreturn static void process_main(const char *path, unsigned number, unsigned window,
                                   uint64_t total)
{
    cachify_config_t config = {.size = sizeof config, .path = path, .max_locks = MAX_LOCKS};
    cachify_t *instance;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (cachify_open(&config, &instance) != CACHIFY_OK)
        give_up("open");
    while (!progress->go)
        nap();
    use_up(instance, number, window, total);
    cachify_close(instance);
    _exit(0);
}

/* ---- The one that watches ---- */

static uint64_t status_kib(pid_t pid, const char *field)
{
    char path[64], line[256];
    unsigned long long kib = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0;
    while (fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, field, strlen(field)) == 0)
            sscanf(line + strlen(field), ": %llu", &kib);
    fclose(file);
    return kib;
}

static void sample(cachify_shm_view_t *view, const pid_t *pids, unsigned processes,
                   struct most *most)
{
    cachify_shm_counts_t c = {.size = sizeof c};
    if (cachify_shm_count(view, &c) != CACHIFY_OK) {
        fprintf(stderr, "endurance: count: %s\n", cachify_last_error());
        progress->failed = true;
    }
    uint64_t anonymous = 0, shared = 0;
    for (unsigned i = 0; i < processes; i++) {
        anonymous += status_kib(pids[i], "RssAnon");
        shared += status_kib(pids[i], "RssShmem");
    }
#define RAISE(field, value) most->field = most->field > (value) ? most->field : (value)
    RAISE(longest_path, c.longest_path);
    RAISE(overflowing, c.overflowing);
    RAISE(taken, c.taken);
    RAISE(anonymous_kib, anonymous);
    RAISE(shared_kib, shared);
    most->samples++;
}

static uint64_t all_done(unsigned processes)
{
    uint64_t done = 0;
    for (unsigned i = 0; i < processes; i++)
        done += atomic_load_explicit(&progress->done[i], memory_order_relaxed);
    return done;
}

static bool one_died(void)
{
    siginfo_t info = {0};
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0 &&
           (info.si_code != CLD_EXITED || info.si_status != 0);
}

/* Fills a row for each tenth of the way. */
static void watch(cachify_shm_view_t *view, const pid_t *pids, unsigned processes, uint64_t total,
                  struct most tenth[10])
{
    double since = seconds();
    uint64_t before = 0;
    unsigned at = 0;
    progress->go = true;
    while (at < 10 && !progress->failed && !interrupted && !one_died()) {
        uint64_t done = all_done(processes);
        unsigned now = (unsigned)(done * 10 / total);
        if (now == at) {
            sample(view, pids, processes, &tenth[at]);
            nap();
            continue;
        }
        double time = seconds();
        tenth[at].ns = (time - since) * 1e9 / (double)(done - before);
        for (unsigned i = at + 1; i < now && i < 10; i++)
            tenth[i] = tenth[at];
        since = time;
        before = done;
        at = now;
    }
}

static void print_row(const char *name, const struct most *m)
{
    printf("  %-12s %12u %12u %12u %12" PRIu64 " %12" PRIu64 " %10.0f\n", name, m->longest_path,
           m->overflowing, m->taken, m->anonymous_kib, m->shared_kib, m->ns);
}

static bool expect(bool fine, const char *what)
{
    if (!fine)
        printf("  FAILED: %s\n", what);
    return fine;
}

/* A table that is nearly full lives by chance: as at the start is up to a little more. */
static bool judge(const struct most *first, const struct most *last, bool crowded)
{
    uint32_t path = crowded ? first->longest_path / 4 + 2 : 0;
    uint32_t groups = crowded ? first->overflowing / 10 + 20 : 0;
    bool fine = expect(first->samples > 0 && last->samples > 0, "too short to be watched");
    fine &= expect(last->longest_path <= first->longest_path + path, "paths have grown");
    fine &= expect(last->overflowing <= first->overflowing + groups, "overflow bits pile up");
    fine &= expect(last->taken <= first->taken, "records leak");
    fine &= expect(last->anonymous_kib <= first->anonymous_kib + 64, "processes have grown");
    return fine;
}

static bool nothing_left(cachify_shm_view_t *view)
{
    cachify_shm_counts_t c = {.size = sizeof c};
    cachify_shm_count(view, &c);
    return expect(c.held == 0 && c.idle == 0 && c.inserting == 0 && c.taken == 0 &&
                      c.processes == 0,
                  "leases, records or entries are left when all processes have closed");
}

static bool run(const struct phase *phase, const char *path, uint64_t count)
{
    pid_t pids[MAX_PROCESSES] = {0};
    unsigned processes = phase->processes > 1 ? MAX_PROCESSES : 1;
    cachify_t *creator;
    cachify_shm_view_t *view;
    cachify_config_t config = {.size = sizeof config, .path = path, .max_locks = MAX_LOCKS};
    struct most tenth[10] = {0};
    bool fine = true;
    memset(progress, 0, sizeof *progress);
    unlink(path);
    if (cachify_open(&config, &creator) != CACHIFY_OK || cachify_close(creator) != CACHIFY_OK ||
        cachify_shm_open(NULL, path, &view) != CACHIFY_OK) {
        fprintf(stderr, "endurance: %s\n", cachify_last_error());
        return false;
    }
    fflush(stdout);
    for (unsigned i = 0; i < processes; i++) {
        pids[i] = fork();
        if (pids[i] == 0)
            process_main(path, i, phase->window, count);
    }
    watch(view, pids, processes, count, tenth);
    for (unsigned i = 0; i < processes; i++) {
        int status;
        if (interrupted || progress->failed)
            kill(pids[i], SIGKILL);
        waitpid(pids[i], &status, 0);
        fine &= expect(status == 0, "a process died");
    }
    printf("%s: %" PRIu64 " keys, %u held by each\n", phase->name, count,
           phase->window == 1 ? 0 : phase->window);
    printf("  %-12s %12s %12s %12s %12s %12s %10s\n", "most in the", "longest path", "overflowing",
           "records", "own KiB", "shared KiB", "ns a pair");
    print_row("first tenth", &tenth[0]);
    print_row("last tenth", &tenth[9]);
    fine = fine && judge(&tenth[0], &tenth[9], phase->window > 1) && nothing_left(view);
    cachify_shm_close(view);
    unlink(path);
    return fine;
}

static uint64_t parse(int argc, char **argv)
{
    static const struct option options[] = {
        {"count", required_argument, NULL, 'c'}, {"help", no_argument, NULL, 'h'}, {0}};
    uint64_t count = 5000000;
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        char *end = NULL;
        if (option == 'h') {
            puts(
                "Usage: endurance [--count=N]\n"
                "Acquire and release N (5000000) ever new keys in each of three ways, and compare\n"
                "paths, records and memory of the last tenth with those of the first.\n"
                "The last line is `N passed, N failed`; exit status 0, 1, or 2 for a wrong "
                "option.");
            exit(0);
        }
        if (option == '?')
            exit(2);
        count = strtoull(optarg, &end, 10);
        if (end == optarg || *end != '\0' || optarg[0] == '-' || count < 1000000 ||
            count > UINT64_C(1000000000000)) {
            fprintf(stderr, "endurance: --count is \"%s\"; expected 1000000 to 10^12\n", optarg);
            exit(2);
        }
    }
    if (optind < argc) {
        fprintf(stderr, "endurance: \"%s\" is no option; expected --count=N\n", argv[optind]);
        exit(2);
    }
    return count;
}

int main(int argc, char **argv)
{
    uint64_t count = parse(argc, argv);
    unsigned passed = 0, failed = 0;
    char path[64];
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    snprintf(path, sizeof path, "/dev/shm/cachify-endurance.%d", (int)getpid());
    progress =
        mmap(NULL, sizeof *progress, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (progress == MAP_FAILED) {
        fprintf(stderr, "endurance: %s\n", strerror(errno));
        return 1;
    }
    for (unsigned i = 0; i < PHASES && !interrupted; i++) {
        if (run(&phases[i], path, count))
            passed++;
        else
            failed++;
    }
    if (interrupted)
        puts("interrupted");
    printf("%u passed, %u failed\n", passed, failed);
    return interrupted ? 130 : failed > 0;
}
