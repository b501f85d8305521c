/* What the archives of liburcu and libcheck, built for glibc, ask for and musl does not have:
 * the checked twins of stdio, of longjmp, and of thread cancellation, and what the compiler's
 * unwinder asks, which musl does not use. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

int __printf_chk(int flag, const char *format, ...);
int __fprintf_chk(FILE *to, int flag, const char *format, ...);
int __vfprintf_chk(FILE *to, int flag, const char *format, va_list list);
int __snprintf_chk(char *text, size_t room, int flag, size_t size, const char *format, ...);
int __vsnprintf_chk(char *text, size_t room, int flag, size_t size, const char *format,
                    va_list list);
_Noreturn void __longjmp_chk(jmp_buf to, int value);
void __pthread_register_cancel(void *cleanup);
void __pthread_unregister_cancel(void *cleanup);
int _dl_find_object(void *address, void *found);

int __printf_chk(int flag, const char *format, ...)
{
    va_list list;
    (void)flag;
    va_start(list, format);
    int n = vprintf(format, list);
    va_end(list);
    return n;
}

int __fprintf_chk(FILE *to, int flag, const char *format, ...)
{
    va_list list;
    (void)flag;
    va_start(list, format);
    int n = vfprintf(to, format, list);
    va_end(list);
    return n;
}

int __vfprintf_chk(FILE *to, int flag, const char *format, va_list list)
{
    (void)flag;
    return vfprintf(to, format, list);
}

int __snprintf_chk(char *text, size_t room, int flag, size_t size, const char *format, ...)
{
    va_list list;
    (void)flag;
    (void)size;
    va_start(list, format);
    int n = vsnprintf(text, room, format, list);
    va_end(list);
    return n;
}

int __vsnprintf_chk(char *text, size_t room, int flag, size_t size, const char *format,
                    va_list list)
{
    (void)flag;
    (void)size;
    return vsnprintf(text, room, format, list);
}

_Noreturn void __longjmp_chk(jmp_buf to, int value)
{
    longjmp(to, value);
}

/* libcheck waits for a test's process with a clean-up that only a cancelled thread needs. */
void __pthread_register_cancel(void *cleanup)
{
    (void)cleanup;
}

void __pthread_unregister_cancel(void *cleanup)
{
    (void)cleanup;
}

int _dl_find_object(void *address, void *found)
{
    (void)address;
    (void)found;
    return -1;
}
