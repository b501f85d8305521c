/* Keys and values as bytes, and many at once. */
#include "trial.h"

/* ---- Keys ---- */

static void prefixes(struct trial *t)
{
    static const char key[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    uint32_t most = sizeof key - 1;
    for (uint32_t len = 1; len <= most; len++)
        WANT_OK(t, put_bytes(t, &t->caller, key, len, &len, sizeof len, LONG_MS, true));
    WANT_OK(t, drop_bytes(t, &t->caller, key, 8));
    WANT_OK(t, drop_bytes(t, &t->caller, key, most));
    for (uint32_t len = 1; len < most; len++)
        if (len != 8 && !want_bytes(t, key, len, &len, sizeof len))
            return;
    WANT_OK(t, put_bytes(t, &t->caller, key, 8, "", 0, LONG_MS, true));
}

/* Each byte as a key of its own, and all in one key. */
static void every_byte(struct trial *t)
{
    unsigned char all[255];
    uint32_t len = key_most(t) < 255 ? key_most(t) : 255;
    for (unsigned i = 0; i < 255; i++) {
        all[i] = (unsigned char)(i + 1);
        WANT_OK(t, put_bytes(t, &t->caller, &all[i], 1, &all[i], 1, LONG_MS, true));
    }
    for (unsigned i = 0; i < 255; i++)
        if (!want_bytes(t, &all[i], 1, &all[i], 1))
            return;
    for (unsigned from = 0; from < 255; from += len) {
        uint32_t part = from + len <= 255 ? len : 255 - from;
        if (part == 1)
            break;
        WANT_OK(t, put_bytes(t, &t->caller, all + from, part, "all", 3, LONG_MS, true));
        want_bytes(t, all + from, part, "all", 3);
    }
}

static void longest_key(struct trial *t)
{
    char key[4096];
    uint32_t most = key_most(t);
    memset(key, 'k', sizeof key);
    WANT_OK(t, put_bytes(t, &t->caller, key, most, "one", 3, LONG_MS, true));
    key[most - 1] = 'l';
    WANT_OK(t, put_bytes(t, &t->caller, key, most, "another", 7, LONG_MS, true));
    if (most > 1)
        WANT_OK(t, put_bytes(t, &t->caller, key, most - 1, "shorter", 7, LONG_MS, true));
    WANT_OK(t, put_bytes(t, &t->caller, "k", 1, "one byte", 8, LONG_MS, true));
    want_bytes(t, "k", 1, "one byte", 8);
    want_bytes(t, key, most, "another", 7);
    key[most - 1] = 'k';
    want_bytes(t, key, most, "one", 3);
}

#define MANY 1000

static void many(struct trial *t)
{
    char key[32], value[32];
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(key, sizeof key, "many-%u", i);
        snprintf(value, sizeof value, "value %u", i * 7);
        WANT_OK(t, put(t, key, value, LONG_MS, true));
    }
    for (unsigned i = 0; i < MANY; i += 2) {
        snprintf(key, sizeof key, "many-%u", i);
        WANT_OK(t, drop(t, key));
    }
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(key, sizeof key, "many-%u", i);
        snprintf(value, sizeof value, "value %u", i * 7);
        if (i % 2 == 0)
            WANT(t, !has(t, key, NULL), "key %u of %d is there after del", i, MANY);
        else
            WANT(t, has(t, key, value), "key %u of %d has not its value", i, MANY);
    }
}

/* ---- Values ---- */

static void values(struct trial *t)
{
    char value[4096];
    uint32_t most = value_most(t);
    uint32_t lengths[] = {0, 1, 7, 8, 9, most / 2, most > 0 ? most - 1 : 0, most};
    for (uint32_t i = 0; i < sizeof value; i++)
        value[i] = (char)(i * 31); /* all bytes, NUL first */
    for (unsigned i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        uint32_t len = lengths[i];
        if (len > most)
            continue;
        WANT_OK(t, put_bytes(t, &t->caller, "value", 5, value, len, LONG_MS, false));
        if (!want_bytes(t, "value", 5, value, len))
            return;
    }
}

const struct check key_checks[] = {
    {"key-prefix", "keys that begin alike are others", prefixes, OPERATIONS},
    {"key-bytes", "every byte but NUL may be in a key", every_byte, OPERATIONS},
    {"key-length", "one byte, and key_max bytes", longest_key, OPERATIONS},
    {"key-many", "a thousand at once", many, OPERATIONS},
    {"value-bytes", "any bytes, none to value_max of them", values, OPERATIONS},
    {0},
};
