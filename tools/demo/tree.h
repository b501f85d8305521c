/* The regular files under a directory. */
#ifndef CACHIFY_DEMO_TREE_H
#define CACHIFY_DEMO_TREE_H

#include <stdbool.h>
#include <stdint.h>

#define TREE_PATH_MAX 4000u /* bytes of a path; with "file-" and a prefix it fits the longest key */

struct tree {
    char **path; /* sorted */
    uint32_t count;
    uint32_t skipped; /* files and directories that may not be read */
};

/* False, with a message on standard error, if there is no such tree or nothing in it. */
bool tree_list(const char *root, struct tree *tree);
void tree_free(struct tree *tree);

#endif
