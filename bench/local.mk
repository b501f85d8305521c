# Benchmarks: the library beside what would be picked instead.

noinst_PROGRAMS += bench/bench
bench_bench_SOURCES = \
	bench/absent.c \
	bench/async.c \
	bench/bars.c \
	bench/bench.c bench/bench.h \
	bench/cachify_bench.h \
	bench/cases.c \
	bench/clock.c \
	bench/crowd.c \
	bench/figures.c \
	bench/held.c \
	bench/herd.c \
	bench/machine.c \
	bench/measure.c \
	bench/processes.c \
	bench/race.c \
	bench/report.c \
	bench/report_json.c \
	bench/room.c \
	bench/servers.c \
	bench/text.c \
	bench/waiting.c \
	bench/peers/boost.c bench/peers/boost_calls.h \
	bench/peers/cachify.c \
	bench/peers/flock.c \
	bench/peers/inspect.c \
	bench/peers/loops.h \
	bench/peers/memcached.c \
	bench/peers/mutex.c \
	bench/peers/ofd.c \
	bench/peers/peer.h \
	bench/peers/peers.c \
	bench/peers/python.c \
	bench/peers/redis.c \
	bench/peers/semaphore.c \
	bench/peers/sysv.c
bench_bench_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/bench
bench_bench_CFLAGS = $(AM_CFLAGS)
bench_bench_LDADD = libcachify.la -lpthread

if WITH_REDIS
bench_bench_CPPFLAGS += -DBENCH_HIREDIS
bench_bench_CFLAGS += $(HIREDIS_CFLAGS)
bench_bench_LDADD += $(HIREDIS_LIBS)
endif

# By itself, so that nothing else needs a C++ compiler; without sanitizers, whose runtime is the
# C compiler's.
if HAVE_BOOST
bench/boost_calls.$(OBJEXT): bench/peers/boost_calls.cc bench/peers/boost_calls.h
	$(AM_V_GEN)$(CXX) $(CXXFLAGS) -pthread -I$(top_srcdir)/bench -c $(srcdir)/bench/peers/boost_calls.cc -o $@
CLEANFILES += bench/boost_calls.$(OBJEXT)
bench_bench_CPPFLAGS += -DBENCH_BOOST
bench_bench_LDADD += bench/boost_calls.$(OBJEXT) -lstdc++
endif
EXTRA_DIST += bench/peers/boost_calls.cc

EXTRA_DIST += bench/README.md bench/peers/python_reference.py
EXTRA_DIST += bench/plot bench/plots.gp bench/record bench/results bench/tables.awk

SCRIPT_SUITES += $(top_srcdir)/tests/bench.sh
EXTRA_DIST += tests/bench.sh

RUN_BENCH = BENCH_SRCDIR='$(top_srcdir)/bench'

bench: bench/bench tools/cachify-shm-inspect
	$(RUN_BENCH) bench/bench $(BENCH_ARGS)

# The full run, with its plots and the tables of bench/README.md.
bench-record: bench/bench tools/cachify-shm-inspect
	$(RUN_BENCH) $(top_srcdir)/bench/record $(BENCH_ARGS)

# The plots again, from what was recorded.
bench-plots:
	$(top_srcdir)/bench/plot $(top_srcdir)/bench/results/run.json \
		$(top_srcdir)/bench/results/latencies.txt $(top_srcdir)/bench/results

.PHONY: bench bench-plots bench-record

# How many instructions the calls take, beside what is recorded.
noinst_PROGRAMS += bench/count
bench_count_SOURCES = bench/count.c
bench_count_LDADD = libcachify.la
EXTRA_DIST += bench/instructions bench/instructions.txt

instructions: bench/count
	CC='$(CC)' $(LIBTOOL) --silent --mode=execute $(srcdir)/bench/instructions $(VALGRIND) bench/count $(RECORD)

.PHONY: instructions
