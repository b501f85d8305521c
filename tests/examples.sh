#!/bin/sh
# What the documentation shows, compiled and run; and the public headers, each alone, in C
# and C++.  Run by tests/run-suites in the build tree, with CC, CXX and LIBTOOL from make.
set -u
here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
checks=0
failures=0

check() {
    checks=$((checks + 1))
    what=$1
    shift
    if ! "$@" >"$work/log" 2>&1; then
        failures=$((failures + 1))
        echo "tests/examples.sh: failed: $what"
        cat "$work/log"
    fi
}

# The first C block of a file.
example() {
    awk '/^```c$/ { inside = 1; next } /^```$/ { if (inside) exit } inside' "$1"
}

# It uses the user's own segment, which is not the test's to remove if it was there before.
run_readme() {
    segment=/dev/shm/cachify.$(id -u)
    before=$(test -e "$segment" && echo yes)
    "$work/readme" | grep -q '^order 4711 is mine, token [0-9]*$'
    result=$?
    [ -n "$before" ] || rm -f "$segment"
    return $result
}

example "$here/README.md" >"$work/readme.c"
# shellcheck disable=SC2086 # commands and their arguments
check 'README.md: the example compiles' ${LIBTOOL:-libtool} --quiet --mode=link ${CC:-cc} -Wall -Wextra \
    -Werror -I"$here/include" "$work/readme.c" -o "$work/readme" libcachify.la -static
check 'README.md: the example runs' run_readme

for header in "$here"/include/cachify/*.h; do
    name=${header##*/}
    echo "#include <cachify/$name>" >"$work/alone.c"
    cp "$work/alone.c" "$work/alone.cc"
    # shellcheck disable=SC2086
    check "$name alone in C11" ${CC:-cc} -std=c11 -pedantic -Wall -Wextra -Werror -I"$here/include" \
        -fsyntax-only "$work/alone.c"
    if command -v "${CXX:-c++}" >/dev/null 2>&1; then
        check "$name alone in C++11" "${CXX:-c++}" -std=c++11 -pedantic -Wall -Wextra -Werror \
            -I"$here/include" -fsyntax-only "$work/alone.cc"
    fi
done

echo "$(((checks - failures) * 100 / checks))%: Checks: $checks, Failures: $failures, Errors: 0"
[ "$failures" -eq 0 ]
