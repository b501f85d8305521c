/* What takes the place of lib/ground/atomics.h's accesses in the stepped build of the
 * library: the same ones, each after a call into the scheduler.  Address and value are made
 * first, so that accesses within them come before, as on the machine. */
#ifndef CF_INTERLEAVE_STEPPED_H
#define CF_INTERLEAVE_STEPPED_H

enum step_kind { STEP_LOAD, STEP_STORE, STEP_ADD, STEP_CAS };

/* Before an access of size bytes at p; value: to be stored, added or swapped in. */
void cf_step(const volatile void *p, enum step_kind kind, unsigned size, uint64_t value,
             const char *where);
/* Where a loop lets time pass for another to go on. */
void cf_step_pause(const char *where);

#define STEP_TEXT_(x) #x
#define STEP_TEXT(x) STEP_TEXT_(x)
#define STEP_WHERE __FILE__ ":" STEP_TEXT(__LINE__)

#define STEP_READ(p, order)                                                                        \
    __extension__({                                                                                \
        __auto_type step_p = (p);                                                                  \
        cf_step(step_p, STEP_LOAD, sizeof *step_p, 0, STEP_WHERE);                                 \
        atomic_load_explicit(step_p, order);                                                       \
    })
#define STEP_WRITE(kind, call, p, v, order)                                                        \
    __extension__({                                                                                \
        __auto_type step_p = (p);                                                                  \
        __auto_type step_v = (v);                                                                  \
        cf_step(step_p, kind, sizeof *step_p, (uint64_t)step_v, STEP_WHERE);                       \
        call(step_p, step_v, order);                                                               \
    })
#define STEP_SWAP(call, p, e, d)                                                                   \
    __extension__({                                                                                \
        __auto_type step_p = (p);                                                                  \
        __auto_type step_e = (e);                                                                  \
        __auto_type step_d = (d);                                                                  \
        cf_step(step_p, STEP_CAS, sizeof *step_p, (uint64_t)step_d, STEP_WHERE);                   \
        call(step_p, step_e, step_d);                                                              \
    })

#undef cf_load_relaxed
#undef cf_load_acquire
#undef cf_load_seq
#undef cf_store_relaxed
#undef cf_store_release
#undef cf_add_seq
#undef cf_add_relaxed
#undef cf_or_seq
#undef cf_and_seq
#undef cf_exchange_seq
#define cf_load_relaxed(p) STEP_READ(p, memory_order_relaxed)
#define cf_load_acquire(p) STEP_READ(p, memory_order_acquire)
#define cf_load_seq(p) STEP_READ(p, memory_order_seq_cst)
#define cf_store_relaxed(p, v)                                                                     \
    STEP_WRITE(STEP_STORE, atomic_store_explicit, p, v, memory_order_relaxed)
#define cf_store_release(p, v)                                                                     \
    STEP_WRITE(STEP_STORE, atomic_store_explicit, p, v, memory_order_release)
#define cf_add_seq(p, v) STEP_WRITE(STEP_ADD, atomic_fetch_add_explicit, p, v, memory_order_seq_cst)
#define cf_add_relaxed(p, v)                                                                       \
    STEP_WRITE(STEP_ADD, atomic_fetch_add_explicit, p, v, memory_order_relaxed)
#define cf_or_seq(p, v) STEP_WRITE(STEP_ADD, atomic_fetch_or_explicit, p, v, memory_order_seq_cst)
#define cf_and_seq(p, v) STEP_WRITE(STEP_ADD, atomic_fetch_and_explicit, p, v, memory_order_seq_cst)
#define cf_exchange_seq(p, v)                                                                      \
    STEP_WRITE(STEP_STORE, atomic_exchange_explicit, p, v, memory_order_seq_cst)

/* The functions themselves are meant within the parentheses. */
#define cf_cas64(p, e, d) STEP_SWAP((cf_cas64), p, e, d)
#define cf_cas32(p, e, d) STEP_SWAP((cf_cas32), p, e, d)
#define cf_try64(p, e, d) STEP_SWAP((cf_try64), p, e, d)
#define cf_try32(p, e, d) STEP_SWAP((cf_try32), p, e, d)
#define cf_pause() cf_step_pause(STEP_WHERE)

#endif
