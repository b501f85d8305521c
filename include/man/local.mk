# The manual's pages of the calls.  A page of several calls is installed under each of their names.

CALL_PAGES = \
	include/man/CACHIFY_WITH.3 \
	include/man/cachify.3 \
	include/man/cachify-cpp.3 \
	include/man/cachify_acquire.3 \
	include/man/cachify_acquire_start.3 \
	include/man/cachify_client.3 \
	include/man/cachify_extend.3 \
	include/man/cachify_lease_held.3 \
	include/man/cachify_memory_client.3 \
	include/man/cachify_open.3 \
	include/man/cachify_query.3 \
	include/man/cachify_release.3 \
	include/man/cachify_release_key.3 \
	include/man/cachify_set.3 \
	include/man/cachify_shm_check.3 \
	include/man/cachify_shm_leases.3 \
	include/man/cachify_shm_open.3 \
	include/man/cachify_sizeof.3 \
	include/man/cachify_strerror.3 \
	include/man/cachify_string.3 \
	include/man/cachify_wrap.3 \
	include/man/cachify_wrap_call.3 \
	include/man/cachify_wrap_key.3
dist_man3_MANS += $(CALL_PAGES)
dist_man7_MANS += include/man/cachify.7

# "OTHER PAGE": the names that a page has beside its file's.
OTHER_NAMES = cd $(srcdir) && awk '\
	FNR == 1 { page = FILENAME; sub(/.*\//, "", page) } \
	$$1 == ".Sh" { inside = $$2 == "NAME" } \
	inside && $$1 == ".Nm" && $$2 ".3" != page { print $$2 ".3", page }' $(dist_man3_MANS)

install-data-hook:
	$(OTHER_NAMES) | while read other page; do \
		echo ".so man3/$$page" >'$(DESTDIR)$(man3dir)'/$$other || exit 1; \
	done

uninstall-hook:
	$(OTHER_NAMES) | while read other page; do rm -f '$(DESTDIR)$(man3dir)'/$$other; done

SCRIPT_SUITES += $(top_srcdir)/tests/manual.sh
EXTRA_DIST += tests/checks.sh tests/manual.sh tests/manual.awk
