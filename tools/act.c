#include "act.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "leases.h"
#include "say.h"
#include "sources.h"
#include "text.h"

/* ---- What there is ---- */

/* The lease of a key, as a look found it. */
struct wanted {
    const char *key;
    size_t len;
    cachify_info_t info; /* its state is FREE if there is none */
};

static int is_wanted(void *context, const cachify_shm_lease_t *lease)
{
    struct wanted *w = context;
    if (lease->key_len != w->len || memcmp(lease->key, w->key, w->len) != 0)
        return 0;
    w->info = lease->info;
    return 1;
}

struct rest {
    uint64_t expired;
    uint64_t owner_dead;
};

static int count_rest(void *context, const cachify_shm_lease_t *lease)
{
    struct rest *rest = context;
    rest->expired += lease->info.state == CACHIFY_STATE_EXPIRED;
    rest->owner_dead += lease->info.state == CACHIFY_STATE_OWNER_DEAD;
    return 0;
}

static struct rest look_for_rest(const cachify_shm_view_t *view)
{
    struct rest rest = {0};
    check_status(cachify_shm_leases(view, count_rest, &rest, NULL));
    return rest;
}

/* A part in the segment, which exists: it was looked at. */
static cachify_t *take_part(const cachify_shm_view_t *view)
{
    cachify_t *instance;
    const cachify_config_t config = {
        .path = cachify_shm_path(view), .prefix = "", .flags = CACHIFY_ANY_OWNER};
    check_status(cachify_open(&config, &instance));
    return instance;
}

/* ---- Saying ---- */

static void print_text(struct text *t)
{
    text_string(t, "\n");
    fwrite(t->bytes, 1, t->failed ? 0 : t->len, stdout);
    if (t->failed)
        fail(EXIT_FAILURE, "not enough memory to say what was done");
    text_free(t);
}

static void describe_holder(struct text *t, const cachify_info_t *info)
{
    text_string(t, ": held by process ");
    text_number(t, info->pid);
    text_string(t, " (");
    text_escaped(t, info->command, strnlen(info->command, sizeof info->command));
    text_string(t, ") for ");
    text_duration(t, info->held_ms);
    text_string(t, ", token ");
    text_unsigned(t, info->token);
    if (info->waiters > 0) {
        text_string(t, "; waited for by ");
        text_unsigned(t, info->waiters);
    }
}

/* ---- Acts ---- */

static int release(const cachify_shm_view_t *view, const char *key, bool dry)
{
    struct text t = {0};
    struct wanted w = {.key = key, .len = strlen(key)};
    check_status(cachify_shm_leases(view, is_wanted, &w, NULL));
    if (w.info.state != CACHIFY_STATE_HELD) {
        text_escaped(&t, key, w.len);
        text_string(&t, ": not held");
        if (w.info.state != CACHIFY_STATE_FREE) {
            text_string(&t, ", but ");
            text_string(&t, lease_state_word(w.info.state));
        }
        print_text(&t);
        return EXIT_NOTHING;
    }
    if (!dry) {
        cachify_t *instance = take_part(view);
        check_status(cachify_release_key(instance, key));
        check_status(cachify_close(instance));
    }
    text_string(&t, dry ? "would release " : "released ");
    text_escaped(&t, key, w.len);
    describe_holder(&t, &w.info);
    print_text(&t);
    return EXIT_SUCCESS;
}

static uint64_t less(uint64_t before, uint64_t after)
{
    return before > after ? before - after : 0;
}

static int sweep(const cachify_shm_view_t *view, bool dry)
{
    struct rest before = look_for_rest(view), after = {0};
    bool nothing = before.expired + before.owner_dead == 0;
    if (!dry) { /* also where no lease is left: of what else the dead leave, nothing is listed */
        cachify_t *instance = take_part(view);
        check_status(cachify_shm_sweep(instance));
        check_status(cachify_close(instance));
        after = look_for_rest(view);
    }
    printf("%s %s: %llu expired, %llu of dead processes\n", dry ? "would sweep" : "swept",
           cachify_shm_path(view), (unsigned long long)less(before.expired, after.expired),
           (unsigned long long)less(before.owner_dead, after.owner_dead));
    return nothing ? EXIT_NOTHING : EXIT_SUCCESS;
}

static int remove_file(const cachify_shm_view_t *view, bool dry, bool force)
{
    const char *path = cachify_shm_path(view);
    cachify_shm_counts_t counts = {.size = sizeof counts};
    check_status(cachify_shm_count(view, &counts));
    if (counts.processes > 0 && !force)
        fail(EXIT_FAILURE,
             "%s is in use by %u process%s, whose locks would exclude nobody else any more; end "
             "them first (see --processes), or say --force",
             path, counts.processes, counts.processes == 1 ? "" : "es");
    if (!dry && unlink(path) != 0)
        fail(EXIT_FAILURE, "cannot remove %s: %s", path, strerror(errno));
    printf("%s %s: in use by %u, %u locks in it\n", dry ? "would remove" : "removed", path,
           counts.processes, counts.held);
    return EXIT_SUCCESS;
}

int act(const struct options *o)
{
    struct sources sources;
    sources_open(&sources, o->name, o->path, false);
    sources_warn(&sources);
    const cachify_shm_view_t *view = sources.view[0];
    int status = o->act == ACT_RELEASE ? release(view, o->release, o->dry_run)
                 : o->act == ACT_SWEEP ? sweep(view, o->dry_run)
                                       : remove_file(view, o->dry_run, o->force);
    print_out();
    sources_close(&sources);
    return status;
}
