/* Functions under a lock whose key comes from their arguments.  Included by
 * <cachify/cachify.h>.
 *
 *     static void ship(const cachify_call_t *call)
 *     {
 *         int64_t order = call->args[0].as.i;
 *         ...
 *         *(bool *)call->result = true;
 *     }
 *
 *     const char *names[] = {"order", "warehouse"};
 *     cachify_lock_t lock = {.key = "ship-{order}", .exp_ms = 60000};
 *     cachify_wrap_options_t options = {
 *         .function = ship, .parameters = names, .parameter_count = 2, .lock = &lock};
 *     cachify_wrap(NULL, &options, &shipping);
 *
 *     cachify_arg_t args[] = {cachify_int(4711), cachify_string("north")};
 *     status = cachify_wrap_call(shipping, args, 2, &shipped);  // holds PYC-ship-4711-lock
 *
 * Templates are those of Python's str.format: {name}, {0}, {} for the next, {{ and }} for
 * braces.  A value is written as Python writes it: 4711, 0.1, 1e+16, True, text as it is.  So a
 * template of text alone can give two lists of arguments one key: "{a}-{b}" makes x-y-z of
 * ("x-y", "z") and of ("x", "y-z").  {a!r} writes text in quotes, with what is in it escaped, as
 * Python does for ASCII: "{a!r}-{b!r}" never does that, nor takes the text "1" for the number.
 */
#ifndef CACHIFY_WRAP_H
#define CACHIFY_WRAP_H

#include <cachify/cachify.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum cachify_arg_type {
    CACHIFY_ARG_STRING = 1,
    CACHIFY_ARG_INT = 2,
    CACHIFY_ARG_UINT = 3,
    CACHIFY_ARG_DOUBLE = 4,
    CACHIFY_ARG_BOOL = 5
} cachify_arg_type_t;

typedef struct cachify_arg {
    uint32_t type; /* cachify_arg_type_t */
    uint32_t len;  /* bytes of a string; 0: up to its NUL */
    union {
        const char *s;
        int64_t i;
        uint64_t u;
        double d;
        bool b;
    } as;
} cachify_arg_t;

/* For C; languages that cannot take a union by value fill the struct themselves. */
CACHIFY_API cachify_arg_t cachify_string(const char *s);
CACHIFY_API cachify_arg_t cachify_int(int64_t i);
CACHIFY_API cachify_arg_t cachify_uint(uint64_t u);
CACHIFY_API cachify_arg_t cachify_double(double d);
CACHIFY_API cachify_arg_t cachify_bool(bool b);

/* One call of a wrapped function, as the function sees it. */
typedef struct cachify_call {
    const cachify_arg_t *args; /* parameter_count of them */
    uint32_t count;
    uint32_t reserved;
    cachify_lease_t *lease; /* of the lock that is held: to extend, or to ask for its token; a
                               function may release it early */
    void *context;          /* as given to cachify_wrap */
    void *result;           /* as given to cachify_wrap_call */
} cachify_call_t;

typedef void cachify_function_t(const cachify_call_t *call);

typedef struct cachify_wrap_options {
    uint32_t size; /* sizeof(cachify_wrap_options_t), or 0 */
    uint32_t flags;
    cachify_function_t *function;
    void *context;                 /* handed to the function */
    const char *const *parameters; /* their names, in order: letters, digits and _ */
    uint32_t parameter_count;      /* at most 64 */
    uint32_t result_size;          /* bytes of result_if_locked */
    const cachify_lock_t *lock;    /* key: the template; all other options as usual */
    const void *result_if_locked;  /* with CACHIFY_ONCE: what the result is if the lock is busy,
                                      and the call is OK; NULL: the call is LOCKED or TIMEOUT */
} cachify_wrap_options_t;

/* The function is one that need not run twice at once: "-once" instead of "-lock" is appended
 * to the key, and a busy lock may be no error (result_if_locked). */
#define CACHIFY_ONCE 1u

typedef struct cachify_wrapped cachify_wrapped_t;

/* Wrap a function.  What options points to is copied, but for context.  NULL instance: the
 * global one of the time of each call; another has to stay open.  OK; INVALID: an option, or
 * the template, with template, field and parameters named; NO_MEMORY. */
CACHIFY_API cachify_status_t cachify_wrap(cachify_t *instance,
                                          const cachify_wrap_options_t *options,
                                          cachify_wrapped_t **wrapped);

/* Call it: fill the template, acquire, call, release.  The function was called if the answer is
 * OK (but for result_if_locked) or LOST: that the lease had ended before it came back, or, in a
 * forked child that came back from it, was its parent's, or that its release failed.  Else as
 * cachify_acquire; NO_MEMORY; INVALID also for other than parameter_count arguments.  result is the function's: its type, its place, NULL
 * if it has none.
 * The lock is released when the function returns, when its thread is cancelled or exits in it
 * (pthread_cleanup_push), and when an exception leaves it (by the same, with glibc).  Who leaves it by
 * longjmp has to say so (cachify_wrap_unwind), or holds it until it expires or the thread ends.
 * Any number of threads may call one at a time, and a function may call others. */
CACHIFY_API cachify_status_t cachify_wrap_call(const cachify_wrapped_t *wrapped,
                                               const cachify_arg_t *args, uint32_t count,
                                               void *result);

/* For longjmp.  mark: a number for now.  unwind: give back what was acquired by those calls of
 * this thread that began after the mark and have not returned; OK, or LOST as release.
 *
 *     uint64_t mark = cachify_wrap_mark();
 *     if (setjmp(env) != 0)
 *         cachify_wrap_unwind(mark);
 */
CACHIFY_API uint64_t cachify_wrap_mark(void);
CACHIFY_API cachify_status_t cachify_wrap_unwind(uint64_t mark);

/* By the same arguments.  is_locked, release: as cachify_is_locked, cachify_release_key.
 * key: the key without the instance's prefix, NUL-terminated; *room: bytes of key on entry, its
 * length on return; INVALID if that is not enough; KEY_TOO_LONG beyond 4096. */
CACHIFY_API cachify_status_t cachify_wrap_is_locked(const cachify_wrapped_t *wrapped,
                                                    const cachify_arg_t *args, uint32_t count,
                                                    bool *locked);
CACHIFY_API cachify_status_t cachify_wrap_release(const cachify_wrapped_t *wrapped,
                                                  const cachify_arg_t *args, uint32_t count);
CACHIFY_API cachify_status_t cachify_wrap_key(const cachify_wrapped_t *wrapped,
                                              const cachify_arg_t *args, uint32_t count, char *key,
                                              size_t *room);

/* For languages that cannot read this file: defaults, size included. */
CACHIFY_API void cachify_wrap_options_init(cachify_wrap_options_t *options);

/* Not while it is called.  OK, also for NULL. */
CACHIFY_API cachify_status_t cachify_wrap_free(cachify_wrapped_t *wrapped);

#ifdef __cplusplus
}
#endif

#endif
