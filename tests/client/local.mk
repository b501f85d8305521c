# tests/client: what a client has to do, for any client.
SUITES += tests/client/check-client
tests_client_check_client_SOURCES = \
	tests/client/check_client.c \
	tests/client/conformance.c tests/client/conformance.h \
	tests/client/bykey.c \
	tests/client/grants.c \
	tests/client/keys.c \
	tests/client/leases.c \
	tests/client/life.c \
	tests/client/store.c \
	tests/client/trial.c tests/client/trial.h \
	tests/client/waits.c \
	tests/examples/client_table.c
# Its own, for a source that is a module's, too.
tests_client_check_client_CFLAGS = $(AM_CFLAGS)
tests_client_check_client_LDADD = libcachify_internal.la -ldl -lpthread
# What is loaded finds the library's calls here.
tests_client_check_client_LDFLAGS = $(AM_LDFLAGS) -export-dynamic

# The same client as a module, as users have theirs.
check_LTLIBRARIES = tests/examples/client_table.la
tests_examples_client_table_la_SOURCES = tests/examples/client_table.c
tests_examples_client_table_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -rpath $(abs_builddir)

check-client: tests/client/check-client tests/examples/client_table.la
	tests/client/check-client $(CLIENT)

.PHONY: check-client
