/* worker-pool: the demonstration.  A pool of processes hashes every file of a tree, each file
 * under the lock "file-PATH".  One worker is killed while it holds a lock, one is stopped until
 * its lease is over.  In the end the ledger has to prove that all was done, that no lock had
 * two holders, that the dead one's lock went on at once, and that the stopped one was told. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include <cachify/cachify.h>

#include "../client.h"
#include "pool.h"
#include "store.h"
#include "verify.h"

#define DEFAULT_TREE "/usr/include"
#define DEFAULT_JOBS 8u
#define WORK_MAX 100u
#define INTERRUPTED 130

struct options {
    const char *tree;
    const char *ledger; /* NULL: one of our own, removed if all went well */
    const char *client; /* the URL of a server; NULL: a segment of our own */
    uint32_t jobs;
    uint32_t work;
};

static struct {
    char ledger[4096];
    bool remove_ledger;
} files; /* what is removed at the end */

/* ---- Options ---- */

static const char usage[] =
    "\nUsage:\n worker-pool [options]\n\n"
    "Hashes every file of a tree with a pool of processes that exclude each other by\n"
    "cachify's locks; kills one and stops one on the way; proves that nothing went wrong.\n\n"
    "Options:\n"
    " -t, --tree DIR     the tree; " DEFAULT_TREE "\n"
    " -j, --jobs N       workers, 2 to 32; 8\n"
    " -w, --work MS      sleep under each lock, twice as long at most; 0 to 100\n"
    " -l, --ledger FILE  write the ledger here, and keep it\n"
    " -c, --client URL   locks on this server, such as redis://HOST or unix:///PATH\n"
    " -h, --help         print this help\n\n"
    "CACHIFY_INSPECT is the inspector to run, if not the one built beside this "
    "program;\n" CLIENT_VARIABLE " a server's URL, if there is no --client.\n"
    "Exit status: 0 all is proved, 1 it is not, 64 called the wrong way, 130 interrupted.\n";

static uint32_t parse_number(const char *option, const char *text, uint32_t min, uint32_t max)
{
    char *end;
    errno = 0;
    unsigned long number = strtoul(text, &end, 10);
    if (errno == 0 && *text != '\0' && *end == '\0' && number >= min && number <= max)
        return (uint32_t)number;
    fprintf(stderr, "worker-pool: --%s is \"%s\"; expected a number from %u to %u\n", option, text,
            min, max);
    exit(EX_USAGE);
}

