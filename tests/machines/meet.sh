#!/bin/bash
# Lets peers of several machines use one segment together.
#
#   meet.sh SEGMENT NAME COMMAND [NAME COMMAND]...
#
# Closes with `meet: N passed, N failed`. Words of the peers' answers: peer.c.
set -u

segment=$1
shift
pipes=$(mktemp -d) || exit 1
names=()
declare -A to from pid
passed=0
failed=0

cleanup() {
    local name
    for name in "${names[@]}"; do kill -KILL "${pid[$name]}" 2>/dev/null; done
    wait 2>/dev/null
    rm -rf "$pipes" "$segment"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

start() { # NAME COMMAND
    mkfifo "$pipes/$1.in" "$pipes/$1.out" || exit 1
    # shellcheck disable=SC2086 # a command and its arguments
    $2 "$segment" <"$pipes/$1.in" >"$pipes/$1.out" &
    pid[$1]=$!
    exec {fd}>"$pipes/$1.in"
    to[$1]=$fd
    exec {fd}<"$pipes/$1.out"
    from[$1]=$fd
}

tell() { # NAME LINE...
    echo "${*:2}" >&"${to[$1]}"
}

hear() { # NAME: the answer's words in $answer
    answer=(none)
    read -r -t 60 -u "${from[$1]}" -a answer
}

ask() {
    tell "$@"
    hear "$1"
}

# is WHAT CONDITION...: one check; shows the last answer where it fails
is() {
    local what=$1
    shift
    if [ "$@" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED: $what: not $*; the last answer: ${answer[*]}"
    fi
}

OK=0 LOCKED=1 OWNER_DIED=2

# A takes, B finds it locked by A, waits, is woken by A's release with a larger token, is killed,
# and A takes over from the dead.
meet() { # A B
    local key=$1-$2 pair="$1 and $2" token holder since
    ask "$1" pid
    holder=${answer[0]}
    ask "$1" try "$key" 60000
    is "$pair: the first takes" "${answer[0]}" = $OK
    token=${answer[1]-0}
    ask "$2" try "$key" 60000
    is "$pair: the second finds it locked" "${answer[0]}" = $LOCKED
    is "$pair: by the first" "${answer[3]-}" = "$holder"
    since=$EPOCHREALTIME
    tell "$2" wait "$key" 30000
    sleep 0.7 # asleep by then, or not yet: both must do
    ask "$1" release
    is "$pair: the first releases" "${answer[0]}" = $OK
    hear "$2"
    is "$pair: the second has waited and got it" "${answer[0]}" = $OK
    # Its poll interval is 20 s: sooner is woken.
    is "$pair: it was woken" "$(awk "BEGIN { print $EPOCHREALTIME - $since < 10 }")" = 1
    ask "$2" release
    ask "$2" try "$key" 60000
    is "$pair: tokens grow" "${answer[1]-0}" -gt "$((token + 1))"
    token=${answer[1]-0}
    kill -KILL "${pid[$2]}"
    wait "${pid[$2]}" 2>/dev/null
    sleep 0.1
    ask "$1" try "$key" 60000
    is "$pair: the dead one's lock is taken over" "${answer[0]}" = $OK
    is "$pair: as such" "${answer[2]-}" = $OWNER_DIED
    is "$pair: with a larger token" "${answer[1]-0}" -gt "$token"
    ask "$1" release
    rm -f "$pipes/$2.in" "$pipes/$2.out"
    start "$2" "${command[$2]}"
}

declare -A command
while [ $# -ge 2 ]; do
    names+=("$1")
    command[$1]=$2
    start "$1" "$2"
    shift 2
done

layout=
for name in "${names[@]}"; do
    ask "$name" layout
    [ -n "$layout" ] || layout=${answer[*]}
    is "$name: the layout is that of ${names[0]}" "${answer[*]}" = "$layout"
done
echo "layout: $layout"
for a in "${names[@]}"; do
    for b in "${names[@]}"; do
        [ "$a" = "$b" ] || meet "$a" "$b"
    done
done
echo "meet: $passed passed, $failed failed"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
