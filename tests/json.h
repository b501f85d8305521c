/* JSON as RFC 8259 has it: checked, and read as far as the tests need. */
#ifndef CF_TESTS_JSON_H
#define CF_TESTS_JSON_H

#include <stdbool.h>
#include <stddef.h>

/* One value and nothing after it, UTF-8 throughout.  *where: how far it was good. */
bool json_valid(const char *text, size_t len, size_t *where);

/* The value of a member of the object that begins at text, which is valid: *len bytes as they
 * stand.  NULL if it has no such member. */
const char *json_member(const char *text, const char *name, size_t *len);

/* A string value's characters as UTF-8 bytes, NUL-terminated; how many.  Escapes of
 * surrogates are not known. */
size_t json_string(const char *value, char *bytes, size_t room);

#endif
