/* A second process that does what a test orders, and its answers.  It is a child made by fork
 * that opens the test's segment for itself.  "It would have blocked" and "it died" are answers
 * too, so no test sleeps and hopes.  (After the external agent of Samba's TDB tests.)
 */
#ifndef CF_TESTS_AGENT_H
#define CF_TESTS_AGENT_H

#include <sys/types.h>

#include "support.h"

#define AGENTS 80
#define AGENT_LEASES 256
#define NO_ANSWER ((cachify_status_t)-1)

enum verdict {
    ANSWERED,
    WOULD_BLOCK, /* asleep, in line for the key it was told to acquire */
    AGENT_DIED,
};

struct agent_answer {
    enum verdict verdict;
    cachify_status_t status; /* NO_ANSWER if it died */
    bool held;               /* of the lease it was about, afterwards: cachify_lease_held */
    uint64_t token;          /* likewise */
    int64_t remaining_ms;
    cachify_origin_t origin;
    int64_t number; /* of its own acts */
    char error[512];
};

/* What an act sees in the agent. */
struct agent_self {
    cachify_t *cachify;
    struct cf_mapping *m;
    cachify_lease_t lease[AGENT_LEASES];
    int socket; /* the only descriptor that it must not close */
};

/* An order is a function to be called in the agent. */
struct agent_order;
typedef cachify_status_t agent_act(struct agent_self *self, const struct agent_order *order,
                                   struct agent_answer *answer);
struct agent_order {
    agent_act *act;
    unsigned lease; /* which one of its leases */
    bool wait;
    int64_t timeout_ms;
    int64_t exp_ms;
    int64_t number;
    char key[PATH_ROOM];
};

/* What an agent does all its life, for acts that go on in another thread. */
_Noreturn void agent_serve(struct agent_self *self);

struct agent {
    pid_t pid; /* 0: ended and reaped */
    int socket;
    uint64_t owner; /* cf_owner, by which it is known as a waiter */
    uint64_t hash;  /* of the key of the order under way */
    bool waiting;   /* an order is under way that may block */
};

/* Start one; with here.config opened, or with nothing opened. */
struct agent *agent_start(void);
struct agent *agent_start_idle(void);
/* An idle one in new namespaces (CLONE_NEWPID and the like); NULL where that is not permitted. */
struct agent *agent_start_in(int namespaces);

/* Give an order and wait for its verdict. */
struct agent_answer agent_do(struct agent *agent, const struct agent_order *order);
struct agent_answer agent_run(struct agent *agent, agent_act *act, int64_t number);
/* Give it and do not wait; false if the agent is dead. */
bool agent_tell(struct agent *agent, const struct agent_order *order);
/* The verdict on an order that would have blocked: now it has to be an answer, or death. */
struct agent_answer agent_finish(struct agent *agent);
/* Returns when it sleeps longer than the first short sleep of a wait: it will not be up again
 * of itself before its poll interval, its timeout, or the lease's end. */
void agent_settle(const struct agent *agent);
/* Its entry in the line, once it was armed; NULL if it has none. */
struct cf_waiter *agent_waiter(const struct agent *agent);
/* Whether such an order is still without an answer. */
bool agent_is_busy(const struct agent *agent);

/* Orders in one line, with the agent's lease 0. */
struct agent_answer agent_open(struct agent *agent); /* here.config */
struct agent_answer agent_take(struct agent *agent, const char *key, int64_t exp_ms);
struct agent_answer agent_wait(struct agent *agent, const char *key, int64_t timeout_ms,
                               int64_t exp_ms);
struct agent_answer agent_release(struct agent *agent);
/* A new one that waits for the key, settled. */
struct agent *agent_in_line(const char *key);
struct agent_answer agent_extend(struct agent *agent, int64_t exp_ms);
struct agent_answer agent_force(struct agent *agent, const char *key);
struct agent_answer agent_look(struct agent *agent); /* asks about its lease */

/* Acts for orders. */
agent_act act_open, act_take, act_release, act_extend, act_force, act_look;

/* Dead when they return, and dead for whoever asks then. */
void agent_kill(struct agent *agent);          /* SIGKILL, and reaped */
void agent_kill_unreaped(struct agent *agent); /* a zombie */
void agent_reap(struct agent *agent);
void agent_stop(struct agent *agent); /* SIGSTOP: returns when it stands */
void agent_continue(struct agent *agent);
void agents_end(void); /* all, at the end of a test */

#endif
