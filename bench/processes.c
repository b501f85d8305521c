/* Two processes at one thing. */
#include "bench.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* Between the two, in shared memory. */
struct meeting {
    _Atomic int ready;
    _Atomic int go; /* 1: begin; 2: stop */
    _Atomic long done;
    _Atomic uint64_t stamp; /* when the lock was given, then how long it took */
    _Atomic int state;
};

static struct meeting *meet(void)
{
    struct meeting *m =
        mmap(NULL, sizeof *m, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (m == MAP_FAILED) {
        perror("bench: mmap");
        exit(1);
    }
    return m;
}

static void join(pid_t child)
{
    int status;
    if (waitpid(child, &status, 0) != child || status != 0) {
        fprintf(stderr, "bench: the second process failed\n");
        subjects_close();
        exit(1);
    }
}

double in_two_processes(void (*step)(void), long ms)
{
    struct meeting *m = meet();
    pid_t children[2];
    for (int i = 0; i < 2; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            step(); /* registers, opens */
            m->ready++;
            while (m->go == 0) {
            }
            long done = 0;
            for (; m->go == 1; done++)
                step();
            m->done += done;
            _exit(0);
        }
    }
    while (m->ready < 2)
        usleep(100);
    uint64_t begin = now_ns();
    m->go = 1;
    usleep((unsigned)ms * 1000);
    m->go = 2;
    uint64_t end = now_ns();
    join(children[0]);
    join(children[1]);
    double ns = (double)(end - begin) / (double)m->done;
    munmap(m, sizeof *m);
    return ns;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

enum { IDLE, GIVEN_UP, WAITING, HAS_IT, OVER };

static void sleeper(struct meeting *m, void (*take)(void), void (*give)(void))
{
    for (;;) {
        while (m->state != GIVEN_UP && m->state != OVER)
            usleep(50);
        if (m->state == OVER)
            _exit(0);
        m->state = WAITING;
        take();
        m->stamp = now_ns() - m->stamp;
        give();
        m->state = HAS_IT;
    }
}

double hand_over(void (*take)(void), void (*give)(void), long n)
{
    struct meeting *m = meet();
    double *samples = calloc((size_t)n, sizeof *samples);
    if (samples == NULL)
        exit(1);
    pid_t child = fork();
    if (child == 0)
        sleeper(m, take, give);
    for (long i = 0; i < n; i++) {
        take();
        m->state = GIVEN_UP;
        while (m->state != WAITING)
            usleep(50);
        usleep(2000); /* asleep by then, whoever it is */
        m->stamp = now_ns();
        give();
        while (m->state != HAS_IT)
            usleep(50);
        samples[i] = (double)m->stamp;
    }
    m->state = OVER;
    join(child);
    qsort(samples, (size_t)n, sizeof *samples, by_value);
    double median = samples[n / 2];
    free(samples);
    munmap(m, sizeof *m);
    return median;
}
