#include "ground/fork.h"

#include <linux/membarrier.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <urcu/urcu-bp.h>

#include "ground/os.h"

static struct cf_wiped fallback = {.lock = PTHREAD_MUTEX_INITIALIZER};
struct cf_wiped *cf_wiped = &fallback;
_Atomic bool cf_fences_full = true;
static _Atomic uint64_t last_serial; /* of this process or its nearest ancestor that called */

static long membarrier(int command)
{
    return syscall(SYS_membarrier, command, 0, 0);
}

void cf_fence_heavy(void)
{
    if (!cf_load_relaxed(&cf_fences_full) && membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) != 0) {
        /* Forbidden since the library was loaded.  From now on both are full; what other
         * threads stored before they knew is visible long before this sleep is over. */
        cf_store_relaxed(&cf_fences_full, true);
        cf_nanosleep(20 * CF_MS);
    }
    atomic_thread_fence(memory_order_seq_cst);
}

static bool all_signals_blocked(void)
{
    sigset_t now, all;
    pthread_sigmask(SIG_BLOCK, NULL, &now);
    sigfillset(&all);
    sigdelset(&all, SIGKILL);
    sigdelset(&all, SIGSTOP);
    for (int number = 1; number < 32; number++) /* of the others emulators hide some */
        if (sigismember(&all, number) == 1 && sigismember(&now, number) != 1)
            return false;
    return true;
}

/* liburcu is one for all of a process: another copy of this library (a plugin's, say), or the
 * program itself, may have locked it up for this fork already, and a second time waits for ever.
 * It does not tell, but it has then blocked all signals.  Who forks with all signals blocked of
 * his own accord goes without; that is for the worse only if another thread is inside liburcu at
 * that moment (its first call, closing an instance, the memory client's frees), and the child then
 * does one of these. */
static bool urcu_locked; /* by us; guarded by the process lock */

static void before_fork(void)
{
    cf_process_lock();
    cf_wiped->forking = true;
    urcu_locked = !all_signals_blocked();
    if (urcu_locked)
        urcu_bp_before_fork();
}

static void after_fork_parent(void)
{
    if (urcu_locked)
        urcu_bp_after_fork_parent();
    cf_wiped->forking = false;
    cf_process_unlock();
}

/* The kernel has wiped the page, unless there is only the fallback, or the kernel promised
 * and did not, as qemu-user 7.2 does. */
static void after_fork_child(void)
{
    if (urcu_locked)
        urcu_bp_after_fork_child();
    if (cf_wiped->forking) {
        cf_wiped->forking = false;
        cf_store_release(&cf_wiped->serial, 0);
        cf_process_unlock();
    }
}

/* ThreadSanitizer knows of no wiped mutex, so it gets the fallback. */
static struct cf_wiped *wiped_page(void)
{
#ifndef CF_TSAN
    void *page =
        mmap(NULL, sizeof *cf_wiped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page != MAP_FAILED && madvise(page, sizeof *cf_wiped, MADV_WIPEONFORK) == 0)
        return page;
#endif
    return &fallback;
}

__attribute__((constructor)) static void prepare(void)
{
    cf_wiped = wiped_page();
    pthread_atfork(before_fork, after_fork_parent, after_fork_child);
    cf_store_relaxed(&cf_fences_full, membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) != 0);
}

uint64_t cf_process_serial_slow(void)
{
    cf_process_lock();
    uint64_t serial = cf_load_acquire(&cf_wiped->serial);
    if (serial == 0) {
        serial = cf_add_relaxed(&last_serial, 1) + 1;
        cf_store_release(&cf_wiped->serial, serial);
    }
    cf_process_unlock();
    return serial;
}

void cf_process_lock(void)
{
    pthread_mutex_lock(&cf_wiped->lock);
}

void cf_process_unlock(void)
{
    pthread_mutex_unlock(&cf_wiped->lock);
}
