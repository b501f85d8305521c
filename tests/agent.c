#include "agent.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/line.h"
#include "shm/liveness.h"
#include "shm/wait.h"

static struct agent agents[AGENTS];
static unsigned count;

/* ---- In the agent ---- */

cachify_status_t act_open(struct agent_self *self, const struct agent_order *order,
                          struct agent_answer *answer)
{
    (void)order;
    cachify_status_t status = cachify_open(&here.config, &self->cachify);
    if (status == CACHIFY_OK) {
        self->m = mapping_of(self->cachify);
        answer->number = (int64_t)cf_self(self->m);
    }
    return status;
}

cachify_status_t act_take(struct agent_self *self, const struct agent_order *order,
                          struct agent_answer *answer)
{
    (void)answer;
    cachify_lock_t lock = {.key = order->key,
                           .wait = order->wait,
                           .timeout_ms = order->timeout_ms,
                           .exp_ms = order->exp_ms};
    return cachify_acquire(self->cachify, &lock, &self->lease[order->lease]);
}

cachify_status_t act_release(struct agent_self *self, const struct agent_order *order,
                             struct agent_answer *answer)
{
    (void)answer;
    return cachify_release(&self->lease[order->lease]);
}

cachify_status_t act_extend(struct agent_self *self, const struct agent_order *order,
                            struct agent_answer *answer)
{
    (void)answer;
    return cachify_extend(&self->lease[order->lease], order->exp_ms);
}

cachify_status_t act_force(struct agent_self *self, const struct agent_order *order,
                           struct agent_answer *answer)
{
    (void)answer;
    return cachify_release_key(self->cachify, order->key);
}

cachify_status_t act_look(struct agent_self *self, const struct agent_order *order,
                          struct agent_answer *answer)
{
    (void)self, (void)order, (void)answer;
    return CACHIFY_OK;
}

static void describe_lease(const cachify_lease_t *lease, struct agent_answer *answer)
{
    answer->held = cachify_lease_held(lease);
    answer->token = cachify_lease_token(lease);
    answer->remaining_ms = cachify_lease_remaining_ms(lease);
    cachify_lease_origin(lease, &answer->origin);
}

void agent_serve(struct agent_self *self)
{
    struct agent_order order;
    while (recv(self->socket, &order, sizeof order, 0) == sizeof order) {
        struct agent_answer answer = {.verdict = ANSWERED};
        answer.status = order.act(self, &order, &answer);
        snprintf(answer.error, sizeof answer.error, "%s", cachify_last_error());
        describe_lease(&self->lease[order.lease], &answer);
        keep_counts();
        if (send(self->socket, &answer, sizeof answer, MSG_NOSIGNAL) != sizeof answer)
            break;
    }
    end_child();
}

/* ---- In the test ---- */

/* fork, or, for namespaces, the bare system call. */
static pid_t start(int namespaces)
{
    if (namespaces == 0)
        return fork();
    if (under_valgrind())
        return -1; /* it knows no such clone */
    return (pid_t)syscall(SYS_clone, (long)namespaces | SIGCHLD, NULL, NULL, NULL, NULL);
}

/* A new one, or that of an agent long ended. */
static struct agent *place(void)
{
    if (count < AGENTS)
        return &agents[count++];
    for (unsigned i = 0; i < AGENTS; i++)
        if (agents[i].pid == 0) {
            close(agents[i].socket);
            return &agents[i];
        }
    ck_abort_msg("more than %d agents", AGENTS);
}

struct agent *agent_start_in(int namespaces)
{
    int pair[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    fflush(NULL);
    pid_t pid = start(namespaces);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(pair[0]);
        for (unsigned i = 0; i < count; i++)
            if (agents[i].socket > 0)
                close(agents[i].socket);
        static struct agent_self self;
        self.socket = pair[1];
        agent_serve(&self);
    }
    close(pair[1]);
    if (pid < 0) {
        close(pair[0]);
        return NULL;
    }
    struct agent *agent = place();
    *agent = (struct agent){.pid = pid, .socket = pair[0]};
    return agent;
}

struct agent *agent_start_idle(void)
{
    struct agent *agent = agent_start_in(0);
    ck_assert_ptr_nonnull(agent);
    return agent;
}

struct agent *agent_start(void)
{
    struct agent *agent = agent_start_idle();
    struct agent_answer answer = agent_open(agent);
    ck_assert_msg(answer.verdict == ANSWERED && answer.status == CACHIFY_OK,
                  "an agent could not open %s: %s", here.path, answer.error);
    return agent;
}

static const struct agent_answer dead = {.verdict = AGENT_DIED, .status = NO_ANSWER};

