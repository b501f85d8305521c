#include "text.h"

#include <stdlib.h>
#include <string.h>
#include <wchar.h>

static const char hex_digits[] = "0123456789abcdef";

/* ---- The string ---- */

bool text_make_room(struct text *t, size_t more)
{
    if (t->room - t->len >= more)
        return true;
    size_t room = 2 * (t->len + more);
    char *bytes = t->failed ? NULL : realloc(t->bytes, room);
    if (bytes == NULL) {
        t->failed = true;
        return false;
    }
    t->bytes = bytes;
    t->room = room;
    return true;
}

void text_free(struct text *t)
{
    free(t->bytes);
    *t = (struct text){0};
}

void text_string(struct text *t, const char *string)
{
    text_put(t, string, strlen(string));
}

void text_fill(struct text *t, char c, size_t count)
{
    if (count == 0 || !text_make_room(t, count))
        return;
    memset(t->bytes + t->len, c, count);
    t->len += count;
}

/* Two digits at a time. */
void text_unsigned(struct text *t, uint64_t number)
{
    static const char pairs[] = "00010203040506070809101112131415161718192021222324"
                                "25262728293031323334353637383940414243444546474849"
                                "50515253545556575859606162636465666768697071727374"
                                "75767778798081828384858687888990919293949596979899";
    char digits[20];
    size_t at = sizeof digits;
    for (; number >= 100; number /= 100) {
        at -= 2;
        memcpy(digits + at, pairs + 2 * (number % 100), 2);
    }
    if (number >= 10) {
        at -= 2;
        memcpy(digits + at, pairs + 2 * number, 2);
    } else {
        digits[--at] = (char)('0' + number);
    }
    text_put(t, digits + at, sizeof digits - at);
}

void text_number(struct text *t, int64_t number)
{
    if (number < 0)
        text_put(t, "-", 1);
    text_unsigned(t, number < 0 ? -(uint64_t)number : (uint64_t)number);
}

/* ---- Times ---- */

/* With zeros in front, if need be, to so many digits. */
static void put_digits(struct text *t, int64_t number, int digits)
{
    char text[20];
    for (int i = digits; i-- > 0; number /= 10)
        text[i] = (char)('0' + number % 10);
    text_put(t, text, (size_t)digits);
}

static void two_parts(struct text *t, int64_t large, const char *between, int64_t small, int digits,
                      const char *end)
{
    text_number(t, large);
    text_string(t, between);
    put_digits(t, small, digits);
    text_string(t, end);
}

/* The most usual ones by far, where there are very many. */
static void put_seconds(struct text *t, unsigned ms)
{
    char text[] = {
        (char)('0' + ms / 10000),   (char)('0' + ms / 1000 % 10), '.', (char)('0' + ms / 100 % 10),
        (char)('0' + ms / 10 % 10), (char)('0' + ms % 10),        's'};
    size_t skipped = ms < 10000;
    text_put(t, text + skipped, sizeof text - skipped);
}

void text_duration(struct text *t, int64_t ms)
{
    const int64_t second = 1000, minute = 60 * second, hour = 60 * minute, day = 24 * hour;
    if (ms == INT64_MAX)
        text_string(t, "never");
    else if (ms >= 0 && ms < minute)
        put_seconds(t, (unsigned)ms);
    else if (ms < hour)
        two_parts(t, ms / minute, "m", ms % minute / second, 2, "s");
    else if (ms < day)
        two_parts(t, ms / hour, "h", ms % hour / minute, 2, "m");
    else
        two_parts(t, ms / day, "d", ms % day / hour, 2, "h");
}

/* ---- Plain bytes ---- */

static bool is_plain(char c)
{
    return c >= 0x20 && c < 0x7f && c != '\\' && c != '"';
}

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* A bit for each byte below b (1 to 128), if none has its highest bit set. */
static uint64_t below(uint64_t word, unsigned b)
{
    return (word - EACH(b)) & ~word & EACH(0x80);
}

/* Whether all eight bytes are plain; at times it is not sure, and says no. */
static bool all_plain(uint64_t word)
{
    uint64_t bad = (word & EACH(0x80)) | below(word, 0x20) | below(word ^ EACH('\\'), 1) |
                   below(word ^ EACH('"'), 1) | below(word ^ EACH(0x7f), 1);
    return bad == 0;
}

/* The longest run from here that means itself everywhere. */
static size_t plain_run(const char *bytes, size_t len)
{
    size_t n = 0;
    for (uint64_t word; n + 8 <= len; n += 8) {
        memcpy(&word, bytes + n, 8);
        if (!all_plain(word))
            break;
    }
    while (n < len && is_plain(bytes[n]))
        n++;
    return n;
}

