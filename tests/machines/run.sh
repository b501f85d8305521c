#!/bin/bash
# Builds the library and its suites for other machines, and runs them.
#
#   run.sh WORK [aarch64] [musl]
#
# WORK/source is the source as a distribution has it (make machines puts it there); the rest of
# WORK is this script's own. PEER is the builder's own tests/machines/peer. Closes with
# `machines: N passed, M failed`; where a machine cannot be had, it is skipped, and with none: 77.
set -u
export LC_ALL=C

work=$(cd "$1" && pwd) || exit 1
shift
machines=${*:-aarch64 musl}
source=$work/source
peer=$(realpath "${PEER:-tests/machines/peer}") || exit 1
passed=0
failed=0
skipped=0
met=(here "$peer")

trap 'exit 130' INT TERM

# without MACHINE REASON
without() {
    echo "== $1: skipped: $2"
}

have() { # MACHINE COMMAND PACKAGE
    command -v "$2" >/dev/null || {
        without "$1" "$2 is not installed (Debian: $3)"
        return 1
    }
}

suites() {
    sed -n 's/^SUITES += //p' "$source/Makefile.am"
}

# build MACHINE CONFIGURE-ARGUMENT...: in $work/MACHINE. Whoever builds with checkers does not here.
build() {
    local machine=$1
    shift
    mkdir -p "$work/$machine" && cd "$work/$machine" || return 1
    # shellcheck disable=SC2046 # words
    env -u CC -u CFLAGS -u CPPFLAGS -u LDFLAGS -u MAKEFLAGS -u MFLAGS \
        "$source/configure" --quiet --disable-shared --enable-werror --without-redis "$@" >log 2>&1 &&
        env -u MAKEFLAGS -u MFLAGS make -j"$(nproc)" \
            $(suites) tests/machines/peer tools/cachify-shm-inspect \
            tools/lock/cachify-lock >>log 2>&1 && return
    tail -n 20 log
    echo "== $machine: FAILED to build"
    failed=$((failed + 1))
    return 1
}

