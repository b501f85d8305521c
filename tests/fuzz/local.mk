# Fuzz targets: their corpus is a suite of `make check`; `make fuzz` looks for new inputs.

FUZZ_TARGETS = \
	tests/fuzz/fuzz.c tests/fuzz/fuzz.h \
	tests/fuzz/fuzz_header.c \
	tests/fuzz/fuzz_iterator.c \
	tests/fuzz/fuzz_keys.c \
	tests/fuzz/fuzz_open.c

SUITES += tests/fuzz/test_corpus
tests_fuzz_test_corpus_SOURCES = tests/fuzz/test_corpus.c $(FUZZ_TARGETS)

EXTRA_DIST += tests/fuzz/README.md tests/fuzz/corpus tests/fuzz/fuzzer.c tests/fuzz/run

FUZZ_SECONDS = 60
FUZZ_CC = clang

tests/fuzz/fuzzer: tests/fuzz/fuzzer.c $(FUZZ_TARGETS) $(libcachify_internal_la_SOURCES)
	@mkdir -p tests/fuzz
	$(FUZZ_CC) -g -O1 -std=c11 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
		$(DEFS) $(AM_CPPFLAGS) $(URCU_CFLAGS) -o $@ \
		$(filter %.c,$^) $(URCU_LIBS) -lpthread

fuzz: tests/fuzz/fuzzer
	$(top_srcdir)/tests/fuzz/run $(top_srcdir)/tests/fuzz/corpus $(FUZZ_SECONDS)

CLEANFILES += tests/fuzz/fuzzer
.PHONY: fuzz
