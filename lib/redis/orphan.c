/* What the server was not told: that an acquisition whose answer never came is given back, that a
 * lease is released, that somebody waits no more.  The client's thread says it when the server
 * answers again.  A lease's owner is marked as given back at the same time, so that a command which
 * is on its way still finds that and takes nothing. */
#include <stdlib.h>
#include <string.h>

#include "redis/redis.h"

struct cr_orphan {
    struct cr_orphan *next;
    uint64_t number; /* of a lease; 0: somebody who waits no more */
    uint32_t key_len;
    char member[CR_MEMBER_MAX];
    char key[];
};

static void add(struct cr_client *c, struct cr_orphan *o)
{
    pthread_mutex_lock(&c->orphan_lock);
    o->next = c->orphans;
    c->orphans = o;
    atomic_store(&c->has_orphans, true);
    pthread_mutex_unlock(&c->orphan_lock);
}

static void remember(struct cr_client *c, const char *key, uint32_t key_len, uint64_t number,
                     const char *member)
{
    struct cr_orphan *o = calloc(1, sizeof *o + key_len + 1);
    if (o == NULL)
        return; /* its expiry ends it */
    o->number = number;
    o->key_len = key_len;
    memcpy(o->key, key, key_len);
    strncpy(o->member, member, sizeof o->member - 1);
    add(c, o);
    cr_line_ring(c, false);
}

void cr_orphan_lease(struct cr_client *c, const char *key, uint32_t key_len, uint64_t number)
{
    remember(c, key, key_len, number, "");
}

void cr_orphan_waiter(struct cr_client *c, const char *key, uint32_t key_len, const char *member)
{
    remember(c, key, key_len, 0, member);
}

static bool say(struct cr_client *c, const struct cr_orphan *o)
{
    struct cr_failure f;
    if (o->number != 0)
        return cr_release_owner(c, o->key, o->key_len, o->number, 0, true, true, &f) >= 0;
    return cr_say_leave(c, o->key, o->key_len, o->member, NULL);
}

static struct cr_orphan *take(struct cr_client *c)
{
    pthread_mutex_lock(&c->orphan_lock);
    struct cr_orphan *o = c->orphans;
    if (o != NULL)
        c->orphans = o->next;
    atomic_store(&c->has_orphans, o != NULL);
    pthread_mutex_unlock(&c->orphan_lock);
    return o;
}

bool cr_orphans_mend(struct cr_client *c)
{
    for (struct cr_orphan *o = take(c); o != NULL; o = take(c)) {
        if (!say(c, o)) {
            add(c, o);
            return false;
        }
        free(o);
    }
    return true;
}

void cr_orphans_free(struct cr_client *c)
{
    for (struct cr_orphan *o = take(c); o != NULL; o = take(c))
        free(o);
}
