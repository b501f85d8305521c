#include "json.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define DEEP 32

struct scan {
    const char *at;
    const char *end;
};

static bool any_value(struct scan *s, unsigned depth);

static void blanks(struct scan *s)
{
    while (s->at < s->end && strchr(" \t\n\r", *s->at) != NULL && *s->at != '\0')
        s->at++;
}

static bool is(struct scan *s, char c)
{
    if (s->at == s->end || *s->at != c)
        return false;
    s->at++;
    return true;
}

static bool word(struct scan *s, const char *text)
{
    size_t len = strlen(text);
    if ((size_t)(s->end - s->at) < len || memcmp(s->at, text, len) != 0)
        return false;
    s->at += len;
    return true;
}

static bool digits(struct scan *s)
{
    const char *from = s->at;
    while (s->at < s->end && *s->at >= '0' && *s->at <= '9')
        s->at++;
    return s->at > from;
}

static bool number(struct scan *s)
{
    is(s, '-');
    if (!is(s, '0') && !digits(s))
        return false;
    if (is(s, '.') && !digits(s))
        return false;
    if (!is(s, 'e') && !is(s, 'E'))
        return true;
    if (!is(s, '+'))
        is(s, '-');
    return digits(s);
}

static bool hex(struct scan *s, unsigned count)
{
    for (; count > 0; count--, s->at++)
        if (s->at == s->end || *s->at == '\0' || strchr("0123456789abcdefABCDEF", *s->at) == NULL)
            return false;
    return true;
}

static bool escape(struct scan *s)
{
    if (is(s, 'u'))
        return hex(s, 4);
    if (s->at == s->end || *s->at == '\0' || strchr("\"\\/bfnrt", *s->at) == NULL)
        return false;
    s->at++;
    return true;
}

/* A character of more than one byte: the shortest form, no surrogate, no more than U+10FFFF. */
static bool utf8(struct scan *s)
{
    const unsigned char *b = (const unsigned char *)s->at;
    size_t left = (size_t)(s->end - s->at), n = b[0] >= 0xf0 ? 4 : b[0] >= 0xe0 ? 3 : 2;
    if (b[0] < 0xc2 || b[0] > 0xf4 || left < n)
        return false;
    if ((b[0] == 0xe0 && b[1] < 0xa0) || (b[0] == 0xed && b[1] > 0x9f) ||
        (b[0] == 0xf0 && b[1] < 0x90) || (b[0] == 0xf4 && b[1] > 0x8f))
        return false;
    for (size_t i = 1; i < n; i++)
        if (b[i] < 0x80 || b[i] > 0xbf)
            return false;
    s->at += n;
    return true;
}

static bool string(struct scan *s)
{
    if (!is(s, '"'))
        return false;
    while (s->at < s->end && *s->at != '"') {
        unsigned char c = (unsigned char)*s->at;
        bool good = c >= 0x80 ? utf8(s) : c >= 0x20 && (s->at++, c != '\\' || escape(s));
        if (!good)
            return false;
    }
    return is(s, '"');
}

/* An object's members or an array's elements, up to the closing bracket. */
static bool list(struct scan *s, bool members, char close, unsigned depth)
{
    blanks(s);
    if (is(s, close))
        return true;
    do {
        blanks(s);
        if (members) {
            if (!string(s))
                return false;
            blanks(s);
            if (!is(s, ':'))
                return false;
        }
        if (!any_value(s, depth))
            return false;
        blanks(s);
    } while (is(s, ','));
    return is(s, close);
}

static bool any_value(struct scan *s, unsigned depth)
{
    blanks(s);
    if (depth > DEEP || s->at == s->end)
        return false;
    if (*s->at == '"')
        return string(s);
    if (is(s, '{'))
        return list(s, true, '}', depth + 1);
    if (is(s, '['))
        return list(s, false, ']', depth + 1);
    return word(s, "true") || word(s, "false") || word(s, "null") || number(s);
}

bool json_valid(const char *text, size_t len, size_t *where)
{
    struct scan s = {text, text + len};
    bool good = any_value(&s, 0);
    blanks(&s);
    *where = (size_t)(s.at - text);
    return good && s.at == s.end;
}

const char *json_member(const char *text, const char *name, size_t *len)
{
    struct scan s = {text, text + strlen(text)};
    blanks(&s);
    if (!is(&s, '{'))
        return NULL;
    do {
        blanks(&s);
        const char *key = s.at;
        if (!string(&s))
            return NULL;
        bool found =
            (size_t)(s.at - key) == strlen(name) + 2 && memcmp(key + 1, name, strlen(name)) == 0;
        blanks(&s);
        is(&s, ':');
        blanks(&s);
        const char *from = s.at;
        if (!any_value(&s, 0))
            return NULL;
        *len = (size_t)(s.at - from);
        if (found)
            return from;
        blanks(&s);
    } while (is(&s, ','));
    return NULL;
}

static size_t put(char *to, uint32_t c)
{
    const unsigned char two[] = {(unsigned char)(0xc0 | c >> 6), 0x80 | (c & 0x3f)};
    const unsigned char three[] = {(unsigned char)(0xe0 | c >> 12), 0x80 | (c >> 6 & 0x3f), two[1]};
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : 3;
    to[0] = (char)c;
    if (n > 1)
        memcpy(to, n == 2 ? two : three, n);
    return n;
}

size_t json_string(const char *value, char *bytes, size_t room)
{
    static const char letters[] = "bfnrt", meant[] = "\b\f\n\r\t";
    size_t len = 0;
    for (const char *at = value + 1; *at != '"' && len + 4 < room; at++) {
        if (*at != '\\') {
            bytes[len++] = *at;
        } else if (*++at == 'u') {
            char digits[5] = {at[1], at[2], at[3], at[4], '\0'};
            len += put(bytes + len, (uint32_t)strtoul(digits, NULL, 16));
            at += 4;
        } else {
            const char *letter = strchr(letters, *at);
            bytes[len++] = *at;
            if (letter != NULL)
                bytes[len - 1] = meant[letter - letters];
        }
    }
    bytes[len] = '\0';
    return len;
}
