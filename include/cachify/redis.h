/* cachify: the same locks on a Redis-compatible server, for the processes of many hosts.
 *
 *     cachify_client_t client;
 *     status = cachify_redis_client("redis://locks.example/0", NULL, &client);
 *     status = cachify_open(&(cachify_config_t){.client = &client}, &instance);
 *
 * in a program that links -lcachify-redis -lcachify (pkg-config: cachify-redis).  Redis 5 or later,
 * and what speaks and scripts like it; one server, not a cluster.
 *
 * What to know before anything else:
 *
 *  - There is no liveness: a holder that dies keeps the lock until its lease expires.  One that
 *    never expires (CACHIFY_NEVER) is held until somebody releases it by key.
 *  - A lease ends here before it ends on the server: it is counted on this host's monotonic
 *    clock from before the command was sent.  The server counts on its own wall clock: a step of
 *    that moves expiries.
 *  - cachify_lease_held and cachify_lease_remaining_ms ask nobody: they tell of this process's own
 *    doings and of the clock, and are fit for signal handlers.  That another process released the
 *    lock by key, or overwrote it, is found out by extend and release (LOST).
 *  - A server that loses what it had (a restart without persistence, a failover to a replica that
 *    lagged, an eviction) has lost locks with it, and two may hold one.  That is what tokens are
 *    for: whatever the holders write to refuses a token smaller than the largest it has seen.
 *    Tokens increase for as long as the server keeps its data; after it has lost it they begin at
 *    its wall clock, and so above all earlier ones if that was not set back.  A failover alone may
 *    give out some of the last tokens again.  Let the server evict nothing that has an expiry
 *    (maxmemory-policy noeviction).
 *  - What was sent and not answered is asked for again, by the value that names this acquisition,
 *    never guessed.  If there is no answer within the timeouts, the call fails, and what it may
 *    have left is given back as soon as the server answers again, by this client's own thread.
 *  - Waiters sleep until the release wakes them: in order of arrival, one for each release.
 *    Where somebody else's program ends the lock (Python: DEL), they find out at the poll interval.
 *
 * Python's py-cachify on the same server (its prefix is "PYC-", too) sees these locks as held, and
 * these clients see its: pid 0, for nothing is known of the holder.  That Python held a lock in
 * between is not seen by a late extend, if it was given back by then.
 *
 * Keys are the locks' own, with their prefix.  Beside them: cachify:last:KEY, cachify:wait:KEY,
 * cachify:void:*, cachify:done:*, cachify:token, and channels cachify:wake:*.  A user with an ACL
 * needs these, and +@read +@write +@scripting +@pubsub +@connection +time (lib/redis/README.md).
 *
 * Statuses, beside those of <cachify/cachify.h>, each with the server's address and its own words:
 *    SYSTEM         no connection, no answer in time; LOADING, BUSY, MISCONF and the like
 *    PERMISSION     NOAUTH, WRONGPASS, NOPERM; READONLY, a replica; a certificate that is not trusted
 *    FULL           OOM: maxmemory is reached; too many connections on the server
 *    INCOMPATIBLE   a cluster (MOVED, CROSSSLOT); a server without a command that is needed
 *    INVALID        a database that the server has not; a file for TLS that cannot be read
 *    CORRUPT        something that is no value lies under the key (WRONGTYPE), or no answer to the
 *                   question
 * After one that is not about the lock, extend and release may have happened, or not: a lease is
 * not believed in for longer than either would make it.
 */
#ifndef CACHIFY_REDIS_H
#define CACHIFY_REDIS_H

#include <cachify/client.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where the server is, and how to speak to it.  What is set here comes before the URL's. */
typedef struct cachify_redis_options {
    uint32_t size; /* sizeof(cachify_redis_options_t), or 0 */
    uint32_t port; /* 6379 */

    const char *host; /* a name or an address; "localhost" */
    const char *path; /* a Unix socket, instead of host and port */
    const char *user;
    const char *password; /* never told to anybody but the server */
    uint32_t database;    /* 0: the URL's */

    /* Connections of this client, shared by its threads; beside them one to be woken by, from the
     * first time that somebody waits.  A call that finds all of them busy waits for one.  16; at
     * most 1024. */
    uint32_t max_connections;

    /* Resolving the name is the C library's business, and as slow as it is. */
    int64_t connect_timeout_ms; /* 2000 */
    int64_t command_timeout_ms; /* 2000; a call lasts for both at most */

    uint32_t flags; /* CACHIFY_REDIS_TLS, as rediss:// */
    uint32_t reserved;
    /* TLS: PEM files.  The server's certificate has to be signed by one of ca_file (NULL: of the
     * system's), and to name the host.  cert_file: who we are, if the server asks; its key is in
     * key_file, or there too. */
    const char *ca_file, *cert_file, *key_file;
} cachify_redis_options_t;

#define CACHIFY_REDIS_TLS 1u

/* All zero but size. */
CACHIFY_API void cachify_redis_options_init(cachify_redis_options_t *options);

/* A client on the server that the URL names, and the options; either may be NULL.
 *
 *     redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE][?OPTION=VALUE&...]
 *     rediss://...                            by TLS, where the library was built with OpenSSL
 *     unix://[[USER]:PASSWORD@]/PATH[?db=N&...]     also redis+unix://, redis-socket://
 *
 * with %XX for what means something else in a URL; options are db, max_connections,
 * connect_timeout_ms and command_timeout_ms.  All of it is copied.
 *
 * Does not connect: the first call does, and calls after the connection was lost.  While
 * the server cannot be reached calls fail at once, and try anew ever more rarely, once a second at
 * last.  Threads of a forked child have connections of their own.
 *
 * Fills *client, for one cachify_open.  OK; INVALID; NO_MEMORY; SYSTEM (no random numbers). */
CACHIFY_API cachify_status_t cachify_redis_client(const char *url,
                                                  const cachify_redis_options_t *options,
                                                  cachify_client_t *client);

#ifdef __cplusplus
}
#endif

#endif
