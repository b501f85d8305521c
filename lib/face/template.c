#include "face/template.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ground/report.h"

/* ---- Text ---- */

void cf_text_put(struct cf_text *text, const char *bytes, size_t len)
{
    if (len > CF_KEY_BYTES - text->len) {
        text->too_long = true;
        len = CF_KEY_BYTES - text->len;
    }
    memcpy(text->bytes + text->len, bytes, len);
    text->len += len;
    text->bytes[text->len] = '\0';
}

static void put(struct cf_text *text, const char *s)
{
    cf_text_put(text, s, strlen(s));
}

static void put_char(struct cf_text *text, char c)
{
    cf_text_put(text, &c, 1);
}

/* ---- Values, as Python's str() and repr() write them ---- */

/* The shortest decimal digits that read back as d, which is finite: digits, and the power of ten
 * of the first.  Whatever the locale's decimal point is. */
static int shortest(double d, char digits[20])
{
    char printed[40];
    int precision = 0, exponent = 0, n = 0;
    do
        snprintf(printed, sizeof printed, "%.*e", precision, d);
    while (precision++ < 16 && strtod(printed, NULL) != d);
    const char *at = printed;
    for (; *at != '\0' && *at != 'e'; at++)
        if (isdigit((unsigned char)*at) && n < 19)
            digits[n++] = *at;
    digits[n] = '\0';
    if (*at == 'e')
        exponent = (int)strtol(at + 1, NULL, 10);
    return exponent;
}

static void put_zeros(struct cf_text *text, int n)
{
    while (n-- > 0)
        put_char(text, '0');
}

