/* A set of SysV semaphores, given back by the kernel when their owner dies (SEM_UNDO). */
#include "peers/loops.h"

#include <errno.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/sem.h>

static int set = -1;

static const char *open_set(void)
{
    unsigned short ones[KEYS];
    for (unsigned i = 0; i < KEYS; i++)
        ones[i] = 1;
    union semun {
        int val;
        struct semid_ds *buf;
        unsigned short *array;
    } all = {.array = ones};
    set = semget(IPC_PRIVATE, KEYS, 0600);
    if (set >= 0)
        room_keep_semaphores(set);
    if (set < 0 || semctl(set, 0, SETALL, all) != 0)
        return "SysV semaphores of the kernel (semget failed)";
    return NULL;
}

static int add(unsigned key, short value, short flags)
{
    struct sembuf operation = {.sem_num = (unsigned short)key, .sem_op = value, .sem_flg = flags};
    return semop(set, &operation, 1);
}

static void take_key(unsigned key)
{
    while (add(key, -1, SEM_UNDO) != 0)
        if (errno != EINTR)
            fail("semop: %s", strerror(errno));
}

static void give_key(unsigned key)
{
    add(key, 1, SEM_UNDO);
}

static void take(void)
{
    take_key(0);
}

static void give(void)
{
    give_key(0);
}

static void busy(void)
{
    if (add(0, -1, SEM_UNDO | IPC_NOWAIT) == 0)
        fail("a semaphore is not busy");
}

static void ask(void)
{
    if (semctl(set, 0, GETVAL) != 1)
        fail("a semaphore is not free");
}

static const struct lock lock = {
    .take = take, .give = give, .hold = take, .take_key = take_key, .give_key = give_key};

LOCK_LOOPS

static double is_locked_loop(long n)
{
    return ns_each(n, ask);
}

const struct peer sysv_peer = {.name = "sysv_undo",
                               .open = open_set,
                               .version = version_of_kernel,
                               .lock = &lock,
                               .loop = {[PAIR] = pair_loop,
                                        [RANDOM_KEYS] = keys_loop,
                                        [BUSY] = busy_loop,
                                        [IS_LOCKED] = is_locked_loop}};
