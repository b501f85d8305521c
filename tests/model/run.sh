#!/bin/bash
# Checks the models of lib/shm/README.md with spin: every configuration exhaustively, then
# the mutants, in each of which one rule is broken: it must be seen.
#
#   run.sh [--large | --record | --unless-checked] [NAME...]
#
#   --record  writes into checked.txt, once all has passed, which configurations took long, and
#             the sum of the models and their bounds
#   --unless-checked  does not search those again while that sum is the same
#   --large  the large configurations instead: some exhaustive, some by bitstate hashing,
#            which covers a part; about an hour and 6 GB
#   NAME     only those whose name begins so
#
# Closes with `N passed, N failed`.  README.md says what is in which configuration.
set -u
export LC_ALL=C

# Of wait: what is one step though in truth it is several.
at_once='-DARRIVE_AT_ONCE -DCALL_AT_ONCE -DSEE_AT_ONCE'

# name | model | bounds and cast
configurations="
acquire/overflow        | insert    | -DCLEARS=2
acquire/homes           | insert    | -DHOME1=1 -DCLEARS=2
acquire/wrap            | insert    | -DHOME1=2 -DCLEARS=2 -DPROCS=3 -DKEY_BY_PROCESS
acquire/four-groups     | insert    | -DGROUPS=4 -DHOME1=1
acquire/retries         | insert    | -DTRIES=3 -DHOME1=1
acquire/again           | insert    | -DOPS=2 -DCLEARS=0
acquire/one-key         | insert    | -DOPS=2 -DONE_KEY
acquire/three           | insert    | -DPROCS=3 -DKEY_BY_PROCESS -DCLEARS=0
acquire/killed          | insert    | -DKILL=1 -DSWEEPS=1
lease/expiry            | lifecycle | -DWORKERS=2 -DOPS=2 -DRELEASE_OUT
lease/owner-killed      | lifecycle | -DWORKERS=2 -DKILL=1 -DOPS=2 -DRECORDS=2
lease/taker-killed      | lifecycle | -DWORKERS=2 -DKILL=2 -DOPS=2 -DABANDON
lease/two-keys          | lifecycle | -DWORKERS=2 -DSLOTS=2 -DKEYS=2 -DKILL=1
lease/extend            | lifecycle | -DWORKERS=2 -DEXTENDER -DRELEASE_OUT
lease/extend-killed     | lifecycle | -DWORKERS=2 -DEXTENDER -DKILL=1
lease/two-extends       | lifecycle | -DWORKERS=1 -DEXTENDER -DEXTENDER2 -DFORCE -DTICKS=0
lease/copied            | lifecycle | -DWORKERS=1 -DEXTENDER -DCOPIER -DFORCE
lease/copied-taken      | lifecycle | -DWORKERS=2 -DCOPIER -DRELEASE_OUT -DABANDON
lease/force             | lifecycle | -DWORKERS=2 -DEXTENDER -DFORCE -DTICKS=0
lease/force-killed      | lifecycle | -DWORKERS=2 -DFORCE -DKILL=3 -DABANDON -DTICKS=0
sweep/beside-force      | lifecycle | -DWORKERS=2 -DFORCE -DSWEEPER -DTICKS=0 -DRECORDS=2
sweep/remover-killed    | lifecycle | -DWORKERS=1 -DEXTENDER -DFORCE -DSWEEPER -DKILL=3 -DTICKS=0
sweep/of-the-dead       | lifecycle | -DWORKERS=2 -DSWEEPER -DKILL=1 -DRECORDS=2
sweep/sweeper-killed    | lifecycle | -DWORKERS=1 -DSWEEPER -DSWEEPER2 -DKILL=1 -DKILL2=3 -DABANDON
wait/barging            | wait      | -DTRIES=1
wait/patient-later      | wait      | -DPATIENT_LATER $at_once
wait/gives-up           | wait      | -DGIVE_UP $at_once
wait/force              | wait      | -DFORCE -DBARGERS=2 -DTRIES=0 $at_once
wait/holder-killed      | wait      | -DKILLS=1 -DVICTIM=2 -DTRIES=0 $at_once
wait/first-killed       | wait      | -DKILLS=1 -DVICTIM=0 -DTRIES=0 $at_once
wait/caller-killed      | wait      | -DKILLS=1 -DVICTIM=0 -DTRIES=0 -DPATIENT -DARRIVE_AT_ONCE -DSEE_AT_ONCE
wait/first-stopped      | wait      | -DSTOPS=1 -DVICTIM=0 -DSTOP_ARMED -DTRIES=0 $at_once
weak/insert             | weak      | -DINSERT -DWEAK
weak/mark               | weak      | -DMARK -DWEAK
weak/sleep              | weak      | -DSLEEP -DWEAK -DPROCS=3 -DOPS=1
weak/sleep-again        | weak      | -DSLEEP -DWEAK -DOPS=3
weak/pins               | weak      | -DPINS -DWEAK
weak/pins-on-instance   | weak      | -DPINS -DWEAK -DON_INSTANCE
x86/insert-acquire      | weak      | -DINSERT -DACQUIRE_WALK
x86/mark-acquire        | weak      | -DMARK -DACQUIRE_WALK
x86/sleep-acquire       | weak      | -DSLEEP -DACQUIRE_WAKE -DACQUIRE_LOOK
x86/pins                | weak      | -DPINS
"

