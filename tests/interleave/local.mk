# Interleavings (tests/interleave/README.md): the library built a second time, each access
# to memory after a call into the test's scheduler.

EXTRA_LTLIBRARIES += tests/interleave/libcachify_stepped.la
tests_interleave_libcachify_stepped_la_SOURCES = $(libcachify_internal_la_SOURCES)
tests_interleave_libcachify_stepped_la_CPPFLAGS = $(AM_CPPFLAGS) \
	-I$(top_srcdir)/tests/interleave -DCF_STEPPED='"stepped.h"' -DCF_MOMENT=2u
# Accesses within accesses shadow each other's names, and 16-bit values are widened.
tests_interleave_libcachify_stepped_la_CFLAGS = $(AM_CFLAGS) -Wno-shadow -Wno-conversion

EXTRA_PROGRAMS += tests/interleave/interleave
tests_interleave_interleave_SOURCES = \
	tests/interleave/files.c tests/interleave/files.h \
	tests/interleave/game.c \
	tests/interleave/interleave.c \
	tests/interleave/memory.c tests/interleave/memory.h \
	tests/interleave/monitor.c tests/interleave/monitor.h \
	tests/interleave/pairs.c tests/interleave/pairs.h \
	tests/interleave/program.c tests/interleave/program.h \
	tests/interleave/scheduler.c tests/interleave/scheduler.h \
	tests/interleave/sleep.c \
	tests/interleave/stepped.h \
	tests/interleave/world.c tests/interleave/world.h
tests_interleave_interleave_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/interleave
tests_interleave_interleave_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=clock_gettime -Wl,--wrap=cf_futex_wait -Wl,--wrap=cf_futex_wake \
	-Wl,--wrap=open -Wl,--wrap=link -Wl,--wrap=linkat -Wl,--wrap=rename \
	-Wl,--wrap=syscall -Wl,--wrap=unlink -Wl,--wrap=stat
tests_interleave_interleave_LDADD = tests/interleave/libcachify_stepped.la $(URCU_LIBS) -lpthread

interleave: tests/interleave/interleave
	tests/interleave/interleave --bound=$(BOUND) $(INTERLEAVE_ARGS)

# Two minutes: the protocol broken in copies, each of which has to be caught.
interleave-mutants:
	CC='$(CC)' $(srcdir)/tests/interleave/mutants.sh $(srcdir) $(MUTANT)

EXTRA_DIST += tests/interleave/README.md tests/interleave/mutants.sh

.PHONY: interleave interleave-mutants
