# What scripts of checks share: sourced by bench.sh, examples.sh and manual.sh, in the build tree, with CC and
# LIBTOOL from make.
# shellcheck shell=sh
here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
checks=0
failures=0

# check WHAT COMMAND...: what the command said is shown if it failed.
check() {
    checks=$((checks + 1))
    what=$1
    shift
    if ! "$@" >"$work/log" 2>&1; then
        failures=$((failures + 1))
        echo "tests/${0##*/}: failed: $what"
        cat "$work/log"
    fi
}

# compile SOURCE PROGRAM FLAG...: with the library as it was built here, and flags of other libraries.
compile() {
    source=$1
    program=$2
    shift 2
    # shellcheck disable=SC2086 # commands and their arguments
    ${LIBTOOL:-libtool} --quiet --mode=link ${CC:-cc} -D_GNU_SOURCE -Wall -Wextra -Werror \
        -I"$here/include" "$source" -o "$work/$program" libcachify.la -static "$@"
}

# The command uses the user's own segment, which is not the test's to remove if it was there before.
on_own_segment() {
    segment=/dev/shm/cachify.$(id -u)
    before=$(test -e "$segment" && echo yes)
    "$@"
    result=$?
    [ -n "$before" ] || rm -f "$segment"
    return $result
}

# The summary, as libcheck's; fails if a check did.
tell() {
    echo "$(((checks - failures) * 100 / checks))%: Checks: $checks, Failures: $failures, Errors: 0"
    [ "$failures" -eq 0 ]
}
