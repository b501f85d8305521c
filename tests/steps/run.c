#include "run.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "census.h"
#include "judge.h"
#include "shm/line.h"
#include "shm/segment.h"
#include "shm/wait.h"

#define LONGEST_S 20      /* a run */
#define STOPPED_EXP_MS 30 /* with a waiter four times that, so that it sleeps throughout */
#define WAITER_US                                                                                  \
    200000 /* later than a poll interval, on a busy machine; leases last much longer */

/* ---- The others ---- */

static pid_t start(void (*life)(const struct operation *), const struct operation *operation)
{
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        alarm(LONGEST_S);
        life(operation);
        _exit(0);
    }
    if (pid < 0)
        blame("fork: %s", strerror(errno));
    return pid;
}

static void say(sem_t *sem)
{
    sem_post(sem);
}

static bool hear(sem_t *sem, const char *whose)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += LONGEST_S / 2;
    while (sem_timedwait(sem, &until) != 0)
        if (errno != EINTR) {
            blame("%s says nothing", whose);
            return false;
        }
    return true;
}

static void end(pid_t pid)
{
    if (pid > 0) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, __WALL);
    }
}

static void life_of_victim(const struct operation *operation)
{
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
        _exit(1);
    stepper_stand();
    if (operation->prepare != NULL)
        operation->prepare();
    stepper_stand();
    board->begun = true;
    cachify_status_t status = operation->act();
    board->done = true;
    stepper_stand();
    board->status = status;
    board->victim_token = cachify_lease_token(&part.lease[OWN]);
    board->victim_held = !operation->child && cachify_lease_held(&part.lease[OWN]);
    if (operation->child && status == CACHIFY_OK)
        board->victim_held = cachify_lease_held(&part.lease[OWN]);
    board->victim_release = cachify_release(&part.lease[OWN]);
    stepper_stand();
}

static void life_of_dead(const struct operation *operation)
{
    sem_wait(&board->dead_go);
    operation->dead();
    sem_post(&board->dead_said);
    for (;;)
        pause();
}

static void life_of_waiter(const struct operation *operation)
{
    sem_wait(&board->dead_go);
    operation->waiter();
    sem_post(&board->dead_said);
}

static void life_of_judge(const struct operation *operation)
{
    judge(operation);
}

/* ---- The stage ---- */

/* The segment is given another boot's id, as if it had outlived a reboot. */
static void age_segment(void)
{
    struct cf_header h;
    cachify_close(part.cachify);
    int fd = open(board->path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || pread(fd, &h, sizeof h, 0) != sizeof h)
        blame("setting the stage: no header");
    memset(h.boot_id, 0xb0, sizeof h.boot_id);
    h.checksum = cf_header_checksum(&h);
    if (pwrite(fd, &h, sizeof h, 0) != sizeof h)
        blame("setting the stage: no header");
    close(fd);
}

static void choose_keys(void)
{
    board->home = 1;
    key_at(board->key, board->home, 0);
    key_at(board->near_key, board->home, 1);
    key_at(board->second, (board->home + 2) % GROUPS, 0);
    key_at(board->beside[0], board->home, 2);
    key_at(board->beside[1], (board->home + 1) % GROUPS, 0);
}

static void hold_beside(void)
{
    for (unsigned i = 0; i < BESIDE; i++) {
        must_take(board->beside[i], CACHIFY_NEVER, &part.lease[i]);
        board->beside_token[i] = cachify_lease_token(&part.lease[i]);
    }
    board->witness_leases += BESIDE;
}

static void must_open(void)
{
    cachify_status_t status = open_part();
    if (status != CACHIFY_OK) {
        blame("the witness's open is %s (%s)", cachify_strerror(status), cachify_last_error());
        _exit(0);
    }
}

static void set_stage(const struct operation *operation)
{
    if (operation->no_segment)
        return;
    must_open();
    choose_keys();
    if (operation->other_boot) {
        snprintf(board->key, sizeof board->key, "old-key");
        must_take(board->key, CACHIFY_NEVER, &part.lease[0]); /* a token to go on from */
        cachify_release(&part.lease[0]);
        age_segment();
        return;
    }
    hold_beside();
    if (operation->stage != NULL)
        operation->stage();
}

