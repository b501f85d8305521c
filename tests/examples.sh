#!/bin/sh
# What the documentation shows, compiled and run; and the public headers, each alone, in C
# and C++.  Run by tests/run-suites in the build tree, with CC, CXX and LIBTOOL from make.
set -u
# shellcheck source=tests/checks.sh
. "$(dirname "$0")/checks.sh"

# The Nth C block of a file.
example() {
    awk -v wanted="$2" '/^```c$/ { n++; inside = n == wanted; next } /^```$/ { inside = 0 } inside' "$1"
}

# Runs an example; each of the lines that follow has to be in what it says.
says() {
    timeout 60 "$work/$1" >"$work/said" || return 1
    shift
    cat "$work/said"
    for line; do
        grep -q "^$line" "$work/said" || {
            echo "it does not say: $line"
            return 1
        }
    done
}

leaves_nothing() {
    ! ls /dev/shm/cachify-example-"$1".* 2>/dev/null
}

example "$here/README.md" 1 >"$work/readme.c"
check 'README.md: the first example compiles' compile "$work/readme.c" readme
check 'README.md: the first example runs' on_own_segment says readme 'order 4711 is mine, token [0-9]*$'
example "$here/README.md" 2 >"$work/shorter.c"
check 'README.md: the second example compiles' compile "$work/shorter.c" shorter
check 'README.md: the second example runs' on_own_segment says shorter \
    'the report is mine for [0-9]* ms$' 'shipping order 4711 from the north$' 'shipped: yes$'

check 'epoll.c compiles' compile "$here/tests/examples/epoll.c" epoll
check 'epoll.c runs' says epoll 'order 0: mine' 'order 1: mine' \
    'order 2: given up: order 2 is already locked!' 'the timer went on: yes'
check 'epoll.c leaves no segment' leaves_nothing epoll

check 'prefork.c compiles' compile "$here/tests/examples/prefork.c" prefork
check 'prefork.c runs' says prefork '3 of 4 workers came home$' \
    'job-7 was taken over from the one that was killed: yes$' '40 of 40 jobs done exactly once$'
check 'prefork.c leaves no segment' leaves_nothing prefork

check 'cron.c compiles' compile "$here/tests/examples/cron.c" cron
check 'cron.c runs' says cron 'pid [0-9]* writes the report$' \
    'not now: nightly-report is already locked! Held by process [0-9]* (' \
    '1 of 8 starts ran, 8 ended well$'
check 'cron.c leaves no segment' leaves_nothing cron

check 'leader.c compiles' compile "$here/tests/examples/leader.c" leader
check 'leader.c runs' says leader 'the first leads: FRESH; it is killed$' \
    'the second leads: OWNER_DIED; it stops$' 'the third leads: EXPIRED$' \
    'the second goes on, and is told by cachify_extend: LOST$' \
    'the third led to the end; each term is later than the one before: yes$'
check 'leader.c leaves no segment' leaves_nothing leader

check 'jobs.c compiles' compile "$here/tests/examples/jobs.c" jobs
check 'jobs.c runs' says jobs '4 of 4 workers came home$' '80 deliveries, 20 handled$' \
    '20 of 20 messages took effect exactly once$'
check 'jobs.c leaves no segment' leaves_nothing jobs

check 'fence.c compiles' compile "$here/tests/examples/fence.c" fence
check 'fence.c runs' says fence 'the second takes over: EXPIRED$' 'the second writes 2: done$' \
    'the first comes back and writes 1: refused$' 'the first releases: LOST$' \
    'the store has 2$'
check 'fence.c leaves no segment' leaves_nothing fence

if pkg-config --exists libuv 2>/dev/null; then
    # shellcheck disable=SC2046 # words
    check 'libuv.c compiles' compile "$here/tests/examples/libuv.c" libuv \
        $(pkg-config --cflags --libs libuv)
    check 'libuv.c runs' says libuv 'job 0: mine' 'job 1: cancelled'
    check 'libuv.c leaves no segment' leaves_nothing libuv
else
    echo 'libuv.c: skipped: libuv is missing (Debian: libuv1-dev)'
fi

# REFERENCE.md names the tests that prove it as `file: word`.
reference_is_true() {
    grep -o '[a-z_/]*\.\(c\|py\|sh\): [A-Za-z_0-9]*' "$here/tests/REFERENCE.md" >"$work/named"
    result=0
    while IFS=': ' read -r file word; do
        grep -qw -- "$word" "$here/tests/$file" || {
            echo "tests/$file has no $word"
            result=1
        }
    done <"$work/named"
    [ -s "$work/named" ] && return $result
}
check 'REFERENCE.md: the tests that it names are there' reference_is_true

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

tell