# name | model | bounds and cast | what must be seen
mutants="
second-walk-omitted     | insert    | -DNO_SECOND_WALK                                          | I1
second-mark-omitted     | insert    | -DNO_SECOND_MARK                                          | I1
epoch-omitted           | insert    | -DNO_EPOCH                                                | I1
token-drawn-first       | insert    | -DTOKEN_FIRST -DOPS=2                                     | I3
token-before-walk       | insert    | -DTOKEN_EARLY -DOPS=2 -DONE_KEY                           | I3
K3-omitted              | insert    | -DNO_K3 -DOPS=2                                           | I3
K3-omitted              | lifecycle | -DNO_K3 -DWORKERS=2 -DOPS=2 -DTICKS=0                     | I3
generation-omitted      | lifecycle | -DNO_GENERATION -DWORKERS=2 -DOPS=2                       | I3
generation-omitted      | lifecycle | -DNO_GENERATION -DWORKERS=2 -DEXTENDER                    | records
claim-omitted           | lifecycle | -DNO_CLAIM -DWORKERS=2 -DFORCE -DSWEEPER -DTICKS=0        | records
claim-by-store          | lifecycle | -DPLAIN_CLAIM -DWORKERS=2 -DEXTENDER                      | records
free-by-store           | lifecycle | -DPLAIN_FREE -DWORKERS=2                                  | records
intent-omitted          | lifecycle | -DNO_INTENT -DWORKERS=1 -DABANDON -DFORCE -DKILL=3        | leak
withdrawer-frees        | lifecycle | -DWITHDRAWER_FREES -DWORKERS=2 -DSLOTS=2                  | records
copy-not-confirmed      | lifecycle | -DNO_CONFIRM -DWORKERS=2                                  | verdict
moved-on-is-lost        | lifecycle | -DNO_MOVED_ON -DWORKERS=2 -DEXTENDER                      | verdict
look-omitted            | wait      | -DNO_LOOK $at_once                                        | P1
absent-taken-for-woken  | wait      | -DNO_ABSENT -DSTOPS=1 -DVICTIM=0 -DSTOP_ARMED -DTRIES=0 $at_once | P1
call-on-leave-omitted   | wait      | -DNO_CALL_ON_LEAVE -DGIVE_UP $at_once                     | P1
look-after-leaving      | wait      | -DNO_LOOK_AFTER_LEAVING -DFORCE -DBARGERS=2 -DTRIES=0 $at_once | P1
all-await-the-holder    | wait      | -DNO_BEFORE -DKILLS=1 -DVICTIM=0 -DTRIES=0 $at_once       | P1
nudge-of-called-omitted | wait      | -DNO_NUDGE_OF_CALLED -DKILLS=1 -DVICTIM=0 -DTRIES=0 -DPATIENT -DARRIVE_AT_ONCE -DSEE_AT_ONCE | P1
past-absent             | wait      | -DPAST_ABSENT -DKILLS=1 -DVICTIM=0 -DPATIENT $at_once     | P1
lock-then-line          | wait      | -DLOOK_TWICE -DKILLS=1 -DVICTIM=0 -DTRIES=0 $at_once      | P1
killed-in-call          | wait      | -DDIE_CALLING -DKILLS=1 -DVICTIM=2 -DPATIENT -DARRIVE_AT_ONCE -DSEE_AT_ONCE | P1
ahead-omitted           | wait      | -DNO_AHEAD $at_once                                       | P3
class-armed-first       | wait      | -DCLASS_FIRST -DARRIVE_AT_ONCE -DCALL_AT_ONCE             | P4
disarm-blindly          | wait      | -DPLAIN_DISARM -DTRIES=0 -DARRIVE_AT_ONCE -DCALL_AT_ONCE  | P4
E5-acquire              | weak      | -DINSERT -DWEAK -DACQUIRE_WALK                            | I1
E5-acquire-one-side     | weak      | -DINSERT -DWEAK -DACQUIRE_NEAR                            | I1
E5-store-on-x86         | weak      | -DINSERT -DPLAIN_T1                                       | I1
E6-acquire              | weak      | -DMARK -DWEAK -DACQUIRE_WALK                              | I1
E6-acquire-one-side     | weak      | -DMARK -DWEAK -DACQUIRE_NEAR                              | I1
E6-mark-before-only     | weak      | -DMARK -DWEAK -DMARK_ONCE                                 | I1
E6-epoch-omitted        | weak      | -DMARK -DWEAK -DNO_EPOCH                                  | I1
E6-store-on-x86         | weak      | -DMARK -DPLAIN_MARK                                       | I1
E7-acquire-wake         | weak      | -DSLEEP -DWEAK -DACQUIRE_WAKE                             | asleep
E7-acquire-look         | weak      | -DSLEEP -DWEAK -DACQUIRE_LOOK                             | asleep
E7-look-then-arm        | weak      | -DSLEEP -DWEAK -DLOOK_FIRST                               | asleep
E7-disarm-blindly       | weak      | -DSLEEP -DWEAK -DPLAIN_DISARM -DPROCS=3 -DOPS=1           | asleep
E7-store-on-x86         | weak      | -DSLEEP -DPLAIN_T7                                        | asleep
E9-counted-once-on-x86  | weak      | -DPINS -DCOUNT_ONCE                                       | in-use
E9-fenced-once          | weak      | -DPINS -DWEAK -DFENCE_ONCE                                | leak
E9-not-fenced           | weak      | -DPINS -DWEAK -DNO_HEAVY                                  | leak
"

