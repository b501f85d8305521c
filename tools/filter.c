#include "filter.h"

#include <fnmatch.h>
#include <string.h>
#include <sysexits.h>

#include "columns.h"
#include "say.h"

#define KEY_ROOM 4097

/* ---- What was asked for ---- */

static const struct column *need(bool asked, const struct kind *kind, const char *field,
                                 const char *option)
{
    if (!asked)
        return NULL;
    const struct column *c = field != NULL ? column_of_field(kind, field) : NULL;
    if (c == NULL)
        fail(EX_USAGE, "%s is given, but the view of %s has nothing to compare it with", option,
             kind->name);
    return c;
}

/* Whether the word is in a list with commas. */
static bool in_list(const char *list, const char *word, size_t len)
{
    for (;;) {
        size_t n = strcspn(list, ",");
        if (n == len && memcmp(list, word, len) == 0)
            return true;
        if (list[n] == '\0')
            return false;
        list += n + 1;
    }
}

static bool is_state(const struct kind *kind, const char *word, size_t len)
{
    for (const char *const *s = kind->states; *s != NULL; s++)
        if (strlen(*s) == len && memcmp(*s, word, len) == 0)
            return true;
    return false;
}

static void check_states(const char *list, const struct kind *kind)
{
    char known[128] = "";
    for (const char *const *s = kind->states; *s != NULL; s++) {
        strncat(known, known[0] != '\0' ? ", " : "", sizeof known - strlen(known) - 1);
        strncat(known, *s, sizeof known - strlen(known) - 1);
    }
    for (const char *at = list;; at++) {
        size_t n = strcspn(at, ",");
        if (!is_state(kind, at, n))
            fail(EX_USAGE, "--state %s: there is no state \"%.*s\" of %s; expected some of: %s",
                 list, (int)n, at, kind->name, known);
        at += n;
        if (*at == '\0')
            return;
    }
}

void filter_bind(struct filter *f, const struct kind *kind)
{
    f->key_of = need(f->key != NULL, kind, "key", "--key");
    f->pid_of = need(f->pid != 0, kind, "pid", "--pid");
    f->state_of = need(f->states != NULL, kind, kind->states != NULL ? "state" : NULL, "--state");
    f->age_of = need(f->older_ms >= 0, kind, kind->age, "--older");
    f->left_of = need(f->expiring_ms >= 0, kind, "left_ms", "--expiring");
    if (f->states != NULL)
        check_states(f->states, kind);
}

/* ---- Rows ---- */

static bool key_matches(const char *pattern, struct value key)
{
    char text[KEY_ROOM];
    if (key.len >= sizeof text)
        return false;
    if (key.len > 0)
        memcpy(text, key.bytes, key.len);
    text[key.len] = '\0';
    return fnmatch(pattern, text, 0) == 0;
}

/* Of those that are held: what has expired is not about to. */
static bool expires_within(struct value left, int64_t ms)
{
    return !left.none && left.number > 0 && left.number <= (uint64_t)ms;
}

bool filter_passes(const struct filter *f, const void *row)
{
    if (f->pid_of != NULL && f->pid_of->of(row).number != (uint64_t)f->pid)
        return false;
    if (f->age_of != NULL && f->age_of->of(row).number < (uint64_t)f->older_ms)
        return false;
    if (f->left_of != NULL && !expires_within(f->left_of->of(row), f->expiring_ms))
        return false;
    if (f->state_of != NULL) {
        struct value state = f->state_of->of(row);
        if (!in_list(f->states, state.bytes, state.len))
            return false;
    }
    return f->key_of == NULL || key_matches(f->key, f->key_of->of(row));
}
