#include "redis/value.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "redis/script.h"

#define PICKLE_HEAD 7u
#define WORD "cachify1 "

_Static_assert(PICKLE_HEAD + sizeof WORD - 1 + 1 == CR_OWNER_FROM, "the scripts find the owner");
_Static_assert(CR_OWNER_FROM + CR_OWNER_LEN - 1 == CR_OWNER_TO, "and all of it");
_Static_assert(CR_TOKEN_FROM == CR_HEAD_LEN + 1, "the token follows the head");
_Static_assert(CR_TOKEN_TO == CR_HEAD_LEN + CR_DIGITS, "and all of it");

void cr_owner_write(char to[CR_OWNER_LEN], const uint64_t client[2], uint64_t number)
{
    char text[CR_OWNER_LEN + 1];
    snprintf(text, sizeof text, "%016" PRIx64 "%016" PRIx64 "%016" PRIx64, client[0], client[1],
             number);
    memcpy(to, text, CR_OWNER_LEN);
}

static size_t write_tail(char *to, const struct cr_holder *h)
{
    return (size_t)snprintf(to, CR_TAIL_MAX, " %" PRId64 " %" PRId64 " %.63s %.15s\n", h->pid,
                            h->thread, h->host, h->command);
}

size_t cr_value_write(char *to, const struct cr_holder *h)
{
    char *at = to + PICKLE_HEAD;
    memcpy(at, WORD, sizeof WORD - 1);
    at += sizeof WORD - 1;
    cr_owner_write(at, h->client, h->number);
    at += CR_OWNER_LEN;
    memset(at, ' ', 1 + CR_DIGITS + 1 + CR_DIGITS);
    at += 1 + CR_DIGITS + 1 + CR_DIGITS;
    at += write_tail(at, h);
    if (h->note_len > 0)
        memcpy(at, h->note, h->note_len);
    at += h->note_len;
    size_t len = (size_t)(at - to) - PICKLE_HEAD;
    const unsigned char head[PICKLE_HEAD] = {0x80,
                                             0x03,
                                             'B',
                                             (unsigned char)len,
                                             (unsigned char)(len >> 8),
                                             (unsigned char)(len >> 16),
                                             (unsigned char)(len >> 24)};
    memcpy(to, head, sizeof head);
    *at++ = '.';
    return (size_t)(at - to);
}

uint64_t cr_digits(const char *text, size_t len)
{
    uint64_t n = 0;
    for (size_t i = 0; i < len && text[i] >= '0' && text[i] <= '9'; i++)
        n = n * 10 + (uint64_t)(text[i] - '0');
    return n;
}

/* Scanned in a copy that ends with a NUL. */
bool cr_value_read(const char *value, size_t len, struct cr_holder *h)
{
    char text[CR_HEAD_LEN + 2 * CR_DIGITS + 1 + CR_TAIL_MAX + 1] = "";
    int end = 0;
    *h = (struct cr_holder){0};
    if (len <= CR_HEAD_LEN || memcmp(value,
                                     "\x80\x03"
                                     "B",
                                     3) != 0)
        return false;
    memcpy(text, value + PICKLE_HEAD,
           len - PICKLE_HEAD < sizeof text - 1 ? len - PICKLE_HEAD : sizeof text - 1);
    int n = sscanf(text,
                   WORD "%16" SCNx64 "%16" SCNx64 "%16" SCNx64 " %16" SCNu64 " %16" SCNd64
                        " %20" SCNd64 " %20" SCNd64 " %63s %15s%n",
                   &h->client[0], &h->client[1], &h->number, &h->token, &h->since, &h->pid,
                   &h->thread, h->host, h->command, &end);
    if (n != 9 || text[end] != '\n')
        return false;
    size_t from = PICKLE_HEAD + (size_t)end + 1;
    size_t whole = PICKLE_HEAD + ((unsigned char)value[3] | (size_t)(unsigned char)value[4] << 8 |
                                  (size_t)(unsigned char)value[5] << 16 |
                                  (size_t)(unsigned char)value[6] << 24);
    if (whole < from)
        return false;
    h->note = value + from;
    h->note_len = (whole < len ? whole : len) - from;
    return true;
}

/* Of another's value that is pickled nothing is told: it is no text for people. */
void cr_value_describe(cachify_info_t *info, const char *value, size_t len, int64_t left_ms,
                       int64_t now_ms)
{
    struct cr_holder h;
    *info = (cachify_info_t){.state = CACHIFY_STATE_HELD,
                             .remaining_ms = left_ms < 0 ? CACHIFY_NEVER : left_ms};
    if (!cr_value_read(value, len, &h)) {
        bool pickled = len > 0 && value[0] == '\x80';
        h.note = value;
        h.note_len = pickled ? 0 : len;
    }
    info->pid = h.pid;
    info->thread = h.thread;
    info->token = h.token;
    info->held_ms = h.since > 0 && now_ms > h.since ? now_ms - h.since : 0;
    info->value_len =
        h.note_len < sizeof info->value ? (uint32_t)h.note_len : (uint32_t)sizeof info->value;
    if (info->value_len > 0)
        memcpy(info->value, h.note, info->value_len);
    memcpy(info->command, h.command, sizeof info->command);
}
