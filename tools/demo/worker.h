/* A worker: walks the list of files, and hashes each one that nobody has hashed yet, under its
 * lock. */
#ifndef CACHIFY_DEMO_WORKER_H
#define CACHIFY_DEMO_WORKER_H

#include <stdatomic.h>
#include <stdint.h>

#include "tree.h"

#define LEASE_MS 2000
#define KEY_ROOM (TREE_PATH_MAX + 6)

/* What foreman and workers share beside the locks.  Whether a file is done is read and
 * written only under its lock. */
struct shared {
    _Atomic uint32_t finish;    /* go home once you have walked the whole list */
    _Atomic uint32_t wanted;    /* the worker, counted from 1, that is to stop at its next hold */
    _Atomic uint32_t done;      /* files */
    _Atomic uint32_t holds;     /* so far */
    _Atomic uint32_t waits;     /* of more than a tenth of a millisecond */
    _Atomic int64_t longest_ns; /* wait */
    struct {
        _Atomic uint64_t last_token; /* of its lock */
        _Atomic uint32_t done;
        uint32_t reserved;
    } file[];
};

/* Over the worker's socket.  It says what it holds; it is told to renew or to go on. */
struct report {
    uint32_t file;
    uint32_t reserved;
    uint64_t token;
    int64_t start; /* as in the ledger */
    int64_t until;
};
enum order { ORDER_RENEW = 'r', ORDER_GO_ON = 'g' };

struct worker {
    uint32_t number; /* from 1 */
    uint32_t first;  /* where in the list it begins */
    uint32_t work;   /* ms that it sleeps under each lock, 100 at most; twice that at times */
    int socket;
    int ledger;
    const struct tree *tree;
    struct shared *shared;
};

/* "file-PATH". */
void file_key(char key[KEY_ROOM], const char *path);

/* In the worker's process; never returns.  Uses the global instance. */
_Noreturn void worker_run(const struct worker *worker);

#endif
