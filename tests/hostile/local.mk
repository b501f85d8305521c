# tests/hostile: segments full of nonsense, and who uses them
HOSTILE_SUPPORT = \
	tests/hostile/calls.c \
	tests/hostile/damage.c \
	tests/hostile/hostile.h \
	tests/hostile/watch.c

check_PROGRAMS += tests/hostile/corrupt
tests_hostile_corrupt_SOURCES = tests/hostile/corrupt.c $(HOSTILE_SUPPORT)
tests_hostile_corrupt_LDADD = libcachify_internal.la

check_PROGRAMS += tests/hostile/scribble
tests_hostile_scribble_SOURCES = tests/hostile/scribble.c $(HOSTILE_SUPPORT)
tests_hostile_scribble_LDADD = libcachify_internal.la

ROUNDS = 10000
corrupt: tests/hostile/corrupt
	tests/hostile/corrupt --rounds=$(ROUNDS) $(CORRUPT_ARGS)

soak: tests/hostile/corrupt
	tests/hostile/corrupt --rounds=1000000 $(CORRUPT_ARGS)

scribble: tests/hostile/scribble
	tests/hostile/scribble --seconds=$(SECONDS) $(SCRIBBLE_ARGS)

EXTRA_DIST += tests/hostile/README.md
.PHONY: corrupt scribble soak
