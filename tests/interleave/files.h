/* Pairs that race for a segment's path. */
#ifndef CF_INTERLEAVE_FILES_H
#define CF_INTERLEAVE_FILES_H

#include "scheduler.h"

enum files_kind {
    FILES_NONE,
    FILES_CREATE,        /* there is nothing at the path */
    FILES_CREATE_NAMED,  /* the same where no file can be without a name */
    FILES_REPLACE,       /* there is a segment of another boot */
    FILES_REPLACE_NAMED, /* and no file can be without a name */
};

const struct game *files_begin(enum files_kind which);

#endif