# As the first table; `bits` begins the bounds of what is searched by bitstate hashing.
large="
acquire/again-killed    | insert    | -DOPS=2 -DONE_KEY -DKILL=1 -DSWEEPS=1
acquire/three-homes     | insert    | -DPROCS=3 -DKEY_BY_PROCESS -DHOME1=1
acquire/three-one-key   | insert    | -DPROCS=3 -DONE_KEY -DCLEARS=0
acquire/three-keys      | insert    | bits -DPROCS=3 -DHOME1=1 -DCLEARS=2
acquire/three-again     | insert    | bits -DPROCS=3 -DOPS=2 -DGROUPS=4 -DHOME1=1 -DCLEARS=2
acquire/three-killed    | insert    | bits -DPROCS=3 -DHOME1=1 -DCLEARS=2 -DKILL=1 -DSWEEPS=2
lease/extend-again      | lifecycle | -DWORKERS=2 -DEXTENDER -DOPS=2
lease/copied-extended   | lifecycle | -DWORKERS=2 -DEXTENDER -DCOPIER
lease/three             | lifecycle | bits -DWORKERS=3 -DSLOTS=2 -DKEYS=2 -DRECORDS=4
lease/everybody         | lifecycle | bits -DWORKERS=2 -DEXTENDER -DCOPIER -DFORCE -DKILL=1 -DRECORDS=4 -DSLOTS=2
sweep/two-beside-force  | lifecycle | bits -DWORKERS=2 -DFORCE -DSWEEPER -DSWEEPER2 -DKILL=3 -DJOBS=2
sweep/everybody         | lifecycle | bits -DWORKERS=2 -DEXTENDER -DFORCE -DSWEEPER -DSWEEPER2 -DKILL=1 -DKILL2=3 -DJOBS=2 -DABANDON
wait/holder-killed-barging | wait   | -DKILLS=1 -DVICTIM=2 -DPATIENT $at_once
wait/first-killed-barging | wait    | -DKILLS=1 -DVICTIM=0 -DPATIENT $at_once
"
large_mutants='
nearest-marked-first    | insert    | -DNEAR_FIRST -DPROCS=3 -DHOME1=1 -DKEY_BY_PROCESS -DCLEARS=2 | I1
'

