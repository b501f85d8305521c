#include "say.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_ROOM 2048

static void put_line(const char *format, va_list args)
{
    char line[LINE_ROOM] = PROGRAM ": ";
    size_t used = strlen(line), room = sizeof line - 1 - used; /* 1 for the line's end */
    int wanted = vsnprintf(line + used, room, format, args);
    if (wanted > 0)
        used += (size_t)wanted < room ? (size_t)wanted : room - 1;
    line[used++] = '\n';
    if (write(STDERR_FILENO, line, used) < 0)
        return; /* there is nobody to tell */
}

void say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    put_line(format, args);
    va_end(args);
}

void fail(int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    put_line(format, args);
    va_end(args);
    if (code == EX_USAGE)
        say("try '" PROGRAM " --help' for what it can do");
    exit(code);
}

static int code_of(cachify_status_t status, enum where where)
{
    switch (status) {
    case CACHIFY_INVALID:
    case CACHIFY_KEY_TOO_LONG:
        return EX_USAGE;
    case CACHIFY_PERMISSION:
        return EX_NOPERM;
    case CACHIFY_SYSTEM:
        return where == AT_OPENING ? EX_CANTCREAT : where == AT_SERVER ? EX_UNAVAILABLE : EX_OSERR;
    case CACHIFY_NO_MEMORY:
        return EX_OSERR;
    default: /* FULL, INCOMPATIBLE, CORRUPT, GONE */
        return EX_UNAVAILABLE;
    }
}

static const char *advice(cachify_status_t status)
{
    switch (status) {
    case CACHIFY_PERMISSION:
        return "; choose a segment of your own with --name or --path";
    case CACHIFY_SYSTEM:
        return "; see that --name or --path says where a file can be made";
    case CACHIFY_FULL:
        return "; cachify-shm-inspect lists what is held";
    case CACHIFY_INCOMPATIBLE:
    case CACHIFY_CORRUPT:
        return "; choose another segment, or end its users and remove it";
    default:
        return "";
    }
}

void fail_of(cachify_status_t status, enum where where)
{
    fail(code_of(status, where), "%s%s", cachify_last_error(),
         where == AT_OPENING ? advice(status) : "");
}
