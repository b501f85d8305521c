/* The steps that have to be one on the server, as scripts (lua/); README.md argues for each. */
#ifndef CR_SCRIPT_H
#define CR_SCRIPT_H

/* clang-format off */
#define CR_SCRIPTS(each) \
    each(ACQUIRE, acquire) \
    each(RELEASE, release) \
    each(EXTEND, extend) \
    each(FORCE, force) \
    each(JOIN, join) \
    each(LEAVE, leave) \
    each(QUERY, query) \
    each(WAITERS, waiters)

enum cr_script {
#define CR_ENUM(upper, lower) CR_##upper,
    CR_SCRIPTS(CR_ENUM)
#undef CR_ENUM
    CR_SCRIPT_COUNT
};
/* clang-format on */

extern const char *const cr_script_text[CR_SCRIPT_COUNT];

/* What they know of the stored value: places from 1, as Lua counts. */
#define CR_OWNER_FROM 17
#define CR_OWNER_TO 64
#define CR_TOKEN_FROM 66
#define CR_TOKEN_TO 81

#endif
