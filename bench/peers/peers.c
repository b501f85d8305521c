/* All peers, in the order of the table that is printed. */
#include "peers/loops.h"

#include <stdio.h>
#include <sys/utsname.h>

#ifdef __GLIBC__
#include <gnu/libc-version.h>
#endif

const struct peer *const peers[] = {
    &cachify_peer,        &cachify_empty_peer, &inspect_table_peer,
    &inspect_raw_peer,    &inspect_json_peer,  &robust_mutex_peer,
    &plain_mutex_peer,    &semaphore_peer,     &flock_peer,
    &flock_name_peer,     &ofd_peer,           &sysv_peer,
    &boost_peer,          &redis_peer,         &memcached_peer,
    &py_memory_peer,      &py_redis_peer,      &protocol_memory_peer,
    &protocol_redis_peer,
};
const unsigned peer_count = sizeof peers / sizeof peers[0];

void version_of_libc(char *text, size_t room)
{
#ifdef __GLIBC__
    snprintf(text, room, "glibc %s", gnu_get_libc_version());
#else
    snprintf(text, room, "a C library that does not tell");
#endif
}

void version_of_kernel(char *text, size_t room)
{
    struct utsname u;
    uname(&u);
    snprintf(text, room, "%s %s", u.sysname, u.release);
}

const char *key_name(unsigned key)
{
    static char names[KEYS][24];
    if (key == 0)
        return HOT;
    if (names[key][0] == '\0')
        snprintf(names[key], sizeof names[key], "order-%u", key);
    return names[key];
}

void fresh_names(char (*names)[32], long count)
{
    static long made;
    for (long i = 0; i < count; i++)
        snprintf(names[i], sizeof names[i], "fresh-%010ld", made++);
}
