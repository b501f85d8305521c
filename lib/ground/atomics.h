/* Atomic accesses by names that say their order.  The edges E1 to E10 of
 * lib/shm/README.md are cited where they are used. */
#ifndef CF_GROUND_ATOMICS_H
#define CF_GROUND_ATOMICS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define cf_load_relaxed(p) atomic_load_explicit(p, memory_order_relaxed)
#define cf_load_acquire(p) atomic_load_explicit(p, memory_order_acquire)
#define cf_load_seq(p) atomic_load_explicit(p, memory_order_seq_cst)
#define cf_store_relaxed(p, v) atomic_store_explicit(p, v, memory_order_relaxed)
#define cf_store_release(p, v) atomic_store_explicit(p, v, memory_order_release)
#define cf_add_seq(p, v) atomic_fetch_add_explicit(p, v, memory_order_seq_cst)
#define cf_add_relaxed(p, v) atomic_fetch_add_explicit(p, v, memory_order_relaxed)
#define cf_or_seq(p, v) atomic_fetch_or_explicit(p, v, memory_order_seq_cst)
#define cf_and_seq(p, v) atomic_fetch_and_explicit(p, v, memory_order_seq_cst)
#define cf_exchange_seq(p, v) atomic_exchange_explicit(p, v, memory_order_seq_cst)

#if defined(__SANITIZE_THREAD__)
#define CF_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CF_TSAN 1
#endif
#endif

/* ThreadSanitizer has no model of fences.  The fences here only keep copies whole that
 * are made of atomic loads, so nothing is hidden from it by leaving them out. */
#ifdef CF_TSAN
#define cf_fence_acquire() ((void)0)
#define cf_fence_release() ((void)0)
#else
#define cf_fence_acquire() atomic_thread_fence(memory_order_acquire)
#define cf_fence_release() atomic_thread_fence(memory_order_release)
#endif

/* Every compare-and-swap of the protocol is sequentially consistent, failed ones acquire:
 * several edges (E5 to E7) need it, and none is slower for it on the machines at hand.  An
 * acquire load after one is not ordered by it (lib/shm/EDGES.md); cf_load_seq is. */
static inline bool cf_cas64(_Atomic uint64_t *p, uint64_t expected, uint64_t desired)
{
    return atomic_compare_exchange_strong_explicit(p, &expected, desired, memory_order_seq_cst,
                                                   memory_order_acquire);
}

static inline bool cf_cas32(_Atomic uint32_t *p, uint32_t expected, uint32_t desired)
{
    return atomic_compare_exchange_strong_explicit(p, &expected, desired, memory_order_seq_cst,
                                                   memory_order_acquire);
}

/* For loops: may fail for no reason.  *expected: what was found, then. */
static inline bool cf_try64(_Atomic uint64_t *p, uint64_t *expected, uint64_t desired)
{
    return atomic_compare_exchange_weak(p, expected, desired);
}

static inline bool cf_try32(_Atomic uint32_t *p, uint32_t *expected, uint32_t desired)
{
    return atomic_compare_exchange_weak(p, expected, desired);
}

static inline void cf_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* A test that decides before each access who goes on (tests/interleave) puts its own in
 * the place of all these. */
#ifdef CF_STEPPED
#include CF_STEPPED
#endif

#endif
