# tests/machines: the suites on other machines than the one that builds.
EXTRA_DIST += \
	tests/machines/README.md tests/machines/aarch64.skips tests/machines/musl.skips \
	tests/machines/glibc_calls.c tests/machines/meet.sh tests/machines/run.sh

EXTRA_PROGRAMS += tests/machines/peer
tests_machines_peer_LDADD = libcachify_internal.la

MACHINES_WORK = tests/machines/scratch
machines:
	@rm -rf $(MACHINES_WORK) && $(MKDIR_P) $(MACHINES_WORK)
	@$(MAKE) --silent distdir distdir=$(MACHINES_WORK)/source >$(MACHINES_WORK)/log 2>&1 || \
		{ cat $(MACHINES_WORK)/log; exit 1; }
	@$(MAKE) --silent tests/machines/peer$(EXEEXT)
	@PEER=tests/machines/peer$(EXEEXT) $(top_srcdir)/tests/machines/run.sh $(MACHINES_WORK) $(MACHINES); \
		status=$$?; rm -rf $(MACHINES_WORK); exit $$status

.PHONY: machines
