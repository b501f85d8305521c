# tools: what they have of libcachify-redis, where it is built.

CLIENT_SOURCES = tools/client.c tools/client.h
tools_lock_cachify_lock_SOURCES += $(CLIENT_SOURCES) tools/lock/renewer.c tools/lock/renewer.h
tools_lock_cachify_lock_CPPFLAGS = $(AM_CPPFLAGS) $(CLIENT_CPPFLAGS)
tools_lock_cachify_lock_LDADD = $(CLIENT_LIBS) libcachify.la -lpthread
tools_demo_worker_pool_SOURCES += $(CLIENT_SOURCES) tools/demo/store.c tools/demo/store.h
tools_demo_worker_pool_CPPFLAGS = $(AM_CPPFLAGS) $(CLIENT_CPPFLAGS)
tools_demo_worker_pool_LDADD = $(CLIENT_LIBS) libcachify.la
if WITH_REDIS
CLIENT_CPPFLAGS = -DWITH_REDIS
CLIENT_LIBS = libcachify-redis.la
endif

# Its manual is there in any build: cachify-lock's names it.
dist_man3_MANS = include/man/cachify_redis_client.3
dist_man7_MANS = include/man/cachify-redis.7
