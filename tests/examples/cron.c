/* A cron job that must not overlap: of eight starts at once one runs, the others say who is at it
 * and end.  fork stands in for cron: each start opens the segment itself, as a program does.
 *
 *     cc cron.c $(pkg-config --cflags --libs cachify) && ./a.out
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cachify/cachify.h>

#define STARTS 8u

static atomic_uint *ran;
static int given_up[2]; /* a byte from each that gave up */

static void fail(const char *what)
{
    const char *why = cachify_last_error();
    fprintf(stderr, "%s: %s\n", what, *why ? why : errno != 0 ? strerror(errno) : "unexpected");
    exit(EXIT_FAILURE);
}

/* Works until all the others have come, and found it at work: so they overlap for certain. */
static void write_report(void)
{
    char byte;
    atomic_fetch_add(ran, 1);
    close(given_up[1]); /* should one of them die, this ends with end of file */
    for (unsigned i = 1; i < STARTS; i++)
        if (read(given_up[0], &byte, 1) != 1)
            fail("not all gave up");
}

/* What main would be. */
static int nightly_report(const cachify_config_t *config)
{
    cachify_t *locks;
    cachify_lease_t lease;
    /* No expiry: it may take all night, and should it crash, the next start runs at once. */
    cachify_lock_t lock = {.key = "nightly-report", .exp_ms = CACHIFY_NEVER};
    if (cachify_open(config, &locks) != CACHIFY_OK)
        fail("open");
    cachify_status_t status = cachify_acquire(locks, &lock, &lease);
    if (status == CACHIFY_LOCKED) { /* no error: the work is being done */
        printf("not now: %s\n", cachify_last_error());
        if (write(given_up[1], "", 1) != 1)
            fail("write");
    } else if (status != CACHIFY_OK) {
        fail("nightly-report");
    } else {
        printf("pid %d writes the report\n", (int)getpid());
        write_report();
        if (cachify_release(&lease) != CACHIFY_OK)
            fail("release");
    }
    cachify_close(locks);
    return EXIT_SUCCESS;
}

int main(void)
{
    char path[64];
    snprintf(path, sizeof path, "/dev/shm/cachify-example-cron.%d", (int)getpid());
    cachify_config_t config = {.path = path, .max_locks = 64};
    setvbuf(stdout, NULL, _IOLBF, 0); /* the lines of eight processes, each whole */
    ran = mmap(NULL, sizeof *ran, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (ran == MAP_FAILED || pipe(given_up) != 0)
        fail("mmap, pipe");

    for (unsigned i = 0; i < STARTS; i++) {
        pid_t pid = fork();
        if (pid < 0)
            fail("fork");
        if (pid == 0)
            exit(nightly_report(&config));
    }
    close(given_up[1]);
    unsigned good = 0;
    int status;
    while (wait(&status) > 0)
        good += WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS;
    printf("%u of %u starts ran, %u ended well\n", atomic_load(ran), STARTS, good);

    unlink(path); /* this was but an example; a segment that is used stays */
    return atomic_load(ran) == 1 && good == STARTS ? EXIT_SUCCESS : EXIT_FAILURE;
}
