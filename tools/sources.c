#include "sources.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "say.h"

#define WHERE "/dev/shm"

static void add(struct sources *s, cachify_shm_view_t *view)
{
    /* Arrays of pointers, as they are meant.  NOLINTNEXTLINE(bugprone-sizeof-expression) */
    s->view = reallocarray(s->view, s->count + 1, sizeof *s->view);
    s->path = reallocarray(s->path, s->count + 1, sizeof *s->path);
    if (s->view == NULL || s->path == NULL)
        fail(EXIT_FAILURE, "not enough memory for the list of segments");
    s->view[s->count] = view;
    s->path[s->count++] = cachify_shm_path(view);
}

static int may_be_segment(const struct dirent *entry)
{
    return entry->d_type == DT_REG || entry->d_type == DT_UNKNOWN;
}

/* Whatever may be read and has the right header; in the order of their names. */
static void find_all(struct sources *s)
{
    struct dirent **entries;
    int count = scandir(WHERE, &entries, may_be_segment, alphasort);
    if (count < 0)
        fail(EXIT_FAILURE, "cannot list %s: %s", WHERE, strerror(errno));
    for (int i = 0; i < count; i++) {
        char path[sizeof WHERE + sizeof entries[i]->d_name + 1];
        cachify_shm_view_t *view;
        snprintf(path, sizeof path, WHERE "/%s", entries[i]->d_name);
        if (cachify_shm_open(NULL, path, &view) == CACHIFY_OK)
            add(s, view);
        free(entries[i]);
    }
    free(entries);
}

static void warn_of_other_boot(const cachify_shm_view_t *view)
{
    cachify_shm_header_t header = {.size = sizeof header};
    check_status(cachify_shm_header(view, &header));
    if (header.other_boot)
        say("%s was made before this boot of the machine: no process of then is left, and no time "
            "in it can be told",
            cachify_shm_path(view));
}

void sources_open(struct sources *s, const char *name, const char *path, bool all)
{
    *s = (struct sources){.all = all};
    if (all) {
        find_all(s);
    } else {
        cachify_shm_view_t *view;
        check_status(cachify_shm_open(name, path, &view));
        add(s, view);
    }
}

void sources_warn(const struct sources *s)
{
    for (size_t i = 0; i < s->count; i++)
        warn_of_other_boot(s->view[i]);
}

void sources_close(struct sources *s)
{
    for (size_t i = 0; i < s->count; i++)
        cachify_shm_close(s->view[i]);
    free(s->view);
    free(s->path);
    *s = (struct sources){0};
}
