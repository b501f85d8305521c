/* Key templates: as much of Python's str.format as names locks (cachify/wrap.h). */
#ifndef CF_FACE_TEMPLATE_H
#define CF_FACE_TEMPLATE_H

#include <cachify/wrap.h>

#include "face/key.h"

struct cf_template {
    const char *text;
    const char *const *names; /* of the parameters */
    uint32_t count;
};

/* A key as it grows. */
struct cf_text {
    char bytes[CF_KEY_BYTES + 1]; /* NUL-terminated */
    size_t len;
    bool too_long;
};

void cf_text_put(struct cf_text *text, const char *bytes, size_t len);

/* Whether every field is that of a parameter, and every brace belongs to one.  OK; INVALID. */
cachify_status_t cf_template_check(const struct cf_template *template);

/* Append the template, filled, to text, which may become too_long.  OK; INVALID: not count
 * arguments, or one that is not what its type says. */
cachify_status_t cf_template_fill(const struct cf_template *template, const cachify_arg_t *args,
                                  uint32_t count, struct cf_text *text);

#endif
