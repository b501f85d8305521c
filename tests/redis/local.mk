# tests/redis: libcachify-redis on servers of its own.

if WITH_REDIS
SUITES += $(REDIS_SUITES)
SCRIPT_SUITES += $(top_srcdir)/tests/redis/interop
check_PROGRAMS += tests/redis/hand
endif
EXTRA_PROGRAMS += $(REDIS_SUITES) tests/redis/hand
EXTRA_DIST += tests/redis/interop tests/redis/interop.py tests/redis/README.md
REDIS_SUITES = tests/redis/check-redis
REDIS_SUITES += tests/redis/test_redis_cut
REDIS_SUITES += tests/redis/test_redis_failure
REDIS_SUITES += tests/redis/test_redis_settings
REDIS_SUITES += tests/redis/test_redis_tcp
REDIS_SUITES += tests/redis/test_redis_wait

REDIS_SUPPORT = tests/redis/server.c tests/redis/server.h
REDIS_SITE = $(REDIS_SUPPORT) \
	tests/redis/proxy.c tests/redis/proxy.h \
	tests/redis/site.c tests/redis/site.h
REDIS_TEST_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests -I$(top_srcdir)/tests/redis
REDIS_TEST_CFLAGS = $(AM_CFLAGS) $(HIREDIS_CFLAGS)
REDIS_TEST_LIBS = libcachify_redis_internal.la libcachify_internal.la $(HIREDIS_LIBS)
REDIS_SITE_LIBS = $(TEST_LIBRARY) $(REDIS_TEST_LIBS) $(CHECK_LIBS)

tests_redis_check_redis_SOURCES = $(CONFORMANCE) $(REDIS_SUPPORT) tests/redis/check_redis.c
tests_redis_check_redis_CPPFLAGS = $(REDIS_TEST_CPPFLAGS)
tests_redis_check_redis_CFLAGS = $(REDIS_TEST_CFLAGS)
tests_redis_check_redis_LDADD = $(REDIS_TEST_LIBS)

tests_redis_test_redis_cut_SOURCES = $(REDIS_SITE) tests/redis/test_redis_cut.c
tests_redis_test_redis_cut_CPPFLAGS = $(REDIS_TEST_CPPFLAGS)
tests_redis_test_redis_cut_CFLAGS = $(REDIS_TEST_CFLAGS)
tests_redis_test_redis_cut_LDADD = $(REDIS_SITE_LIBS)

tests_redis_test_redis_failure_SOURCES = $(REDIS_SITE) tests/redis/test_redis_failure.c
tests_redis_test_redis_failure_CPPFLAGS = $(REDIS_TEST_CPPFLAGS)
tests_redis_test_redis_failure_CFLAGS = $(REDIS_TEST_CFLAGS)
tests_redis_test_redis_failure_LDADD = $(REDIS_SITE_LIBS)

tests_redis_test_redis_wait_SOURCES = $(REDIS_SITE) tests/redis/test_redis_wait.c
tests_redis_test_redis_wait_CPPFLAGS = $(REDIS_TEST_CPPFLAGS)
tests_redis_test_redis_wait_CFLAGS = $(REDIS_TEST_CFLAGS)
tests_redis_test_redis_wait_LDADD = $(REDIS_SITE_LIBS)

tests_redis_test_redis_tcp_SOURCES = $(REDIS_SITE) tests/redis/test_redis_tcp.c
tests_redis_test_redis_tcp_CPPFLAGS = $(REDIS_TEST_CPPFLAGS)
tests_redis_test_redis_tcp_CFLAGS = $(REDIS_TEST_CFLAGS)
tests_redis_test_redis_tcp_LDADD = $(REDIS_SITE_LIBS)

tests_redis_test_redis_settings_SOURCES = tests/redis/test_redis_settings.c
tests_redis_test_redis_settings_CPPFLAGS = $(REDIS_TEST_CPPFLAGS)
tests_redis_test_redis_settings_CFLAGS = $(REDIS_TEST_CFLAGS)
tests_redis_test_redis_settings_LDADD = $(REDIS_SITE_LIBS)

tests_redis_hand_CPPFLAGS = $(REDIS_TEST_CPPFLAGS)
tests_redis_hand_LDADD = $(REDIS_TEST_LIBS)

# Figures: run by hand, bench/redis-client.
if WITH_REDIS
noinst_PROGRAMS += bench/redis-client
endif
EXTRA_PROGRAMS += bench/redis-client
bench_redis_client_SOURCES = bench/redis_client.c $(REDIS_SUPPORT)
bench_redis_client_CPPFLAGS = $(REDIS_TEST_CPPFLAGS)
bench_redis_client_CFLAGS = $(REDIS_TEST_CFLAGS)
bench_redis_client_LDADD = $(REDIS_TEST_LIBS)