here=$(cd "$(dirname "$0")" && pwd) || exit 1
checked=$here/checked.txt
sum=$({ cat "$here"/*.pml && echo "$configurations"; } | sha256sum)
sum=${sum%% *}
size='' known='' record=''
case ${1-} in
--large) size=large && shift ;;
--record) record=yes && shift ;;
--unless-checked) grep -qxF "# $sum" "$checked" && known=yes; shift ;;
esac
wanted=("$@")

for tool in spin gcc; do
    if ! command -v "$tool" >/dev/null; then
        echo "$tool is not installed: it is in the Debian package $tool"
        exit 77
    fi
done

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

passed=0
failed=0
ok_lines=

# As checked.txt has it; prints its line.
is_known() {
    [ -n "$known" ] && grep "^$1 " "$checked"
}

is_wanted() {
    local name
    [ ${#wanted[@]} -eq 0 ] && return 0
    for name in "${wanted[@]}"; do
        [[ $1 == "$name"* ]] && return 0
    done
    return 1
}

# search MODEL OPTIMISATION FLAGS...: pan's report in $work/report
search() {
    local model=$here/$1.pml optimise=$2 store=(-DCOLLAPSE) options=(-m100000)
    shift 2
    if [ "$1" = bits ]; then
        shift
        store=(-DBITSTATE)
        options=(-m20000 -w35 -k3)
    fi
    rm -rf "${work:?}"/*
    (
        cd "$work" || exit 1
        spin -a "$@" "$model" >report 2>&1 &&
            gcc "$optimise" -w -DSAFETY -DMEMLIM=6000 "${store[@]}" -o pan pan.c >>report 2>&1 &&
            ./pan -n "${options[@]}" >report 2>&1
    )
}

# What was violated, in a word.
violation() {
    case $(grep -E '^pan:[0-9]+: ' "$work/report") in
    *'((holder'*'dead[holder'*) echo I1 ;;
    *last_token*) echo I3 ;;
    *'((holder_token[k]!=token)'* | *'(holder_token[k]==c_token)'*) echo verdict ;;
    *'user['*) echo records ;;
    *'rec[n].state'* | *'(destroyed==1)'*) echo leak ;;
    *'(holders<=1)'*) echo I1 ;;
    *asleep*dead*) echo P1 ;;
    *'(owed[me]==0)'*) echo P3 ;;
    *'violated armed'* | *asleep*word*) echo P4 ;;
    *'dead[lock]'*) echo P2 ;;
    *'!(destroyed)'*) echo in-use ;;
    *'invalid end state'*) echo asleep ;;
    *) echo other ;;
    esac
}

is_violated() {
    grep -Eq '^pan:[0-9]+: ' "$work/report"
}

is_complete() {
    grep -q 'errors: 0' "$work/report" && ! grep -Eq 'Search not completed|max search depth' "$work/report"
}

# line NAME VERDICT SECONDS
line() {
    awk -v name="$1" -v verdict="$2" -v seconds="$3" '
        / states, stored/ { states = $1 }
        /depth reached/ { sub(/.*depth reached /, ""); depth = $1 + 0 }
        END { printf "%-24s %10d states  depth %5d  %6.1f s  %s\n", name, states, depth, seconds, verdict }
    ' "$work/report"
}

elapsed() { # since $1, in seconds
    awk -v from="$1" -v to="$EPOCHREALTIME" 'BEGIN { print to - from }'
}

check() { # NAME OPTIMISATION MODEL FLAGS...
    local name=$1 optimise=$2 model=$3 start=$EPOCHREALTIME told
    shift 3
    search "$model" "$optimise" "$@"
    if is_violated; then
        line "$name" "VIOLATION: $(violation)" "$(elapsed "$start")"
        grep -E '^pan:[0-9]+: ' "$work/report"
        [ "$1" = bits ] && shift
        (cd "$work" && spin -t -p -g "$@" -k "$model.pml.trail" "$here/$model.pml" 2>&1 | tail -n 200)
        failed=$((failed + 1))
    elif is_complete; then
        told=$(line "$name" ok "$(elapsed "$start")")
        echo "$told"
        ok_lines+=$told$'\n'
        passed=$((passed + 1))
    else
        line "$name" "NOT FINISHED" "$(elapsed "$start")"
        tail -n 20 "$work/report"
        failed=$((failed + 1))
    fi
}

check_mutant() { # NAME EXPECTED OPTIMISATION MODEL FLAGS...
    local name=$1 expected=$2 optimise=$3 start=$EPOCHREALTIME seen=
    shift 3
    search "$1" "$optimise" "${@:2}"
    is_violated && seen=$(violation)
    if [ "$seen" = "$expected" ]; then
        line "$name" "ok: caught by $seen" "$(elapsed "$start")"
        passed=$((passed + 1))
    else
        line "$name" "VIOLATION: not caught by $expected${seen:+, but by $seen}" "$(elapsed "$start")"
        tail -n 5 "$work/report"
        failed=$((failed + 1))
    fi
}

check_all() { # OPTIMISATION
    local name model flags
    while IFS='|' read -r name model flags; do
        read -r name <<<"$name"
        if [ -z "$name" ] || ! is_wanted "$name"; then continue; fi
        if is_known "$name"; then
            passed=$((passed + 1))
            continue
        fi
        # shellcheck disable=SC2086 # words
        check "$name" "$1" $model $flags
    done
}

check_mutants() { # OPTIMISATION
    local name model flags expected
    while IFS='|' read -r name model flags expected; do
        read -r name <<<"$name"
        read -r expected <<<"$expected"
        if [ -z "$name" ] || ! is_wanted "mutant/$name"; then continue; fi
        # shellcheck disable=SC2086 # words
        check_mutant "mutant/$name" "$expected" "$1" $model $flags
    done
}

if [ -z "$size" ]; then
    # Of -O2, the compiler takes longer over a model than it saves.
    check_all -Og <<<"$configurations"
    check_mutants -O0 <<<"$mutants"
else
    check_all -O2 <<<"$large"
    check_mutants -O2 <<<"$large_mutants"
fi

if [ -n "$record" ] && [ $failed -eq 0 ] && [ ${#wanted[@]} -eq 0 ]; then
    { echo "# $sum" && awk '$6 > 10 { print $0 ", checked before" }' <<<"$ok_lines"; } >"$checked"
fi
echo "$passed passed, $failed failed"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
