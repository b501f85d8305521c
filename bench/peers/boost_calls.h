/* What boost.c asks of boost_calls.cc.  Two handles, to be told apart by their number. */
#ifndef BENCH_PEERS_BOOST_CALLS_H
#define BENCH_PEERS_BOOST_CALLS_H

#ifdef __cplusplus
extern "C" {
#endif

const char *boost_calls_version(void);
void boost_calls_make(const char *name);
void boost_calls_remove(const char *name);
void boost_calls_take(const char *name); /* look it up, or make it, and lock it */
void boost_calls_give(void);
int boost_calls_try(const char *name); /* look it up and try to lock it: whether that was got */

#ifdef __cplusplus
}
#endif

#endif
