/* Clocks, identity, and what went wrong. */
#ifndef CR_SYSTEM_H
#define CR_SYSTEM_H

#include <stdbool.h>
#include <stdint.h>

#include <cachify/client.h>

#define CR_MS UINT64_C(1000000)

/* A failure as it goes from where it is found to where the call reports it. */
struct cr_failure {
    cachify_status_t status;
    char text[480];
};

/* Fills it; returns status. */
cachify_status_t cr_fail(struct cr_failure *f, cachify_status_t status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
cachify_status_t cr_report(const struct cr_failure *f);

uint64_t cr_now_ns(void); /* CLOCK_MONOTONIC */

/* CLOCK_BOOTTIME, which leases are counted by: the server's clock goes on while this machine is
 * suspended. */
uint64_t cr_lease_now_ns(void);

/* What is left until then, for poll(2): rounded up, 0 when it is over. */
int cr_left_ms(uint64_t until);

/* False if the system gives none. */
bool cr_random(uint64_t *bits, unsigned words);

/* This process's main thread's name and this host's, without blanks and what is not printable.
 * NUL-terminated. */
void cr_command(char command[16]);
void cr_host(char host[64]);

/* Differs between a process and its children. */
struct cr_process {
    uint64_t forks;
    int64_t pid;
};
struct cr_process cr_process(void);
bool cr_is_process(const struct cr_process *process);

/* Called in each child made by fork(2) from now on. */
void cr_count_fork(void);

#endif
