/* What an acquisition stores with a client that has set, get and del only. */
#ifndef CF_CLIENTS_MARK_H
#define CF_CLIENTS_MARK_H

#include <cachify/client.h>

/* One that no other acquisition has, and who says so.  The note follows it. */
struct cf_mark {
    uint64_t unique[2];
    int64_t pid;
    uint32_t thread_id;
    uint32_t serial;
    int64_t acquired_ms; /* real time, as the holder's host has it: only to be told */
    int64_t until_ms;    /* likewise; CACHIFY_NEVER */
    char command[16];
};

/* At most CACHIFY_MARK_BYTES; its length. */
uint32_t cf_mark_write(char *to, const struct cf_mark *mark);

/* Its length; 0 if the value does not begin with one. */
uint32_t cf_mark_read(const char *value, uint32_t len, struct cf_mark *mark);

/* Who holds the lock that has this value, by what it says itself. */
void cf_mark_describe(cachify_info_t *info, const char *value, uint32_t len);

/* Real time, now and after exp_ms. */
int64_t cf_mark_now_ms(void);
int64_t cf_mark_until_ms(int64_t exp_ms);

#endif
