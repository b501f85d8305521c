#include "findings.h"

#include <string.h>

#include "text.h"

struct printing {
    bool json;
    FILE *out;
    uint64_t count;
    struct text text; /* of one finding */
};

static int print_one(void *context, const char *finding)
{
    struct printing *p = context;
    size_t len = strlen(finding);
    p->text.len = 0;
    if (p->json) {
        text_string(&p->text, p->count > 0 ? ",\n      " : "\n      ");
        text_json(&p->text, finding, len);
    } else {
        text_escaped(&p->text, finding, len);
        text_string(&p->text, "\n");
    }
    fwrite(p->text.bytes, 1, p->text.failed ? 0 : p->text.len, p->out);
    p->count++;
    return p->text.failed;
}

static void print_json_head(struct printing *p, const char *segment)
{
    size_t len = strlen(segment);
    text_string(&p->text, "{\n   \"segment\": ");
    text_json(&p->text, segment, len);
    if (!utf8_valid(segment, len)) {
        text_string(&p->text, ", \"segment_hex\": \"");
        text_hex(&p->text, segment, len);
        text_string(&p->text, "\"");
    }
    text_string(&p->text, ",\n   \"findings\": [");
    fwrite(p->text.bytes, 1, p->text.failed ? 0 : p->text.len, p->out);
}

bool findings_print(const cachify_shm_view_t *view, bool json, FILE *out, uint64_t *count,
                    bool *no_memory)
{
    struct printing p = {.json = json, .out = out};
    if (json)
        print_json_head(&p, cachify_shm_path(view));
    cachify_status_t status = cachify_shm_check(view, print_one, &p, count);
    if (status == CACHIFY_OK && json)
        fputs(*count > 0 ? "\n   ]\n}\n" : "]\n}\n", out);
    *no_memory = p.text.failed;
    text_free(&p.text);
    return status == CACHIFY_OK && !*no_memory;
}