/* A witness that had to come after the victim, for there was no segment for it. */
static void make_memfd(void)
{
    board->memfd = memfd_create("kill-steps", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (board->memfd <= 0)
        blame("setting the stage: memfd_create: %s", strerror(errno));
    snprintf(board->path, sizeof board->path, "/proc/self/fd/%d", board->memfd);
}

static void come_late(const struct operation *operation)
{
    static bool here;
    if ((!operation->no_segment && !operation->other_boot) || here)
        return;
    here = true;
    char key[KEY_ROOM];
    memcpy(key, board->key, sizeof key);
    must_open();
    choose_keys();
    if (operation->other_boot)
        memcpy(board->key, key, sizeof key); /* to be taken with a larger token */
    hold_beside();
}

/* ---- A run ---- */

struct cast {
    pid_t victim, dead, judge, waiter;
};

static void reap(pid_t pid)
{
    if (pid > 0)
        waitpid(pid, NULL, __WALL);
}

/* In line, and past its first short sleep: it will not be up of itself before its poll interval, or
 * the lease, is over. */
static bool sleeps_long(const struct cf_mapping *m)
{
    uint32_t i = cf_line_next(m, 0);
    if (i == CF_NO_WAITER)
        return false;
    const struct cf_waiter *w = cf_waiter_at(m, i);
    return cf_load_relaxed(&w->until) > cf_load_relaxed(&w->since) + CF_UNWATCHED_NS + CF_MS;
}

static bool falls_asleep(void)
{
    int64_t until = now_us() + 2000000;
    say(&board->dead_go);
    while (!sleeps_long(own_mapping()) && now_us() < until)
        sleep_us(200);
    sleep_us(500); /* from armed to asleep */
    return sleeps_long(own_mapping());
}

/* The key comes free at the latest with the victim's death, or its lease's end. */
static void see_waiter_served(struct cast *cast)
{
    int64_t since = now_us();
    if (cast->waiter == 0 || !hear(&board->dead_said, "the waiter"))
        return;
    int64_t took = now_us() - since - (board->fate >= STOPPED ? board->exp_ms * 1000 : 0);
    if (took > board->poll_ms * 1000 + WAITER_US)
        blame("the waiter got the key %lld us late", (long long)took - board->poll_ms * 1000);
    reap(cast->waiter);
    cast->waiter = 0;
}

static bool begin(const struct operation *operation, struct cast *cast)
{
    *cast = (struct cast){0};
    if (operation->memfd)
        make_memfd();
    board->poll_ms = operation->waiter != NULL ? 200 : 100;
    board->exp_ms = board->fate < STOPPED       ? CACHIFY_NEVER
                    : operation->waiter != NULL ? 4 * STOPPED_EXP_MS
                                                : STOPPED_EXP_MS;
    cast->judge = start(life_of_judge, operation);
    if (operation->dead != NULL)
        cast->dead = start(life_of_dead, operation);
    if (!operation->child)
        cast->victim = start(life_of_victim, operation);
    if (operation->waiter != NULL)
        cast->waiter = start(life_of_waiter, operation);
    set_stage(operation);
    if (operation->dead != NULL) {
        say(&board->dead_go);
        bool left = hear(&board->dead_said, "the dead one");
        end(cast->dead);
        cast->dead = 0;
        if (!left)
            return false;
    }
    if (operation->child)
        cast->victim = start(life_of_victim, operation);
    board->victim = cast->victim;
    if (!stepper_met(cast->victim) || !stepper_let_go(cast->victim))
        return false;
    if (operation->late != NULL)
        operation->late();
    if (operation->waiter != NULL && !falls_asleep())
        blame("setting the stage: nobody waits");
    return board->blame[0] == '\0';
}

/* The victim may have released the witness's key. */
static void look_at_hers(void)
{
    if (board->witness_has_key && !cachify_lease_held(&part.lease[HERS])) {
        board->witness_has_key = false;
        board->witness_leases--;
    }
}

static void judge_killed(const struct operation *operation, struct cast *cast)
{
    end(cast->victim);
    cast->victim = 0;
    see_waiter_served(cast);
    if (operation->worth == WITNESS_OR_FREE)
        look_at_hers();
    if (operation->settle != NULL)
        operation->settle();
    come_late(operation);
    say(&board->judge_go);
    if (hear(&board->judge_said, "the judge"))
        reap(cast->judge);
    else
        end(cast->judge);
    cast->judge = 0;
    witness_end();
}

static void judge_stopped(const struct operation *operation, struct cast *cast)
{
    if (operation->worth == WITNESS_OR_FREE)
        look_at_hers();
    if (operation->settle != NULL)
        operation->settle();
    see_waiter_served(cast);
    come_late(operation);
    say(&board->judge_go);
    if (!hear(&board->judge_said, "the judge, beside a stopped victim"))
        return;
    if (!board->done && !stepper_let_go(cast->victim))
        blame("the victim died when it went on");
    if (!stepper_let_go(cast->victim))
        blame("the victim died after its operation");
    census_idle(own_mapping(), cast->victim);
    say(&board->judge_go);
    if (!hear(&board->judge_said, "the judge, after the victim's end"))
        return;
    judge_killed(operation, cast);
}

static void play(const struct operation *operation, struct trace *trace, const struct trace *known,
                 unsigned n, enum way way)
{
    struct cast cast;
    int reached = -1;
    alarm(LONGEST_S);
    if (begin(operation, &cast)) {
        reached = 1;
        if (trace != NULL && !stepper_trace(cast.victim, board->path, trace))
            reached = -1;
        if (known != NULL)
            reached = stepper_to(cast.victim, board->path, known, n, way);
        if (reached > 0 && board->fate <= KILLED_HEIR)
            judge_killed(operation, &cast);
        else if (reached > 0)
            judge_stopped(operation, &cast);
    }
    end(cast.victim);
    end(cast.judge);
    end(cast.dead);
    end(cast.waiter);
    _exit(reached > 0 ? 0 : reached == 0 ? 2 : 3);
}

static unsigned runs;
static char file[sizeof board->path];

static void board_begin(enum fate fate)
{
    memset(board, 0, sizeof *board);
    board->fate = fate;
    snprintf(board->path, sizeof board->path, "/dev/shm/kill-steps.%07d.%07u", (int)getpid(),
             ++runs);
    memcpy(file, board->path, sizeof file);
    snprintf(board->key, sizeof board->key, "key");
    sem_init(&board->dead_go, 1, 0);
    sem_init(&board->dead_said, 1, 0);
    sem_init(&board->judge_go, 1, 0);
    sem_init(&board->judge_said, 1, 0);
}

static enum outcome run(const struct operation *operation, enum fate fate, struct trace *trace,
                        const struct trace *known, unsigned n, enum way way)
{
    int status = 0;
    board_begin(fate);
    fflush(stdout);
    pid_t runner = fork();
    if (runner == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        play(operation, trace, known, n, way);
    }
    if (runner < 0)
        return RUN_DIED;
    while (waitpid(runner, &status, 0) < 0 && errno == EINTR) {
    }
    bool whole = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    bool missed = WIFEXITED(status) && WEXITSTATUS(status) == 2;
    if (WIFSIGNALED(status))
        blame("the runner died of signal %d", WTERMSIG(status));
    unsigned litter = run_litter();
    if (whole && litter > 0)
        blame("%u files are left", litter);
    return whole ? RUN_WHOLE : missed ? RUN_MISSED : RUN_DIED;
}

enum outcome run_trace(const struct operation *operation, struct trace *trace)
{
    return run(operation, KILLED, trace, NULL, 0, BY_BREAKPOINT);
}

enum outcome run_point(const struct operation *operation, enum fate fate, const struct trace *trace,
                       unsigned n, enum way way)
{
    return run(operation, fate, NULL, trace, n, way);
}

/* The segment itself and the link that a boot's processes agree on are no litter. */
unsigned run_litter(void)
{
    unsigned litter = 0;
    const char *name = strrchr(file, '/') + 1;
    DIR *directory = opendir("/dev/shm");
    struct dirent *entry;
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        if (strncmp(entry->d_name, name, strlen(name)) != 0)
            continue;
        size_t beyond = strlen(entry->d_name) - strlen(name);
        litter += beyond != 0 && beyond != 17;
        unlinkat(dirfd(directory), entry->d_name, 0);
    }
    if (directory != NULL)
        closedir(directory);
    return litter;
}
