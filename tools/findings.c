#include "findings.h"

#include <string.h>

#include "text.h"

struct printing {
    bool json;
    const char *prefix; /* the segment, where several are checked; or NULL */
    FILE *out;
    uint64_t count;
    struct text text; /* of one finding */
};

static int print_one(void *context, const char *finding)
{
    struct printing *p = context;
    struct text whole = {0};
    if (p->prefix != NULL) {
        text_string(&whole, p->prefix);
        text_string(&whole, ": ");
    }
    text_string(&whole, finding);
    p->text.len = 0;
    if (p->json) {
        text_string(&p->text, p->count > 0 ? ",\n      " : "\n      ");
        text_json(&p->text, whole.bytes, whole.len);
    } else {
        text_escaped(&p->text, whole.bytes, whole.len);
        text_string(&p->text, "\n");
    }
    p->text.failed = p->text.failed || whole.failed;
    text_free(&whole);
    fwrite(p->text.bytes, 1, p->text.failed ? 0 : p->text.len, p->out);
    p->count++;
    return p->text.failed;
}

bool findings_print(const cachify_shm_view_t *view, bool json, bool named, FILE *out,
                    uint64_t *count, bool *no_memory)
{
    struct printing p = {.json = json, .out = out, .count = *count};
    if (named)
        p.prefix = cachify_shm_path(view);
    cachify_status_t status = cachify_shm_check(view, print_one, &p, NULL);
    *count = p.count;
    *no_memory = p.text.failed;
    text_free(&p.text);
    return status == CACHIFY_OK && !*no_memory;
}