static struct options parse(int argc, char **argv)
{
    static const struct option known[] = {
        {"tree", required_argument, NULL, 't'},
        {"jobs", required_argument, NULL, 'j'},
        {"work", required_argument, NULL, 'w'},
        {"ledger", required_argument, NULL, 'l'},
        {"client", required_argument, NULL, 'c'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct options options = {
        .tree = DEFAULT_TREE, .jobs = DEFAULT_JOBS, .client = client_of_environment()};
    for (int code; (code = getopt_long(argc, argv, "t:j:w:l:c:h", known, NULL)) != -1;) {
        if (code == 't')
            options.tree = optarg;
        else if (code == 'j')
            options.jobs = parse_number("jobs", optarg, 2, WORKERS_MAX);
        else if (code == 'w')
            options.work = parse_number("work", optarg, 0, WORK_MAX);
        else if (code == 'l')
            options.ledger = optarg;
        else if (code == 'c')
            options.client = optarg;
        else if (code == 'h') {
            fputs(usage, stdout);
            exit(EXIT_SUCCESS);
        } else
            exit(EX_USAGE);
    }
    if (optind < argc) {
        fprintf(stderr, "worker-pool: unexpected argument \"%s\"; a tree is given by --tree\n",
                argv[optind]);
        exit(EX_USAGE);
    }
    return options;
}

/* ---- Mishaps ---- */

static bool so_many_done(struct pool *pool, void *context)
{
    return atomic_load(&pool->shared->done) >= *(const uint32_t *)context;
}

static bool wait_for_part(struct pool *pool, uint32_t percent)
{
    uint32_t part = (uint32_t)((uint64_t)pool->tree->count * percent / 100);
    return pool_wait(pool, so_many_done, &part, "part of the files hashed");
}

static bool somebody_waits(struct pool *pool, void *context)
{
    char key[KEY_ROOM];
    cachify_info_t info = {.size = sizeof info};
    file_key(key, pool->tree->path[((const struct report *)context)->file]);
    return cachify_query(NULL, key, &info) == CACHIFY_OK && info.waiters > 0;
}

static bool waited_for_or_time_to_renew(struct pool *pool, void *context)
{
    const struct report *report = context;
    return somebody_waits(pool, context) || now_ns() > report->until - LEASE_MS * 500000LL;
}

/* A worker that holds a lock which another waits for.  Sooner or later all come to it. */
static bool get_victim(struct pool *pool, uint32_t i, struct report *report)
{
    if (!pool_hold(pool, i, report))
        return false;
    while (!somebody_waits(pool, report))
        if (!pool_wait(pool, waited_for_or_time_to_renew, report, "a waiter") ||
            (!somebody_waits(pool, report) && !pool_renew(pool, i, report)))
            return false;
    return true;
}

static bool taken_over(struct pool *pool, void *context)
{
    const struct report *report = context;
    return atomic_load(&pool->shared->file[report->file].last_token) != report->token;
}

/* The dead cannot write what they held. */
static bool write_for_the_dead(const struct pool *pool, const struct report *report,
                               const struct victim *victim)
{
    struct hold hold = {
        .file = report->file,
        .token = report->token,
        .start = report->start,
        .end = victim->when,
        .until = report->until,
        .pid = victim->pid,
        .result = KILLED,
    };
    if (ledger_append(pool->ledger, &hold, pool->tree->path[report->file]))
        return true;
    fprintf(stderr, "worker-pool: cannot write the ledger: %s\n", strerror(errno));
    return false;
}

static bool kill_one(struct pool *pool, uint32_t i, struct victim *victim)
{
    struct report report;
    if (!get_victim(pool, i, &report))
        return false;
    char path[SHOWN_ROOM], key[KEY_ROOM];
    show_path(path, pool->tree->path[report.file]);
    pool_say(pool, "%u of %u files; worker %u (pid %d) holds file-%s and is waited for:",
             atomic_load(&pool->shared->done), pool->tree->count, i + 1, (int)pool->worker[i].pid,
             path);
    file_key(key, pool->tree->path[report.file]);
    if (!store_show(key) || !pool_renew(pool, i, &report))
        return false;
    *victim = (struct victim){report.file, report.token, pool->worker[i].pid, 0, 0};
    victim->until = report.until;
    if (!pool_kill(pool, i, &victim->when) || !write_for_the_dead(pool, &report, victim))
        return false;
    pool_say(pool, "worker %u killed, %d ms before the end of its lease", i + 1,
             (int)((report.until - victim->when) / 1000000));
    if (!pool_wait(pool, taken_over, &report, "the killed worker's lock taken over"))
        return false;
    pool_say(pool, "file-%s taken over; a new worker %u starts", path, i + 1);
    return pool_replace(pool, i);
}

static bool stop_one(struct pool *pool, uint32_t i, struct victim *victim)
{
    struct report report;
    if (!get_victim(pool, i, &report) || !pool_renew(pool, i, &report) || !pool_stop(pool, i))
        return false;
    char path[SHOWN_ROOM];
    show_path(path, pool->tree->path[report.file]);
    pool_say(pool, "%u of %u files; worker %u (pid %d) stopped, holding file-%s",
             atomic_load(&pool->shared->done), pool->tree->count, i + 1, (int)pool->worker[i].pid,
             path);
    *victim =
        (struct victim){report.file, report.token, pool->worker[i].pid, report.until, report.until};
    if (!pool_wait(pool, taken_over, &report, "the stopped worker's lock taken over"))
        return false;
    pool_say(pool, "its lease is over, and file-%s taken over; worker %u goes on", path, i + 1);
    return pool_continue(pool, i) && pool_go_on(pool, i);
}

/* ---- The run ---- */

static void on_signal(int signal)
{
    (void)signal;
    pool_interrupted = 1;
}

/* A descriptor to append to, or -1 after a message. */
static int open_ledger(const struct options *options)
{
    const char *directory = getenv("TMPDIR");
    files.remove_ledger = options->ledger == NULL;
    if (options->ledger != NULL)
        snprintf(files.ledger, sizeof files.ledger, "%s", options->ledger);
    else
        snprintf(files.ledger, sizeof files.ledger, "%s/cachify-demo-%d.ledger",
                 directory != NULL ? directory : "/tmp", (int)getpid());
    int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW;
    int fd = open(files.ledger, flags | (options->ledger != NULL ? O_TRUNC : O_EXCL), 0600);
    if (fd < 0)
        fprintf(stderr, "worker-pool: cannot open the ledger %s: %s\n", files.ledger,
                strerror(errno));
    return fd;
}

static void report_run(struct pool *pool)
{
    const struct shared *s = pool->shared;
    pool_say(
        pool,
        "%u workers are home: %u holds, %u waits over 0.1 ms, the longest %.1f ms. The ledger:",
        pool->size, atomic_load(&s->holds), atomic_load(&s->waits),
        (double)atomic_load(&s->longest_ns) / 1e6);
}

static bool check_ledger(const struct tree *tree, const struct victim *killed,
                         const struct victim *stopped)
{
    struct ledger ledger;
    if (!ledger_read(files.ledger, &ledger))
        return false;
    bool good = verify(&ledger, tree, killed, stopped, store_sees_death());
    ledger_free(&ledger);
    return good;
}

static bool run(const struct options *options, const struct tree *tree, int ledger)
{
    static struct pool pool;
    struct victim killed = {0}, stopped = {0};
    printf("%u workers hash %u files under %s, each file offered to each worker.\n", options->jobs,
           tree->count, options->tree);
    if (tree->skipped > 0)
        printf("%u things in it may not be read, and are left out.\n", tree->skipped);
    printf("Locks in %s, leases of %d ms.\n", store_place(), LEASE_MS);
    pool.patience_s = options->client != NULL ? SERVER_PATIENCE_S : PATIENCE_S;
    bool good = pool_start(&pool, tree, ledger, options->jobs, options->work) &&
                wait_for_part(&pool, 25) && kill_one(&pool, 0, &killed) &&
                wait_for_part(&pool, 50) && stop_one(&pool, options->jobs - 1, &stopped) &&
                pool_finish(&pool);
    if (good) {
        report_run(&pool);
        good = check_ledger(tree, &killed, &stopped);
    }
    pool_end(&pool);
    return good;
}

int main(int argc, char **argv)
{
    struct options options = parse(argc, argv);
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    struct tree tree;
    if (!tree_list(options.tree, &tree))
        return EXIT_FAILURE;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    int ledger = open_ledger(&options);
    bool opened = ledger >= 0 && store_open(options.client);
    bool good = opened && run(&options, &tree, ledger);
    if (opened) {
        store_close();
    }
    if (ledger >= 0)
        close(ledger);
    if (files.remove_ledger && (good || pool_interrupted || !opened))
        unlink(files.ledger);
    else if (ledger >= 0)
        printf("The ledger is kept: %s\n", files.ledger);
    tree_free(&tree);
    if (!pool_interrupted)
        puts(good ? "verdict: PASS" : "verdict: FAIL");
    return pool_interrupted ? INTERRUPTED : good ? EXIT_SUCCESS : EXIT_FAILURE;
}
