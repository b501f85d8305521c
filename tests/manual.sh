#!/bin/sh
# The manual's pages of the calls, beside the headers: what is declared is told, what is told is
# declared; the programs in them compile and run; what they quote of an example is there.  Run by
# tests/run-suites in the build tree, with CC, CXX and LIBTOOL from make.
set -u
# shellcheck source=tests/checks.sh
. "$(dirname "$0")/checks.sh"
headers=$(echo "$here"/include/cachify/*.h)
pages=$(echo "$here"/include/man/*.[37])

told() {
    want=$1
    shift
    awk -v want="$want" -f "$here/tests/manual.awk" "$@"
}

same_calls() {
    # shellcheck disable=SC2086 # words
    told calls $headers | sort >"$work/declared"
    # shellcheck disable=SC2086
    told synopsis $pages | sort >"$work/told"
    cut -f 1,2 "$work/told" | diff "$work/declared" - && [ -s "$work/declared" ]
}

page_of() {
    awk -F '\t' -v name="$1" '$1 == name { print $3 }' "$work/told"
}

# In NAME, too: for each of these names a page is installed.
each_call_is_named() {
    result=0
    while IFS='	' read -r name _ page; do
        awk '$1 == ".Sh" { inside = $2 == "NAME" } inside && $1 == ".Nm" { print $2 }' "$page" |
            grep -qx "$name" || { echo "$page: NAME has no $name" && result=1; }
    done <"$work/told"
    return $result
}

each_status_is_told() {
    result=0
    # shellcheck disable=SC2086
    told statuses $headers | sort -u >"$work/statuses"
    while IFS='	' read -r name status; do
        page=$(page_of "$name")
        grep -qw "CACHIFY_$status" "$page" || { echo "$page: $name: no CACHIFY_$status" && result=1; }
    done <"$work/statuses"
    [ -s "$work/statuses" ] && return $result
}

each_name_is_told() {
    result=0
    # shellcheck disable=SC2086
    told names $headers | grep -vx -e reserved -e opaque | sort -u >"$work/names"
    while read -r name; do
        # shellcheck disable=SC2086
        grep -qw -- "$name" $pages || { echo "no page has $name" && result=1; }
    done <"$work/names"
    [ -s "$work/names" ] && return $result
}

run() {
    timeout 60 "$work/$1" </dev/null
}

compile_c() {
    compile "$work/$1.c" "$1" -lpthread
}

compile_cc() {
    # shellcheck disable=SC2086 # commands and their arguments
    ${LIBTOOL:-libtool} --quiet --mode=link "${CXX:-c++}" -std=c++11 -Wall -Wextra -Werror \
        ${CHECKER-} -I"$here/include" "$work/$1.cc" -o "$work/$1" libcachify.la -static -lpthread
}

# Those literal blocks of a page that are whole programs.
programs_of() {
    page=$1
    language=$2
    n=0
    while n=$((n + 1)) && awk -v want=program -v n=$n -f "$here/tests/manual.awk" "$page" >"$work/block" &&
        [ -s "$work/block" ]; do
        head -n 1 "$work/block" | grep -q '^#include' || continue
        cp "$work/block" "$work/program.$language"
        check "${page##*/}: example $n compiles" "compile_$language" program
        check "${page##*/}: example $n runs" on_own_segment run program
    done
}

# A block after a line `.\" tests/examples/FILE` (in README.md: `<!-- tests/examples/FILE -->`) is a
# part of that file.
quotes_are_true() {
    awk -v here="$here" '
        function trimmed(line) { gsub(/^[ \t]+|[ \t]+$/, "", line); return line "\n" }
        ($1 == ".\\\"" || $1 == "<!--") && $2 ~ /^tests\/examples\// { file = $2; next }
        ($1 == ".Bd" || /^```/) && file != "" && !inside { inside = 1; quoted = ""; next }
        ($1 == ".Ed" || /^```/) && inside {
            whole = ""
            while ((getline line < (here "/" file)) > 0)
                whole = whole trimmed(line)
            close(here "/" file)
            count++
            if (quoted == "" || index(whole, quoted) == 0) {
                print FILENAME ": " file " has no\n" quoted
                bad = 1
            }
            inside = 0
            file = ""
        }
        inside { gsub(/\\&/, ""); gsub(/\\e/, "\\"); quoted = quoted trimmed($0) }
        END { exit bad || count == 0 }' "$1"
}

check 'every call is told, with its prototype, in one page' same_calls
check 'every call is in the NAME of its page' each_call_is_named
check 'every status of a call is told in its page' each_status_is_told
check 'every member, constant and macro is told' each_name_is_told
for page in "$here"/include/man/*.3; do
    case $page in
    *redis*) ;; # tools/server_uses has a server for them
    *-cpp.3) command -v "${CXX:-c++}" >/dev/null 2>&1 && programs_of "$page" cc ;;
    *) programs_of "$page" c ;;
    esac
done
check 'cachify.7: what it quotes of the examples is there' quotes_are_true "$here/include/man/cachify.7"
check 'README.md: what it quotes of the examples is there' quotes_are_true "$here/README.md"
if command -v mandoc >/dev/null 2>&1; then
    for page in $pages; do
        # shellcheck disable=SC2016
        check "${page##*/} is clean" sh -c '! mandoc -Tlint "$1" 2>&1 |
            grep -v -e mandoc.db -e "not found: Xr" -e "referenced manual not found"' - "$page"
    done
else
    echo 'mandoc is missing: pages are not checked by it (Debian: mandoc)'
fi

tell
