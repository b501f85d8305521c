#include "confine.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(field))
#define NUMBER offsetof(struct seccomp_data, nr)
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define REFUSE(error) BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)(error))

static bool install(struct sock_filter *filter, unsigned count)
{
    struct sock_fprog program = {.len = (unsigned short)count, .filter = filter};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

bool forbid_call(int number, int error)
{
    struct sock_filter filter[] = {
        LOAD(NUMBER),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 1),
        REFUSE(error),
        ALLOW,
    };
    return install(filter, sizeof filter / sizeof filter[0]);
}

bool forbid_flags(int number, unsigned which, unsigned flags, int error)
{
    struct sock_filter filter[] = {
        LOAD(NUMBER),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 3),
        LOAD(offsetof(struct seccomp_data, args) + which * sizeof(uint64_t)), /* its low half */
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, flags, 0, 1),
        REFUSE(error),
        ALLOW,
    };
    return install(filter, sizeof filter / sizeof filter[0]);
}

bool allow_only(const int *numbers, unsigned count)
{
    struct sock_filter filter[64] = {LOAD(NUMBER)};
    unsigned n = 1;
    for (unsigned i = 0; i < count && n + 3 < 64; i++) {
        filter[n++] =
            (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)numbers[i], 0, 1);
        filter[n++] = (struct sock_filter)ALLOW;
    }
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    return install(filter, n);
}
