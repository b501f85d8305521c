#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

#define CROWD 128

struct member {
    pthread_t thread;
    pthread_barrier_t *gate;
    crowd_act *act;
    void *context;
    unsigned number;
    int64_t result;
};

static void *be_member(void *given)
{
    struct member *member = given;
    pthread_barrier_wait(member->gate);
    member->result = member->act(member->number, member->context);
    return NULL;
}

void threads_together(unsigned n, crowd_act *act, void *context, int64_t *results)
{
    struct member members[CROWD];
    pthread_barrier_t gate;
    ck_assert_uint_le(n, CROWD);
    pthread_barrier_init(&gate, NULL, n);
    for (unsigned i = 0; i < n; i++) {
        members[i] = (struct member){.gate = &gate, .act = act, .context = context, .number = i};
        int error = pthread_create(&members[i].thread, NULL, be_member, &members[i]);
        ck_assert_int_eq(error, 0);
    }
    for (unsigned i = 0; i < n; i++) {
        pthread_join(members[i].thread, NULL);
        if (results != NULL)
            results[i] = members[i].result;
    }
    pthread_barrier_destroy(&gate);
}

#ifdef CF_COVERAGE
void __gcov_dump(void);
void __gcov_reset(void);
#endif

void keep_counts(void)
{
#ifdef CF_COVERAGE
    __gcov_dump();
    __gcov_reset();
#endif
}

_Noreturn void end_child(void)
{
    keep_counts();
    for (;;)
        kill(getpid(), SIGKILL);
}

void send_signal(pid_t pid, int number)
{
    ck_assert_int_gt(pid, 1);
    ck_assert_msg(kill(pid, number) == 0, "signal %d to %d: %s", number, (int)pid, strerror(errno));
}

void *shared(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(memory, MAP_FAILED);
    return memory;
}

struct gate {
    _Atomic unsigned ready;
    _Atomic bool open;
    _Atomic bool told[CROWD];
    int64_t result[CROWD];
};

static pid_t start_child(struct gate *gate, unsigned i, crowd_act *act, void *context)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    cf_add_seq(&gate->ready, 1);
    while (!cf_load_acquire(&gate->open))
        sched_yield();
    gate->result[i] = act(i, context);
    cf_store_release(&gate->told[i], true);
    end_child();
}

void processes_together(unsigned n, crowd_act *act, void *context, int64_t *results)
{
    pid_t pids[CROWD];
    ck_assert_uint_le(n, CROWD);
    struct gate *gate = shared(sizeof *gate);
    fflush(NULL);
    for (unsigned i = 0; i < n; i++) {
        pids[i] = start_child(gate, i, act, context);
        ck_assert_int_gt(pids[i], 0);
    }
    EVENTUALLY(cf_load_acquire(&gate->ready) == n, LONG_MS);
    cf_store_release(&gate->open, true);
    for (unsigned i = 0; i < n; i++) {
        ck_assert_int_eq(waitpid(pids[i], NULL, 0), pids[i]);
        if (results != NULL)
            results[i] = gate->told[i] ? gate->result[i] : -1;
    }
    munmap(gate, sizeof *gate);
}
