/* What lies under a key: a pickled bytes object, so that Python finds something true, with who holds
 * the lock and the note in it.
 *
 *     80 03 42 LENGTH(4, little-endian)  cachify1 OWNER TOKEN SINCE PID THREAD HOST COMMAND \n NOTE  2e
 *
 * OWNER: 48 hexadecimal digits, this acquisition's own.  TOKEN, SINCE (the server's clock, ms): 16
 * decimal ones, which the script fills in.  HOST and COMMAND: no blanks. */
#ifndef CR_VALUE_H
#define CR_VALUE_H

#include <stddef.h>

#include "redis/system.h"

#define CR_NOTE_MAX 4096u
#define CR_OWNER_LEN 48u
#define CR_DIGITS 16u
#define CR_HEAD_LEN 65u  /* up to TOKEN */
#define CR_TAIL_MAX 160u /* from behind SINCE up to the note */
#define CR_VALUE_MAX (CR_HEAD_LEN + 2 * CR_DIGITS + 1 + CR_TAIL_MAX + CR_NOTE_MAX + 1)

struct cr_holder {
    uint64_t client[2], number; /* OWNER */
    uint64_t token;
    int64_t since;
    int64_t pid, thread;
    char host[64], command[16];
    const char *note; /* in the value; none if that was cut */
    size_t note_len;
};

/* Everything but TOKEN and SINCE, for which a blank is left.  Its length. */
size_t cr_value_write(char *to, const struct cr_holder *holder);
void cr_owner_write(char to[CR_OWNER_LEN], const uint64_t client[2], uint64_t number);

/* False: it is somebody else's value. */
bool cr_value_read(const char *value, size_t len, struct cr_holder *holder);

/* What is known of a lock that has this value. */
void cr_value_describe(cachify_info_t *info, const char *value, size_t len, int64_t left_ms,
                       int64_t now_ms);

/* A decimal number, with zeros before it or not. */
uint64_t cr_digits(const char *text, size_t len);

#endif
