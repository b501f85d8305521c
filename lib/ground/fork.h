/* Which process this is, in the eyes of memory that fork copies. */
#ifndef CF_GROUND_FORK_H
#define CF_GROUND_FORK_H

#include <pthread.h>

#include "ground/atomics.h"

/* What a child must find as if new: a page that the kernel wipes in every child
 * (MADV_WIPEONFORK), after a raw clone too. */
struct cf_wiped {
    _Atomic uint64_t serial; /* 0: this process has not called yet */
    pthread_mutex_t lock;    /* all zero is unlocked */
    bool forking;            /* fork() is under way: guarded by lock */
};
extern struct cf_wiped *cf_wiped;

uint64_t cf_process_serial_slow(void);

/* A number that differs between a process and its children, however they were made.
 * Never 0. */
static inline uint64_t cf_process_serial(void)
{
    uint64_t serial = cf_load_acquire(&cf_wiped->serial);
    return __builtin_expect(serial != 0, 1) ? serial : cf_process_serial_slow();
}

/* The process-wide lock of the slow paths: registration, lists of instances and threads.
 * fork() waits for it, so a child finds it free and what it guards whole; and no child
 * inherits the descriptor that a registration opens and closes under it. */
void cf_process_lock(void);
void cf_process_unlock(void);

/* A pair of fences between threads of this process, of which the frequent one is nearly
 * free: store, light fence, load here; store, heavy fence, load there; then one of the two
 * sees the other's store.  membarrier(2) makes it so; without it both are full fences. */
extern _Atomic bool cf_fences_full;
void cf_fence_heavy(void);

static inline void cf_fence_light(void)
{
    atomic_signal_fence(memory_order_seq_cst);
    if (__builtin_expect(cf_load_relaxed(&cf_fences_full), 0))
        atomic_thread_fence(memory_order_seq_cst);
}

#endif
