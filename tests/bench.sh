#!/bin/sh
# The bench: its output can be read by programs, what is missing is named, nothing is left.  Figures
# are no matter here.  Run by tests/run-suites in the build tree.
set -u
BENCH_SRCDIR=$(cd "$(dirname "$0")/../bench" && pwd)
export BENCH_SRCDIR
# shellcheck source=tests/checks.sh
. "$(dirname "$0")/checks.sh"

fields='case subject n median p99 unit ratio_to ratio bar met'

is_json() {
    [ -s "$1" ] || return
    while read -r line; do
        echo "$line" | python3 -m json.tool >/dev/null || return
    done <"$1"
}

has_fields() {
    [ "$(wc -l <"$1")" -gt 1 ] || return
    sed 1d "$1" | while read -r line; do
        found=$(echo "$line" | grep -oE '"[a-z0-9_]+":' | tr -d '":' | tr '\n' ' ')
        [ "$found" = "$fields " ] || { echo "$line" && return 1; }
    done
}


refuses() {
    bench/bench "$@" >"$work/out" 2>&1
    [ $? -eq 64 ]
}

# Killed in the middle: its processes and its files go, a moment later.
leaves_nothing() {
    bench/bench --case 'many_keys_2' --rounds 101 >/dev/null 2>&1 &
    bench=$!
    sleep 1
    kill "-$1" "$bench"
    wait "$bench" 2>/dev/null
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        [ -z "$(of_others)" ] && return
        sleep 1
    done
    of_others | head -n 3
    return 1
}

# What lies there now and did not before.
of_others() {
    ls -A /dev/shm | grep -F cachify-bench- | grep -vxFf "$work/before"
}

{ ls -A /dev/shm | grep -F cachify-bench-; echo none; } >"$work/before"
check 'it tells its cases' bench/bench --help
check 'a case that is not there' refuses --case none_such
check 'no rounds' refuses --rounds 0

# Checkers see the peers as well, and take long for it.
if [ -z "${CHECKER-}" ]; then
    bench/bench --quick --rounds 1 --json --case 'held_1k' >"$work/held.json"
    bench/bench --quick --rounds 1 --json --case 'is_locked' >"$work/one.json"
    PATH=/nowhere bench/bench --quick --rounds 1 --case 'pair_uncontended' >"$work/table" 2>/dev/null
    for run in held one; do
        check "each line is JSON: $run" is_json "$work/$run.json"
        check "each line has its fields: $run" has_fields "$work/$run.json"
    done
    check 'a missing server is named with its package' grep -q 'redis-server (Debian: redis-server)' "$work/table"
    check 'a missing server is named with its package' grep -q 'memcached (Debian: memcached)' "$work/table"
    check 'told to end, it leaves nothing' leaves_nothing TERM
    check 'killed, it leaves nothing' leaves_nothing KILL
fi

tell
