# tests/steps: each operation, killed and stopped at every instruction
EXTRA_PROGRAMS += tests/steps/steps
tests_steps_steps_SOURCES = \
	tests/steps/census.c tests/steps/census.h \
	tests/steps/judge.c tests/steps/judge.h \
	tests/steps/operations.c tests/steps/operations.h \
	tests/steps/room.c tests/steps/room.h \
	tests/steps/run.c tests/steps/run.h \
	tests/steps/stepper.c tests/steps/stepper.h \
	tests/steps/steps.c
tests_steps_steps_LDADD = libcachify_internal.la -lpthread
# Else the dynamic linker's search for each symbol is stepped through, too.
tests_steps_steps_LDFLAGS = $(AM_LDFLAGS) -Wl,-z,now

EXTRA_DIST += tests/steps/README.md

kill-steps: tests/steps/steps
	tests/steps/steps $(STEPS_ARGS)

.PHONY: kill-steps
