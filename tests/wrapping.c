#include "wrapping.h"

static const char *const names[] = {"arg"};

static void function(const cachify_call_t *call)
{
    struct seen *s = call->context;
    s->calls++;
    s->arg = call->args[0].as.i;
    s->locked = is_locked(s->key);
    s->held = cachify_lease_held(call->lease);
    s->has_lease = cachify_lease_token(call->lease) != 0;
    if (s->also != NULL)
        s->also(call);
    if (call->result != NULL)
        *(int *)call->result = (int)s->arg + 1;
}

struct seen seen;
cachify_wrapped_t *wrapped;

cachify_wrap_options_t wrap_options(const cachify_lock_t *lock)
{
    return (cachify_wrap_options_t){.function = function,
                                    .context = &seen,
                                    .parameters = names,
                                    .parameter_count = 1,
                                    .lock = lock};
}

void wrap_again(cachify_lock_t lock, uint32_t flags)
{
    cachify_wrap_options_t o = wrap_options(&lock);
    assert_ok(cachify_wrap_free(wrapped));
    o.flags = flags;
    assert_ok(cachify_wrap(here.cachify, &o, &wrapped));
}

void setup_wrapped(void)
{
    setup_here();
    wrapped = NULL;
    seen = (struct seen){.key = "my_lock_key-7-lock"};
    wrap_again((cachify_lock_t){.key = "my_lock_key-{arg}"}, 0);
}

void teardown_wrapped(void)
{
    assert_ok(cachify_wrap_free(wrapped));
    teardown_here();
}

cachify_status_t call(int64_t arg, int *result)
{
    cachify_arg_t a = cachify_int(arg);
    return cachify_wrap_call(wrapped, &a, 1, result);
}

bool wrap_is_locked(int64_t arg)
{
    cachify_arg_t a = cachify_int(arg);
    bool locked;
    assert_ok(cachify_wrap_is_locked(wrapped, &a, 1, &locked));
    return locked;
}
