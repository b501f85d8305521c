#include "tree.h"

#include <errno.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool add(struct tree *tree, const char *path, uint32_t *room)
{
    if (tree->count == *room) {
        uint32_t more = *room != 0 ? 2 * *room : 1024;
        char **grown = reallocarray(tree->path, more, sizeof *grown);
        if (grown == NULL)
            return false;
        tree->path = grown;
        *room = more;
    }
    tree->path[tree->count] = strdup(path);
    return tree->path[tree->count] != NULL && ++tree->count;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* True if memory sufficed. */
static bool walk(FTS *walk, struct tree *tree)
{
    uint32_t room = 0;
    for (FTSENT *e; (e = fts_read(walk)) != NULL;) {
        if (e->fts_info == FTS_DNR || e->fts_info == FTS_ERR || e->fts_info == FTS_NS)
            tree->skipped++;
        if (e->fts_info != FTS_F || !S_ISREG(e->fts_statp->st_mode))
            continue;
        if (e->fts_pathlen > TREE_PATH_MAX || access(e->fts_accpath, R_OK) != 0)
            tree->skipped++;
        else if (!add(tree, e->fts_path, &room))
            return false;
    }
    return true;
}

static bool nothing(const struct tree *tree, const char *root)
{
    if (access(root, R_OK) != 0)
        fprintf(stderr, "worker-pool: cannot read the tree %s: %s\n", root, strerror(errno));
    else
        fprintf(stderr,
                "worker-pool: there is no regular file to hash under %s (%u things there may not "
                "be read); expected at least one\n",
                root, tree->skipped);
    return false;
}

bool tree_list(const char *root, struct tree *tree)
{
    char *roots[] = {strdup(root), NULL};
    FTS *fts =
        roots[0] != NULL ? fts_open(roots, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR, NULL) : NULL;
    *tree = (struct tree){0};
    bool listed = fts != NULL && walk(fts, tree);
    if (!listed)
        fprintf(stderr, "worker-pool: cannot list the tree %s: %s\n", root, strerror(errno));
    if (fts != NULL)
        fts_close(fts);
    free(roots[0]);
    if (!listed || (tree->count == 0 && !nothing(tree, root))) {
        tree_free(tree);
        return false;
    }
    qsort(tree->path, tree->count, sizeof *tree->path, by_path);
    return true;
}

void tree_free(struct tree *tree)
{
    for (uint32_t i = 0; i < tree->count; i++)
        free(tree->path[i]);
    free(tree->path);
    *tree = (struct tree){0};
}