static void put_double(struct cf_text *text, double d)
{
    char digits[20], power[16];
    if (isnan(d)) {
        put(text, "nan");
        return;
    }
    if (signbit(d))
        put_char(text, '-');
    if (isinf(d)) {
        put(text, "inf");
        return;
    }
    int exponent = shortest(d, digits), n = (int)strlen(digits);
    bool scientific = exponent < -4 || exponent >= 16;
    int whole = scientific ? 1 : exponent + 1; /* digits before the point */
    if (whole <= 0) {
        put(text, "0.");
        put_zeros(text, -whole);
        put(text, digits);
        return;
    }
    cf_text_put(text, digits, (size_t)(whole < n ? whole : n));
    put_zeros(text, whole - n);
    if (whole < n) {
        put_char(text, '.');
        put(text, digits + whole);
    } else if (!scientific) {
        put(text, ".0");
    }
    if (scientific) {
        snprintf(power, sizeof power, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
        put(text, power);
    }
}

static void put_quoted_char(struct cf_text *text, unsigned char c, char quote)
{
    char hex[8];
    const char *escaped = c == '\n' ? "\\n" : c == '\r' ? "\\r" : c == '\t' ? "\\t" : NULL;
    if (escaped != NULL) {
        put(text, escaped);
    } else if (c == '\\' || c == (unsigned char)quote) {
        put_char(text, '\\');
        put_char(text, (char)c);
    } else if (c < 0x20 || c == 0x7f) {
        snprintf(hex, sizeof hex, "\\x%02x", c);
        put(text, hex);
    } else {
        put_char(text, (char)c);
    }
}

static void put_quoted(struct cf_text *text, const char *s, size_t len)
{
    bool single = memchr(s, '\'', len) != NULL, dual = memchr(s, '"', len) != NULL;
    char quote = single && !dual ? '"' : '\'';
    put_char(text, quote);
    for (size_t i = 0; i < len; i++)
        put_quoted_char(text, (unsigned char)s[i], quote);
    put_char(text, quote);
}

static void put_value(struct cf_text *text, const cachify_arg_t *arg, bool quoted)
{
    char number[24] = "";
    size_t len;
    switch (arg->type) {
    case CACHIFY_ARG_STRING:
        len = arg->len != 0 ? arg->len : strlen(arg->as.s);
        if (quoted)
            put_quoted(text, arg->as.s, len);
        else
            cf_text_put(text, arg->as.s, len);
        break;
    case CACHIFY_ARG_INT:
        snprintf(number, sizeof number, "%" PRId64, arg->as.i);
        break;
    case CACHIFY_ARG_UINT:
        snprintf(number, sizeof number, "%" PRIu64, arg->as.u);
        break;
    case CACHIFY_ARG_DOUBLE:
        put_double(text, arg->as.d);
        break;
    default:
        put(text, arg->as.b ? "True" : "False");
    }
    put(text, number);
}

/* ---- Templates ---- */

/* Where one is read. */
struct reader {
    const struct cf_template *template;
    const char *at;
    uint32_t next;           /* {}: how many there were */
    bool by_number, in_turn; /* {0} and {} do not go together */
};

struct field {
    uint32_t parameter;
    bool quoted; /* !r */
};

/* "(order, warehouse)". */
static const char *parameters(const struct cf_template *t, char *to, size_t room)
{
    size_t used = (size_t)snprintf(to, room, "(");
    for (uint32_t i = 0; i < t->count && used < room; i++)
        used += (size_t)snprintf(to + used, room - used, "%s%s", i > 0 ? ", " : "", t->names[i]);
    if (used < room)
        snprintf(to + used, room - used, ")");
    return to;
}

static cachify_status_t bad_field(const struct reader *r, const char *field, size_t len,
                                  const char *what)
{
    char list[256];
    return cf_report(CACHIFY_INVALID, "template \"%s\": field {%.*s} %s; the parameters are %s",
                     r->template->text, (int)len, field, what,
                     parameters(r->template, list, sizeof list));
}

static cachify_status_t stray_brace(const struct reader *r)
{
    return cf_report(CACHIFY_INVALID,
                     "template \"%s\": the '%c' at byte %zu belongs to no field; expected {name}, "
                     "{0}, {}, or %c%c for a brace",
                     r->template->text, *r->at, (size_t)(r->at - r->template->text), *r->at,
                     *r->at);
}

static bool is_name(const struct cf_template *t, uint32_t i, const char *name, size_t len)
{
    return strlen(t->names[i]) == len && memcmp(t->names[i], name, len) == 0;
}

/* Which parameter the field's first len bytes name; count if none. */
static uint32_t parameter(struct reader *r, const char *name, size_t len)
{
    const struct cf_template *t = r->template;
    uint32_t i = 0;
    if (len == 0) {
        r->in_turn = true;
        return r->next++;
    }
    if (!isdigit((unsigned char)name[0])) {
        while (i < t->count && !is_name(t, i, name, len))
            i++;
        return i;
    }
    r->by_number = true;
    for (size_t k = 0; k < len; k++) {
        if (!isdigit((unsigned char)name[k]))
            return t->count;
        i = i * 10 + (uint32_t)(name[k] - '0');
        if (i >= t->count)
            return t->count;
    }
    return i;
}

/* Reader at a field's '{'; then behind its '}'. */
static cachify_status_t read_field(struct reader *r, struct field *field)
{
    const char *name = r->at + 1;
    size_t whole = strcspn(name, "{}");
    if (name[whole] != '}')
        return stray_brace(r);
    size_t len = strcspn(name, "!:{}");
    const char *rest = name + len;
    field->quoted = whole - len == 2 && memcmp(rest, "!r", 2) == 0;
    if (len != whole && !field->quoted && !(whole - len == 2 && memcmp(rest, "!s", 2) == 0))
        return bad_field(r, name, whole, "is more than a parameter and !r or !s");
    field->parameter = parameter(r, name, len);
    if (r->by_number && r->in_turn)
        return bad_field(r, name, whole, "mixes {} and {0}");
    if (field->parameter >= r->template->count)
        return bad_field(r, name, whole, "is filled by no argument");
    r->at = name + whole + 1;
    return CACHIFY_OK;
}

/* text NULL: only reads, and args are not looked at. */
static cachify_status_t walk(const struct cf_template *template, const cachify_arg_t *args,
                             struct cf_text *text)
{
    struct reader r = {.template = template, .at = template->text};
    while (*r.at != '\0') {
        size_t plain = strcspn(r.at, "{}");
        struct field field;
        bool brace = plain == 0 && r.at[0] == r.at[1];
        if (brace || plain > 0) {
            if (text != NULL)
                cf_text_put(text, r.at, brace ? 1 : plain);
            r.at += brace ? 2 : plain;
            continue;
        }
        cachify_status_t status = *r.at == '{' ? read_field(&r, &field) : stray_brace(&r);
        if (status != CACHIFY_OK)
            return status;
        if (text != NULL)
            put_value(text, &args[field.parameter], field.quoted);
    }
    return CACHIFY_OK;
}

cachify_status_t cf_template_check(const struct cf_template *template)
{
    return walk(template, NULL, NULL);
}

static cachify_status_t check_arg(const struct cf_template *t, const cachify_arg_t *arg, uint32_t i)
{
    if (arg->type < CACHIFY_ARG_STRING || arg->type > CACHIFY_ARG_BOOL)
        return cf_report(CACHIFY_INVALID,
                         "argument %s of template \"%s\" has type %" PRIu32
                         "; expected one of cachify_arg_type_t",
                         t->names[i], t->text, arg->type);
    if (arg->type != CACHIFY_ARG_STRING)
        return CACHIFY_OK;
    if (arg->as.s == NULL)
        return cf_report(CACHIFY_INVALID, "argument %s of template \"%s\" is a NULL string",
                         t->names[i], t->text);
    if (arg->len != 0 && memchr(arg->as.s, '\0', arg->len) != NULL)
        return cf_report(CACHIFY_INVALID,
                         "argument %s of template \"%s\" has a NUL byte at %zu of %" PRIu32
                         "; expected none",
                         t->names[i], t->text, strlen(arg->as.s), arg->len);
    return CACHIFY_OK;
}

cachify_status_t cf_template_fill(const struct cf_template *template, const cachify_arg_t *args,
                                  uint32_t count, struct cf_text *text)
{
    static const cachify_arg_t none;
    char list[256];
    if (count != template->count || (count > 0 && args == NULL))
        return cf_report(CACHIFY_INVALID,
                         "template \"%s\" was given %" PRIu32 " arguments; expected %" PRIu32
                         ", for %s",
                         template->text, args != NULL ? count : 0, template->count,
                         parameters(template, list, sizeof list));
    for (uint32_t i = 0; i < count; i++) {
        cachify_status_t status = check_arg(template, &args[i], i);
        if (status != CACHIFY_OK)
            return status;
    }
    return walk(template, count > 0 ? args : &none, text);
}
