// Boost.Interprocess: a named_mutex, looked up and locked.
#include "peers/boost_calls.h"

#include <boost/interprocess/sync/named_mutex.hpp>
#include <boost/version.hpp>
#include <new>

using boost::interprocess::named_mutex;
using boost::interprocess::open_or_create;

// In place, so that no allocation is measured.
alignas(named_mutex) static unsigned char place[sizeof(named_mutex)];
static named_mutex *taken;

const char *boost_calls_version()
{
    return BOOST_LIB_VERSION;
}

void boost_calls_make(const char *name)
{
    named_mutex::remove(name);
    named_mutex made(open_or_create, name);
}

void boost_calls_remove(const char *name)
{
    named_mutex::remove(name);
}

void boost_calls_take(const char *name)
{
    taken = new (place) named_mutex(open_or_create, name);
    taken->lock();
}

void boost_calls_give()
{
    taken->unlock();
    taken->~named_mutex();
}

int boost_calls_try(const char *name)
{
    named_mutex other(open_or_create, name);
    if (!other.try_lock())
        return 0;
    other.unlock();
    return 1;
}
