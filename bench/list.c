/* How long cachify-shm-inspect takes to list so many held locks to a file: a table, raw, JSON.
 *
 *     bench/list [COUNT] [ROUNDS]
 *
 * The segment is one of its own, and so are the files; all are removed. */
#include <cachify/cachify.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS_MOST 25

static char path[64], list[64];

static void clean(void)
{
    unlink(path);
    unlink(list);
}

_Noreturn static void fail(const char *what)
{
    fprintf(stderr, "list: %s: %s\n", what, cachify_last_error());
    exit(EXIT_FAILURE);
}

static void fill(cachify_t *cachify, unsigned count)
{
    cachify_lease_t lease;
    char key[64], note[16];
    for (unsigned i = 0; i < count; i++) {
        snprintf(key, sizeof key, "order-%07u", i);
        snprintf(note, sizeof note, "note %u", i % 100);
        cachify_lock_t lock = {
            .key = key, .exp_ms = 600000, .value = note, .value_len = (uint32_t)strlen(note)};
        if (cachify_acquire(cachify, &lock, &lease) != CACHIFY_OK)
            fail("acquire");
    }
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double run(const char *tool, const char *option)
{
    int status;
    double begin = seconds();
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open(list, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        dup2(fd, STDOUT_FILENO);
        execl(tool, tool, "--path", path, option, (char *)NULL);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        fail("the tool failed");
    return seconds() - begin;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(const char *tool, const char *option, unsigned rounds)
{
    double took[ROUNDS_MOST] = {0};
    for (unsigned i = 0; i < rounds; i++)
        took[i] = run(tool, option);
    qsort(took, rounds, sizeof took[0], compare);
    printf("%-12s %6.3f s, from %.3f to %.3f\n", option, took[rounds / 2], took[0],
           took[rounds - 1]);
}

int main(int argc, char **argv)
{
    unsigned count = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1000000;
    unsigned rounds = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 5;
    const char *tool = getenv("CACHIFY_INSPECT");
    cachify_t *cachify;
    if (count == 0 || rounds == 0 || rounds > ROUNDS_MOST) {
        fprintf(stderr, "list: expected COUNT of 1 or more, ROUNDS of 1 to %d\n", ROUNDS_MOST);
        return 64;
    }
    snprintf(path, sizeof path, "/dev/shm/cachify-bench-%d", (int)getpid());
    snprintf(list, sizeof list, "/dev/shm/cachify-bench-%d.list", (int)getpid());
    cachify_config_t config = {.path = path, .max_locks = count, .key_max = 64};
    atexit(clean);
    if (cachify_open(&config, &cachify) != CACHIFY_OK)
        fail("open");
    fill(cachify, count);
    tool = tool != NULL ? tool : "tools/cachify-shm-inspect";
    printf("%u held locks\n", count);
    measure(tool, "--noheadings", rounds);
    measure(tool, "--raw", rounds);
    measure(tool, "--json", rounds);
    return EXIT_SUCCESS;
}