# run_suites MACHINE COMMAND: each suite in $work/MACHINE through COMMAND. A failure that
# MACHINE.skips names, with its reason, is skipped.
run_suites() {
    local machine=$1 through=$2 suite why status begin p f s
    cd "$work/$machine" || return
    for suite in $(suites); do
        case "$machine $suite" in
        'aarch64 tests/test_lock_tool_hard') why='under qemu-user families of processes are not followed' ;;
        'aarch64 tests/test_inspect_tool'*) why='each test starts the tool under the emulator; musl runs it' ;;
        *) why= ;;
        esac
        if [ -n "$why" ]; then
            echo "$machine $suite: left out: $why"
            skipped=$((skipped + 1))
            continue
        fi
        begin=$SECONDS
        # shellcheck disable=SC2086 # a command and its arguments
        timeout -k 10 180 $through "./$suite" >out 2>&1 </dev/null
        status=$?
        read -r p f s < <(awk -v name="$suite" -v status=$status -v skips="$source/tests/machines/$machine.skips" '
            BEGIN {
                while ((getline line < skips) > 0)
                    if (line !~ /^#/ && match(line, / +/))
                        reason[substr(line, 1, RSTART - 1)] = substr(line, RSTART + RLENGTH)
            }
            /^[0-9]+%: Checks: / { split($0, n, /[:,] */); checks += n[3] }
            { split($0, part, ":") }
            part[3] ~ /^[FE]$/ && NF > 1 {
                test = part[5] ":" part[6]
                if (part[5] in reason) test = part[5]
                if (test in reason) {
                    skipped++
                    print "   " part[5] ": skipped: " reason[test] >"/dev/stderr"
                } else {
                    bad++
                    print >"/dev/stderr"
                }
            }
            /: skipped: / { print "   " $0 >"/dev/stderr" }
            END {
                if (!checks || status > 1) {
                    print name ": ended with status " status >"/dev/stderr"
                    bad++
                    if (!checks) checks = 1
                }
                print checks - bad - skipped, bad + 0, skipped + 0
            }' out)
        printf '%s %s: %d passed, %d failed, %d skipped, %d s\n' \
            "$machine" "$suite" "$p" "$f" "$s" $((SECONDS - begin))
        passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    done
}

# ---- aarch64: Debian's compiler and libraries, qemu-user ----

# The private apt sees no package of this machine's, and this machine's none of its.
arm64_libraries() {
    local apt=$work/apt root=$work/arm64
    mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$root" && cd "$apt" || return 1
    : >status
    cat >apt.conf <<CONF
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Sandbox::User "";
Dir::State "$apt";
Dir::State::status "$apt/status";
Dir::Cache "$apt";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::http::Timeout "20";
CONF
    APT_CONFIG=$apt/apt.conf apt-get update -qq >log 2>&1 &&
        APT_CONFIG=$apt/apt.conf apt-get download -qq \
            liburcu-dev check libsubunit-dev libxxhash-dev >>log 2>&1 || return 1
    for deb in *.deb; do
        dpkg -x "$deb" "$root" || return 1
    done
    rm -f "$root"/usr/lib/aarch64-linux-gnu/*.so # the archives are linked
}

aarch64() {
    local lib=$work/arm64/usr/lib/aarch64-linux-gnu prefix=/usr/aarch64-linux-gnu emulator
    have aarch64 aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu || return
    have aarch64 qemu-aarch64 qemu-user || return
    have aarch64 apt-get apt || return
    arm64_libraries || {
        tail -n 2 "$work/apt/log"
        without aarch64 "no Debian packages for arm64 (offline?)"
        return
    }
    # As system headers, for liburcu's do not bear all our warnings on this machine.
    build aarch64 --host=aarch64-linux-gnu CPPFLAGS="-isystem $work/arm64/usr/include/aarch64-linux-gnu -isystem $work/arm64/usr/include" \
        LDFLAGS="-L$lib" URCU_CFLAGS=' ' URCU_LIBS='-lurcu-bp -lurcu-cds -lurcu-common' \
        CHECK_CFLAGS=' ' CHECK_LIBS='-lcheck_pic -lsubunit -lm' || return
    emulator="qemu-aarch64 -L $prefix"
    printf '#!/bin/sh\nexec %s %s/tools/cachify-shm-inspect "$@"\n' "$emulator" "$PWD" >inspect
    printf '#!/bin/sh\nexec %s %s/tools/lock/cachify-lock "$@"\n' "$emulator" "$PWD" >lock
    chmod +x inspect lock
    CACHIFY_INSPECT=$PWD/inspect CACHIFY_LOCK=$PWD/lock CACHIFY_ROUNDS=10 CK_TIMEOUT_MULTIPLIER=10 \
        run_suites aarch64 "$emulator"
    met+=(aarch64 "$emulator $work/aarch64/tests/machines/peer")
}

# ---- musl: its C library under the archives of this machine ----

musl() {
    local inc=$work/musl-include lib=$work/musl-lib multiarch header name
    have musl musl-gcc musl-tools || return
    multiarch=/usr/include/$(gcc -print-multiarch)
    mkdir -p "$inc" "$lib"
    # Links to what is neither library's: the kernel's headers, liburcu's, xxHash's, libcheck's.
    for header in "$multiarch"/urcu* /usr/include/urcu* /usr/include/xxh*.h /usr/include/check*.h \
        /usr/include/subunit "$multiarch/asm" /usr/include/asm-generic /usr/include/linux; do
        [ -e "$header" ] && ln -sfn "$header" "$inc/"
    done
    for name in urcu-bp urcu-cds urcu-common check_pic subunit; do
        ln -sf "$(gcc -print-file-name=lib$name.a)" "$lib/"
    done
    musl-gcc -std=gnu11 -O1 -c "$source/tests/machines/glibc_calls.c" -o "$lib/glibc_calls.o" &&
        ar rcs "$lib/libglibc_calls.a" "$lib/glibc_calls.o" || return
    build musl --host="$(uname -m)-linux-musl" CC=musl-gcc AR=ar RANLIB=ranlib \
        CPPFLAGS="-idirafter $inc" LDFLAGS="-L$lib" \
        URCU_CFLAGS=' ' URCU_LIBS='-lurcu-bp -lurcu-cds -lurcu-common -lglibc_calls' \
        CHECK_CFLAGS=' ' CHECK_LIBS='-lcheck_pic -lsubunit -lglibc_calls -lm' LIBS='-lgcc_eh -lglibc_calls' || return
    run_suites musl ''
    met+=(musl "$work/musl/tests/machines/peer")
}

for machine in $machines; do
    case $machine in
    aarch64 | musl) $machine ;;
    *) echo "no such machine: $machine (aarch64, musl)" && exit 64 ;;
    esac
done

if [ ${#met[@]} -gt 2 ]; then
    echo '== they meet in one segment'
    "$source/tests/machines/meet.sh" "/dev/shm/cachify-machines-$$" "${met[@]}" | tee "$work/met"
    read -r p f < <(sed -n 's/^meet: \([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' "$work/met")
    passed=$((passed + ${p:-0})) failed=$((failed + ${f:-1}))
elif [ $((passed + failed)) -eq 0 ]; then
    echo 'machines: skipped: none could be had'
    exit 77
fi
echo "$skipped tests skipped on a machine that cannot run them"
echo "machines: $passed passed, $failed failed"
[ $failed -eq 0 ]
