#include "looking.h"

#include <fcntl.h>
#include <unistd.h>

#define MANY 256

cachify_shm_view_t *view;

static struct seen seen[MANY];
static unsigned seen_count;

int keep(void *context, const cachify_shm_lease_t *lease)
{
    (void)context;
    ck_assert_uint_lt(seen_count, MANY);
    struct seen *s = &seen[seen_count++];
    memcpy(s->key, lease->key, lease->key_len);
    s->key[lease->key_len] = '\0';
    s->key_len = lease->key_len;
    s->info = lease->info;
    return 0;
}

unsigned list(void)
{
    seen_count = 0;
    assert_ok(cachify_shm_leases(view, keep, NULL, NULL));
    return seen_count;
}

const struct seen *seen_at(unsigned i)
{
    ck_assert_uint_lt(i, seen_count);
    return &seen[i];
}

const cachify_info_t *listed(const char *key)
{
    for (unsigned i = 0; i < seen_count; i++)
        if (strcmp(seen[i].key, key) == 0)
            return &seen[i].info;
    ck_abort_msg("%s is not listed", key);
}

cachify_shm_counts_t count(void)
{
    cachify_shm_counts_t counts = {.size = sizeof counts};
    assert_ok(cachify_shm_count(view, &counts));
    return counts;
}

void setup_view(void)
{
    setup_here();
    assert_ok(cachify_shm_open(NULL, here.path, &view));
}

void teardown_view(void)
{
    cachify_shm_close(view);
    teardown_here();
}

void view_instead(const char *path)
{
    cachify_shm_close(view);
    view = NULL;
    assert_ok(cachify_shm_open(NULL, path, &view));
}

/* The segment's file as it is, in a file of its own. */
void copy_segment(char path[PATH_ROOM])
{
    new_path(path);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, here.m->base, here.m->size), (ssize_t)here.m->size);
    close(fd);
}