/* Whether its main thread sleeps, whatever for. */
static bool is_asleep(pid_t pid)
{
    char name[64], text[512] = "";
    snprintf(name, sizeof name, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(name, "r");
    if (file == NULL)
        return true; /* nothing is told here */
    size_t n = fread(text, 1, sizeof text - 1, file);
    text[n] = '\0';
    fclose(file);
    const char *end = strrchr(text, ')');
    return end != NULL && end[1] == ' ' && end[2] == 'S';
}

struct cf_waiter *agent_waiter(const struct agent *agent)
{
    for (uint32_t i = cf_line_next(here.m, 0); i != CF_NO_WAITER; i = cf_line_next(here.m, i + 1)) {
        struct cf_waiter *w = cf_waiter_at(here.m, i);
        if (cf_load_acquire(&w->owner) == agent->owner &&
            cf_load_relaxed(&w->hash) == agent->hash && cf_load_acquire(&w->until) != 0)
            return w;
    }
    return NULL;
}

/* In line and armed, and then asleep: a waiter has nothing else to sleep for. */
static bool is_waiting(const struct agent *agent)
{
    return agent_waiter(agent) != NULL && is_asleep(agent->pid);
}

static bool is_settled(const struct agent *agent)
{
    const struct cf_waiter *w = agent_waiter(agent);
    return w != NULL && cf_load_relaxed(&w->until) > cf_now(here.m) + 2 * CF_UNWATCHED_NS &&
           is_asleep(agent->pid);
}

void agent_settle(const struct agent *agent)
{
    EVENTUALLY(is_settled(agent), LONG_MS);
}

/* Waits for an answer; or, if the order may block, until it does. */
static struct agent_answer verdict(struct agent *agent, bool may_block)
{
    struct agent_answer answer = dead;
    struct pollfd ready = {.fd = agent->socket, .events = POLLIN};
    for (int64_t until = now_ms() + LONG_MS; now_ms() < until;) {
        if (poll(&ready, 1, may_block ? 1 : 100) > 0) {
            agent->waiting = false;
            bool whole = recv(agent->socket, &answer, sizeof answer, 0) == sizeof answer;
            return whole ? answer : dead;
        }
        if (may_block && is_waiting(agent)) {
            answer.verdict = WOULD_BLOCK;
            agent->waiting = true;
            return answer;
        }
    }
    ck_abort_msg("agent %d neither answered, nor slept, nor died", (int)agent->pid);
}

bool agent_tell(struct agent *agent, const struct agent_order *order)
{
    ck_assert_msg(!agent->waiting, "agent %d is still busy", (int)agent->pid);
    agent->hash = order->wait ? hash_of(order->key) : 0;
    return send(agent->socket, order, sizeof *order, MSG_NOSIGNAL) == sizeof *order;
}

struct agent_answer agent_do(struct agent *agent, const struct agent_order *order)
{
    if (!agent_tell(agent, order))
        return dead;
    return verdict(agent, order->wait);
}

struct agent_answer agent_finish(struct agent *agent)
{
    return verdict(agent, false);
}

bool agent_is_busy(const struct agent *agent)
{
    return agent->waiting &&
           poll(&(struct pollfd){.fd = agent->socket, .events = POLLIN}, 1, 0) == 0;
}

struct agent_answer agent_run(struct agent *agent, agent_act *act, int64_t number)
{
    return agent_do(agent, &(struct agent_order){.act = act, .number = number});
}

struct agent_answer agent_open(struct agent *agent)
{
    struct agent_answer answer = agent_run(agent, act_open, 0);
    agent->owner = (uint64_t)answer.number;
    return answer;
}

static struct agent_order with_key(agent_act *act, const char *key)
{
    struct agent_order order = {.act = act};
    snprintf(order.key, sizeof order.key, "%s", key);
    return order;
}

struct agent_answer agent_take(struct agent *agent, const char *key, int64_t exp_ms)
{
    struct agent_order order = with_key(act_take, key);
    order.exp_ms = exp_ms;
    return agent_do(agent, &order);
}

struct agent_answer agent_wait(struct agent *agent, const char *key, int64_t timeout_ms,
                               int64_t exp_ms)
{
    struct agent_order order = with_key(act_take, key);
    order.wait = true;
    order.timeout_ms = timeout_ms;
    order.exp_ms = exp_ms;
    return agent_do(agent, &order);
}

struct agent *agent_in_line(const char *key)
{
    struct agent *agent = agent_start();
    struct agent_answer answer = agent_wait(agent, key, 0, 0);
    ck_assert_msg(answer.verdict == WOULD_BLOCK, "answered %s", status_name(answer.status));
    agent_settle(agent);
    return agent;
}

struct agent_answer agent_release(struct agent *agent)
{
    return agent_run(agent, act_release, 0);
}

struct agent_answer agent_extend(struct agent *agent, int64_t exp_ms)
{
    return agent_do(agent, &(struct agent_order){.act = act_extend, .exp_ms = exp_ms});
}

struct agent_answer agent_force(struct agent *agent, const char *key)
{
    struct agent_order order = with_key(act_force, key);
    return agent_do(agent, &order);
}

struct agent_answer agent_look(struct agent *agent)
{
    return agent_run(agent, act_look, 0);
}

/* ---- Life and death ---- */

/* That somebody lives is believed for a millisecond without asking again. */
static void outlast_belief(void)
{
    cf_nanosleep(2 * CF_ALIVE_NS);
}

void agent_reap(struct agent *agent)
{
    if (agent->pid > 0)
        waitpid(agent->pid, NULL, 0);
    agent->pid = 0;
    outlast_belief();
}

void agent_kill_unreaped(struct agent *agent)
{
    siginfo_t info;
    send_signal(agent->pid, SIGKILL);
    while (waitid(P_PID, (id_t)agent->pid, &info, WEXITED | WNOWAIT) != 0 && errno == EINTR) {
    }
    outlast_belief();
}

void agent_kill(struct agent *agent)
{
    send_signal(agent->pid, SIGKILL);
    agent_reap(agent);
}

void agent_stop(struct agent *agent)
{
    int status;
    send_signal(agent->pid, SIGSTOP);
    ck_assert_int_eq(waitpid(agent->pid, &status, WUNTRACED), agent->pid);
    ck_assert_msg(WIFSTOPPED(status), "agent %d did not stop", (int)agent->pid);
}

void agent_continue(struct agent *agent)
{
    send_signal(agent->pid, SIGCONT);
}

void agents_end(void)
{
    for (unsigned i = 0; i < count; i++) {
        if (agents[i].pid > 0)
            agent_kill(&agents[i]);
        close(agents[i].socket);
        agents[i] = (struct agent){0};
    }
    count = 0;
}
