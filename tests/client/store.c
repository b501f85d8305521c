/* set, get and del: what there is, for how long, and who of many sets it. */
#include "trial.h"

#include <stdlib.h>

/* ---- One thread ---- */

static void set_nx(struct trial *t)
{
    WANT_OK(t, put(t, "a", "first", LONG_MS, true));
    WANT(t, has(t, "a", "first"), "what was set is not there");
    WANT_STATUS(t, put(t, "a", "second", LONG_MS, true), CACHIFY_LOCKED);
    WANT(t, has(t, "a", "first"), "a set that was LOCKED has changed the value");
}

static void overwrite(struct trial *t)
{
    WANT_OK(t, put(t, "a", "fresh", LONG_MS, false));
    WANT(t, has(t, "a", "fresh"), "what was set without nx is not there");
    WANT_OK(t, put(t, "a", "another, and longer", LONG_MS, false));
    WANT(t, has(t, "a", "another, and longer"), "the value is not the one that overwrote it");
    WANT_OK(t, put(t, "a", "", LONG_MS, false));
    WANT(t, has(t, "a", ""), "the value is not the empty one that overwrote it");
    WANT_STATUS(t, put(t, "a", "b", LONG_MS, true), CACHIFY_LOCKED);
}

static void del(struct trial *t)
{
    WANT_OK(t, drop(t, "a"));
    WANT_OK(t, put(t, "a", "gone soon", LONG_MS, true));
    WANT_OK(t, put(t, "b", "stays", LONG_MS, true));
    WANT_OK(t, drop(t, "a"));
    WANT(t, !has(t, "a", NULL), "the value is there after del");
    WANT_OK(t, drop(t, "a"));
    WANT(t, has(t, "b", "stays"), "del of another key has removed the value");
    WANT_OK(t, put(t, "a", "again", LONG_MS, true));
    WANT(t, has(t, "a", "again"), "what was set after del is not there");
}

static void get_none(struct trial *t)
{
    char value[64];
    uint32_t len = sizeof value;
    WANT_STATUS(t, fetch_bytes(t, &t->caller, "a", 1, value, &len), CACHIFY_LOST);
    len = 0;
    WANT_STATUS(t, fetch_bytes(t, &t->caller, "a", 1, value, &len), CACHIFY_LOST);
}

/* ---- Room ---- */

#define GUARD 0x5a

/* A get with room for so many bytes of the six that there are. */
static void get_with_room(struct trial *t, uint32_t room)
{
    char value[64];
    uint32_t len = room;
    memset(value, GUARD, sizeof value);
    cachify_status_t status = fetch_bytes(t, &t->caller, "six", 3, value, &len);
    bool fits = room >= 6;
    WANT(t, status == (fits ? CACHIFY_OK : CACHIFY_INVALID),
         "get of 6 bytes with room for %u gave %s", room, status_name(status));
    WANT(t, len == (fits ? 6 : room), "get of 6 bytes with room for %u made the length %u", room,
         len);
    WANT(t, !fits || memcmp(value, "sixsix", 6) == 0, "get gave other bytes than were set");
    for (uint32_t i = fits ? 6 : 0; i < sizeof value; i++)
        WANT(t, value[i] == GUARD, "get of 6 bytes with room for %u touched byte %u", room, i);
}

static void get_room(struct trial *t)
{
    WANT_OK(t, put(t, "six", "sixsix", LONG_MS, true));
    for (uint32_t room = 0; room < 10 && !t->failed; room++)
        get_with_room(t, room);
}

const struct check store_checks[] = {
    {"set-nx", "OK where there is none, else LOCKED and nothing changed", set_nx, OPERATIONS},
    {"overwrite", "set without nx: there before or not", overwrite, OPERATIONS},
    {"del", "OK where there was one and where not; gone then, and others stay", del, OPERATIONS},
    {"get-none", "LOST where there is none", get_none, OPERATIONS},
    {"get-room", "just enough is enough; too little is INVALID, and nothing is touched", get_room,
     OPERATIONS},
    {0},
};
