# tests/client: what a client has to do, for any client.

# The suite by itself needs the public headers only.
CONFORMANCE = \
	tests/client/bykey.c \
	tests/client/conformance.c tests/client/conformance.h \
	tests/client/grants.c \
	tests/client/keys.c \
	tests/client/leases.c \
	tests/client/life.c \
	tests/client/store.c \
	tests/client/trial.c tests/client/trial.h \
	tests/client/waits.c

SUITES += tests/client/check-client
tests_client_check_client_SOURCES = $(CONFORMANCE) \
	tests/client/broken.c tests/client/broken.h \
	tests/client/broken_grants.c \
	tests/client/broken_store.c \
	tests/client/check_client.c \
	tests/examples/client_table.c
tests_client_check_client_CPPFLAGS = $(AM_CPPFLAGS) -DEXAMPLE_MODULE='"$(EXAMPLE_MODULE)"'
tests_client_check_client_LDADD = libcachify_internal.la -ldl -lpthread
# What is loaded finds the library's calls in the program.
tests_client_check_client_LDFLAGS = $(AM_LDFLAGS) -export-dynamic

# The example as users have theirs; its -rpath only makes libtool build a shared object.
check_LTLIBRARIES = tests/examples/client_table.la
tests_examples_client_table_la_SOURCES = tests/examples/client_table.c
tests_examples_client_table_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -rpath $(abs_builddir)
EXAMPLE_MODULE = $(abs_builddir)/tests/examples/.libs/client_table.so

check-client: tests/client/check-client tests/examples/client_table.la
	tests/client/check-client $(CLIENT)

EXTRA_DIST += tests/client/README.md
.PHONY: check-client
