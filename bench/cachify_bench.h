/* What the files that measure the library share. */
#ifndef BENCH_CACHIFY_BENCH_H
#define BENCH_CACHIFY_BENCH_H

#include "bench.h"
#include "peers/peer.h"

#include <cachify/cachify.h>

#define EXPIRED_AFTER_US 3000

extern cachify_t *instance;
void must(cachify_status_t got, cachify_status_t expected);

extern const struct lock async_lock; /* in async.c */

/* In held.c. */
void held_fill(long count);
void held_empty(long count);
double held_loop(long n);
double held_empty_loop(long n);
double held_fill_loop(long n);
double held_walk_loop(long n);
const char *held_path(void);

double register_loop(long n);      /* in crowd.c */
double library_text_bytes(long n); /* in text.c */

#endif
