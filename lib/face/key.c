#include "face/key.h"

#include <string.h>

#include "face/instance.h"
#include "ground/report.h"

cachify_status_t cf_full_key(struct cf_full_key *full, const cachify_t *instance, const char *key,
                             uint32_t len)
{
    uint32_t room = instance->key_max - instance->prefix_len;
    if (key == NULL)
        return cf_report(CACHIFY_INVALID, "key is NULL; expected 1 to %u bytes", room);
    if (len == 0)
        len = (uint32_t)strnlen(key, (size_t)room + 1);
    else if (len <= room && memchr(key, '\0', len) != NULL)
        return cf_report(CACHIFY_INVALID,
                         "the key of %u bytes has a NUL byte at %zu; expected none", len,
                         strlen(key));
    if (len == 0)
        return cf_report(CACHIFY_INVALID, "key is empty; expected 1 to %u bytes", room);
    if (len > room)
        return cf_report(CACHIFY_KEY_TOO_LONG,
                         "the key \"%.*s...\" is longer than %u bytes, what the segment's "
                         "key_max of %u leaves beside the prefix \"%s\"",
                         (int)(len < 32 ? len : 32), key, room, instance->key_max,
                         instance->prefix);
    full->len = instance->prefix_len + len;
    memset(full->bytes + (size_t)full->len / 8 * 8, 0, 8);
    memcpy(full->bytes, instance->prefix, instance->prefix_len);
    memcpy(full->bytes + instance->prefix_len, key, len);
    return CACHIFY_OK;
}