/* ---- UTF-8 ---- */

/* The bytes of the character that begins here, 0 if none does. */
static size_t utf8_next(const char *bytes, size_t len, uint32_t *character)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *b = (const unsigned char *)bytes;
    *character = b[0];
    if (b[0] < 0x80)
        return 1;
    size_t n = b[0] >= 0xf0 ? 4 : b[0] >= 0xe0 ? 3 : 2;
    if (b[0] < 0xc2 || b[0] > 0xf4 || n > len)
        return 0;
    *character = b[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((b[i] & 0xc0) != 0x80)
            return 0;
        *character = *character << 6 | (b[i] & 0x3f);
    }
    bool surrogate = *character >= 0xd800 && *character <= 0xdfff;
    return *character < least[n] || *character > 0x10ffff || surrogate ? 0 : n;
}

bool utf8_valid(const char *bytes, size_t len)
{
    uint32_t character;
    for (size_t i = plain_run(bytes, len), n; i < len; i += n) {
        n = utf8_next(bytes + i, len - i, &character);
        if (n == 0)
            return false;
    }
    return true;
}

size_t utf8_width(const char *bytes, size_t len)
{
    uint32_t character;
    size_t width = plain_run(bytes, len);
    for (size_t i = width, n; i < len; i += n) {
        n = utf8_next(bytes + i, len - i, &character);
        int columns = character < 0x80 ? 1 : wcwidth((wchar_t)character);
        width += columns >= 0 ? (size_t)columns : 1; /* a locale that does not know it */
        n += n == 0;
    }
    return width;
}

size_t utf8_fit(const char *bytes, size_t len, size_t columns)
{
    uint32_t character;
    for (size_t i = 0, n, width = 0; i < len; i += n) {
        n = utf8_next(bytes + i, len - i, &character);
        n += n == 0;
        width += utf8_width(bytes + i, n);
        if (width > columns)
            return i;
    }
    return len;
}

/* C0, DEL and C1. */
static bool is_control(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c <= 0x9f);
}

/* Line and paragraph separators, and what turns the writing direction. */
static bool confuses_terminal(uint32_t c)
{
    return (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0x200e ||
           c == 0x200f;
}

bool text_is_plain(const char *bytes, size_t len)
{
    return plain_run(bytes, len) == len;
}

static void put_hex(struct text *t, const char *before, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char b = (unsigned char)bytes[i];
        text_string(t, before);
        text_put(t, &hex_digits[b >> 4], 1);
        text_put(t, &hex_digits[b & 15], 1);
    }
}

void text_hex(struct text *t, const char *bytes, size_t len)
{
    put_hex(t, "", bytes, len);
}

void text_escaped(struct text *t, const char *bytes, size_t len)
{
    uint32_t character;
    for (size_t i = 0, n; i < len; i += n) {
        n = plain_run(bytes + i, len - i);
        text_put(t, bytes + i, n);
        if (n > 0)
            continue;
        n = utf8_next(bytes + i, len - i, &character);
        bool ambiguous = character == '\\' && i + 1 < len && bytes[i + 1] == 'x';
        bool hidden = n == 0 || ambiguous || is_control(character) || confuses_terminal(character);
        n += n == 0;
        if (hidden)
            put_hex(t, "\\x", bytes + i, n);
        else
            text_put(t, bytes + i, n);
    }
}

void text_blanks(struct text *t, size_t from)
{
    for (size_t at = from; at < t->len; at++) {
        if (t->bytes[at] != ' ')
            continue;
        text_fill(t, ' ', 3);
        if (t->failed)
            return;
        memmove(t->bytes + at + 4, t->bytes + at + 1, t->len - at - 4);
        memcpy(t->bytes + at, "\\x20", 4);
    }
}

void text_json(struct text *t, const char *bytes, size_t len)
{
    uint32_t character;
    text_put(t, "\"", 1);
    for (size_t i = 0, n; i < len; i += n) {
        n = plain_run(bytes + i, len - i);
        text_put(t, bytes + i, n);
        if (n > 0)
            continue;
        n = utf8_next(bytes + i, len - i, &character);
        if (n == 0 || is_control(character)) {
            char byte = (char)(n == 0 ? (unsigned char)bytes[i] : character);
            put_hex(t, "\\u00", &byte, 1);
        } else {
            if (character == '"' || character == '\\')
                text_put(t, "\\", 1);
            text_put(t, bytes + i, n);
        }
        n += n == 0;
    }
    text_put(t, "\"", 1);
}
