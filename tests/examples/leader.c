/* A leader among three processes, by a lease that it renews.  The first leader is killed, and the
 * second takes over at once; that one stops, and the third takes over when its lease expires.
 * Continued, the second is told, and steps down.
 *
 *     cc leader.c $(pkg-config --cflags --libs cachify) && ./a.out
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cachify/cachify.h>

#define CANDIDATES 3u
#define EXPIRY_MS 1000

/* What a candidate tells the parent: that it leads (OK), and why it does no more. */
struct report {
    pid_t pid;
    cachify_how_t how;
    uint64_t token; /* the term: whoever follows a leader refuses orders of an earlier one */
    cachify_status_t status;
    int over; /* as wide as the rest: no padding, all of it is written */
};

static int reports[2], quit[2];

static void fail(const char *what)
{
    const char *why = cachify_last_error();
    fprintf(stderr, "%s: %s\n", what, *why ? why : errno != 0 ? strerror(errno) : "unexpected");
    exit(EXIT_FAILURE);
}

static void tell(const struct report *report)
{
    if (write(reports[1], report, sizeof *report) != sizeof *report)
        fail("write");
}

/* What befalls the first leader and the second. */
static void accident(cachify_how_t how)
{
    if (how == CACHIFY_FRESH)
        kill(getpid(), SIGKILL);
    if (how == CACHIFY_OWNER_DIED)
        kill(getpid(), SIGSTOP);
}

static void candidate(cachify_t *locks)
{
    cachify_lock_t lock = {.key = "leader", .wait = true, .exp_ms = EXPIRY_MS};
    cachify_lease_t lease;
    struct pollfd told = {.fd = quit[0]};
    if (cachify_acquire(locks, &lock, &lease) != CACHIFY_OK)
        fail("leader");
    cachify_how_t how = cachify_lease_origin(&lease, NULL);
    struct report report = {getpid(), how, cachify_lease_token(&lease), CACHIFY_OK, 0};
    tell(&report);

    /* A third: should one renewal come late, there is time for another. */
    for (unsigned renewed = 0; poll(&told, 1, EXPIRY_MS / 3) != 1; renewed++) {
        if (renewed == 3) /* it leads for longer than one lease by now */
            accident(how);
        report.status = cachify_extend(&lease, EXPIRY_MS);
        if (report.status != CACHIFY_OK)
            break; /* LOST: another leads.  Step down; a real one would stand again */
    }
    if (report.status == CACHIFY_OK) /* told to end: the next one leads at once */
        report.status = cachify_release(&lease);
    report.over = 1;
    tell(&report);
    _exit(EXIT_SUCCESS);
}

/* The next report has to be this one. */
static struct report expect(int over, cachify_how_t how, cachify_status_t status)
{
    struct report report;
    if (read(reports[0], &report, sizeof report) != sizeof report || report.over != over ||
        report.how != how || report.status != status) {
        fprintf(stderr, "expected another report: origin %d, %s\n", (int)how,
                cachify_strerror(status));
        exit(EXIT_FAILURE);
    }
    return report;
}

int main(void)
{
    char path[64];
    cachify_t *locks;
    int status;
    snprintf(path, sizeof path, "/dev/shm/cachify-example-leader.%d", (int)getpid());
    cachify_config_t config = {.path = path, .max_locks = 64};
    if (pipe(reports) != 0 || pipe(quit) != 0 || cachify_open(&config, &locks) != CACHIFY_OK)
        fail("open");
    for (unsigned i = 0; i < CANDIDATES; i++) {
        pid_t pid = fork();
        if (pid < 0)
            fail("fork");
        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL); /* nobody stays, should the parent fail */
            close(quit[1]);                   /* closed by the parent, too, it says: quit */
            candidate(locks);
        }
    }
    close(reports[1]);

    struct report first = expect(0, CACHIFY_FRESH, CACHIFY_OK);
    if (waitpid(first.pid, &status, 0) != first.pid || !WIFSIGNALED(status))
        fail("the first was not killed");
    printf("the first leads: FRESH; it is killed\n");

    struct report second = expect(0, CACHIFY_OWNER_DIED, CACHIFY_OK);
    if (waitpid(second.pid, &status, WUNTRACED) != second.pid || !WIFSTOPPED(status))
        fail("the second did not stop");
    printf("the second leads: OWNER_DIED; it stops\n");

    struct report third = expect(0, CACHIFY_EXPIRED, CACHIFY_OK);
    printf("the third leads: EXPIRED\n");
    kill(second.pid, SIGCONT);
    expect(1, CACHIFY_OWNER_DIED, CACHIFY_LOST);
    printf("the second goes on, and is told by cachify_extend: LOST\n");

    close(quit[1]);
    expect(1, CACHIFY_EXPIRED, CACHIFY_OK);
    bool grew = first.token < second.token && second.token < third.token;
    printf("the third led to the end; each term is later than the one before: %s\n",
           grew ? "yes" : "no");
    unsigned good = 0; /* the first was waited for */
    while (wait(&status) > 0)
        good += WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS;
    cachify_close(locks);
    unlink(path); /* this was but an example; a segment that is used stays */
    return grew && good == CANDIDATES - 1 ? EXIT_SUCCESS : EXIT_FAILURE;
}
