# libcachify-redis: a library of its own, on hiredis and the public interface of the other.

REDIS = \
	lib/redis/bykey.c \
	lib/redis/call.c lib/redis/call.h \
	lib/redis/client.c \
	lib/redis/conn.c lib/redis/conn.h \
	lib/redis/lease.c lib/redis/lease.h \
	lib/redis/line.c lib/redis/line.h \
	lib/redis/listener.c \
	lib/redis/lock.c \
	lib/redis/net.c lib/redis/net.h \
	lib/redis/orphan.c \
	lib/redis/pool.c lib/redis/pool.h \
	lib/redis/redis.h \
	lib/redis/script.c lib/redis/script.h \
	lib/redis/settings.c lib/redis/settings.h \
	lib/redis/system.c lib/redis/system.h \
	lib/redis/tls.c lib/redis/tls.h \
	lib/redis/url.c \
	lib/redis/value.c lib/redis/value.h \
	lib/redis/wait.c

# Each script is what all begin with, its helpers, and itself, as a string; without comments.
REDIS_LUA = \
	lib/redis/lua/acquire.lua \
	lib/redis/lua/extend.lua \
	lib/redis/lua/force.lua \
	lib/redis/lua/helpers.lua \
	lib/redis/lua/join.lua \
	lib/redis/lua/leave.lua \
	lib/redis/lua/query.lua \
	lib/redis/lua/release.lua \
	lib/redis/lua/waiters.lua \
	lib/redis/lua/wake.lua
lib/redis/scripts.inc: $(REDIS_LUA) lib/redis/local.mk
	$(AM_V_GEN)$(MKDIR_P) lib/redis && lua=$(srcdir)/lib/redis/lua && \
	for script in acquire:wake release:wake extend:wake force:wake join:wake leave:wake query: waiters:; do \
		name=$${script%:*}; more=$${script#*:}; \
		echo "static const char $$name[] ="; \
		sed -e '/^ *--/d' -e '/^ *$$/d' -e 's/[\\"]/\\&/g' -e 's/^ *\(.*\)$$/    "\1\\n"/' \
			$$lua/helpers.lua $${more:+$$lua/$$more.lua} $$lua/$$name.lua || exit 1; \
		echo '    ;'; \
	done >$@.new && mv $@.new $@
$(libcachify_redis_internal_la_OBJECTS): lib/redis/scripts.inc
CLEANFILES += lib/redis/scripts.inc

if WITH_REDIS
cachifyinclude_HEADERS += include/cachify/redis.h
pkgconfig_DATA += cachify-redis.pc

noinst_LTLIBRARIES += libcachify_redis_internal.la
lib_LTLIBRARIES += libcachify-redis.la
else
EXTRA_DIST += include/cachify/redis.h
endif

libcachify_redis_internal_la_SOURCES = $(REDIS)
libcachify_redis_internal_la_CFLAGS = $(AM_CFLAGS) $(HIREDIS_CFLAGS) $(VISIBILITY_CFLAGS)
libcachify_redis_internal_la_LIBADD = $(HIREDIS_LIBS) -lpthread

libcachify_redis_la_SOURCES =
libcachify_redis_la_LIBADD = libcachify_redis_internal.la libcachify.la
# Its thread and its fork handlers are called when it was closed by dlclose, too.
libcachify_redis_la_LDFLAGS = $(AM_LDFLAGS) -no-undefined -version-info 0:0:0 -Wl,-z,nodelete \
	-Wl,--version-script=$(top_srcdir)/lib/redis/libcachify-redis.map
EXTRA_libcachify_redis_la_DEPENDENCIES = lib/redis/libcachify-redis.map

EXTRA_DIST += $(REDIS_LUA) lib/redis/README.md lib/redis/libcachify-redis.map
