# tests/client: what a client has to do, for any client.
SUITES += tests/client/check-client
tests_client_check_client_SOURCES = \
	tests/client/check_client.c \
	tests/client/conformance.c tests/client/conformance.h \
	tests/client/store.c \
	tests/client/trial.c tests/client/trial.h
# Its own, for a source that is a module's, too.
tests_client_check_client_CFLAGS = $(AM_CFLAGS)
tests_client_check_client_LDADD = libcachify_internal.la -ldl -lpthread
# What is loaded finds the library's calls here.
tests_client_check_client_LDFLAGS = $(AM_LDFLAGS) -export-dynamic

check-client: tests/client/check-client
	tests/client/check-client $(CLIENT)

.PHONY: check-client
