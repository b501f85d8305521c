# tests/tools: the tools on a server, where libcachify-redis is built.

SUITES += tests/tools/test_lock_client
tests_tools_test_lock_client_SOURCES = $(LOCK_TOOL_SUPPORT) tools/client.c tools/client.h tests/tools/test_lock_client.c
tests_tools_test_lock_client_CPPFLAGS = $(SERVER_TEST_CPPFLAGS)
tests_tools_test_lock_client_LDADD = $(CLIENT_LIBS) $(LDADD)
SERVER_TEST_CPPFLAGS = $(AM_CPPFLAGS) $(CLIENT_CPPFLAGS)

if WITH_REDIS
SUITES += $(SERVER_SUITES)
endif
SERVER_SUITES = tests/tools/test_lock_server tests/tools/test_lock_server_hard
EXTRA_PROGRAMS += $(SERVER_SUITES)
LOCK_SERVER_SUPPORT = \
	$(LOCK_TOOL_SUPPORT) \
	tests/redis/server.c tests/redis/server.h \
	tests/tools/lock_server.c tests/tools/lock_server.h
tests_tools_test_lock_server_SOURCES = $(LOCK_SERVER_SUPPORT) tests/tools/test_lock_server.c
tests_tools_test_lock_server_CPPFLAGS = $(SERVER_TEST_CPPFLAGS)
tests_tools_test_lock_server_CFLAGS = $(AM_CFLAGS) $(HIREDIS_CFLAGS)
tests_tools_test_lock_server_LDADD = $(LDADD) $(HIREDIS_LIBS)
tests_tools_test_lock_server_hard_SOURCES = $(LOCK_SERVER_SUPPORT) tests/tools/test_lock_server_hard.c
tests_tools_test_lock_server_hard_CPPFLAGS = $(SERVER_TEST_CPPFLAGS)
tests_tools_test_lock_server_hard_CFLAGS = $(AM_CFLAGS) $(HIREDIS_CFLAGS)
tests_tools_test_lock_server_hard_LDADD = $(LDADD) $(HIREDIS_LIBS)

SCRIPT_SUITES += $(top_srcdir)/tests/tools/server_uses
EXTRA_DIST += tests/tools/server_uses
