/* What cachify-lock says, and the statuses it ends with. */
#ifndef CACHIFY_TOOLS_LOCK_SAY_H
#define CACHIFY_TOOLS_LOCK_SAY_H

#include <cachify/cachify.h>
#include <sysexits.h>

#define PROGRAM "cachify-lock"

/* Of commands that cannot be run, as shells have it. */
#define EX_CANNOT_EXECUTE 126
#define EX_NOT_FOUND 127
#define EX_SIGNAL 128 /* and the signal's number */

/* A line on standard error, in one write: several processes may speak. */
__attribute__((format(printf, 1, 2))) void say(const char *format, ...);
__attribute__((format(printf, 2, 3), noreturn)) void fail(int code, const char *format, ...);

/* The library refused: what it found, and the exit status for it. */
enum where { AT_OPENING, AT_SEGMENT, AT_SERVER };
_Noreturn void fail_of(cachify_status_t status, enum where where);

#endif
