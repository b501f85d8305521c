#!/bin/sh
# Prepares a checkout for building: says or installs what is missing, makes ./configure, runs it.
#
#   ./autogen.sh [--install-deps | --install-deps=ci] [configure arguments...]
#
# --install-deps     installs the missing packages with apt-get (as root, or with passwordless sudo)
# --install-deps=ci  also installs the checkers that .ci/run uses
#
# Started from another directory, it configures there: mkdir build && cd build && ../autogen.sh
set -eu

srcdir=$(dirname "$0")

# What is needed:  kind  what  Debian package(s)
# cmd: a command; pc: a pkg-config module; header: a header the C compiler finds; py: a module of
# Python, of the first in PATH or of the distribution's.
build_needs='
cmd     gcc         build-essential
cmd     make        build-essential
header  stdlib.h    build-essential
cmd     autoconf    autoconf
cmd     automake    automake
cmd     libtoolize  libtool
cmd     pkg-config  pkg-config
pc      liburcu-bp  liburcu-dev
pc      check       check
pc      libuv       libuv1-dev
cmd     python3     python3
header  xxhash.h    libxxhash-dev
'
redis_needs='
pc      hiredis     libhiredis-dev
pc      openssl     libssl-dev
'
ci_needs='
cmd     g++           g++
cmd     clang         clang
rt      clang-asan    libclang-rt-dev
cmd     clang-format  clang-format
cmd     clang-tidy    clang-tidy
cmd     cppcheck      cppcheck
cmd     gcovr         gcovr
cmd     gnuplot       gnuplot-nox
header  boost/version.hpp  libboost-dev
cmd     redis-server  redis-server
py      redis         python3-redis
cmd     memcached     memcached
cmd     spin          spin
cmd     tmux          tmux
cmd     mandoc        mandoc
cmd     valgrind      valgrind,libc6-dbg
cmd     musl-gcc      musl-tools
cmd     qemu-aarch64  qemu-user
cmd     aarch64-linux-gnu-gcc  gcc-aarch64-linux-gnu,libc6-dev-arm64-cross
'

say() { printf 'autogen.sh: %s\n' "$*" >&2; }

have() {
    case $1 in
    cmd)    command -v "$2" ;;
    pc)     pkg-config --exists "$2" ;;
    header) echo "#include <$2>" | "${CC:-cc}" -E - ;;
    py)     python3 -c "import $2" || /usr/bin/python3 -c "import $2" ;;
    rt)     echo 'int main(void) { return 0; }' |
                clang -fsanitize=address,undefined -x c -o /dev/null - ;;
    esac >/dev/null 2>&1
}

# Sets missing_things and missing_packages.
look() {
    missing_things='' missing_packages=''
    while read -r kind what packages; do
        [ -n "$kind" ] || continue
        have "$kind" "$what" && continue
        missing_things="$missing_things $what"
        for package in $(echo "$packages" | tr ',' ' '); do
            case " $missing_packages " in
            *" $package "*) ;;
            *) missing_packages="$missing_packages $package" ;;
            esac
        done
    done <<LIST
$needs
LIST
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo -n "$@"
    fi
}

may_install() {
    [ "$(id -u)" -eq 0 ] || sudo -n true 2>/dev/null
}

# Runs apt-get without questions; its output is shown, and only its end, if it fails.
apt() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -y -q \
        -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 "$@" >"$log" 2>&1 </dev/null || {
        say "apt-get $1 failed:"
        tail -n 8 "$log" >&2
        return 1
    }
}

install_missing() {
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    say "installing:$missing_packages"
    apt update || say "going on with the package lists at hand"
    # shellcheck disable=SC2086 # a list of words
    apt install --no-install-recommends $missing_packages || exit 1
    rm -f "$log"
}

case " $* " in
*' --without-redis '*) ;;
*) build_needs=$build_needs$redis_needs ;;
esac
needs=$build_needs
install=no
case ${1-} in
--install-deps) install=yes && shift ;;
--install-deps=ci) install=yes && needs=$build_needs$ci_needs && shift ;;
--install-deps*) say "unknown: $1 (there is --install-deps and --install-deps=ci)" && exit 1 ;;
esac

look
if [ -n "$missing_things" ]; then
    if ! command -v apt-get >/dev/null 2>&1; then
        say "missing tools or libraries:$missing_things"
        exit 1
    elif [ $install = no ]; then
        say "missing packages:$missing_packages"
        say "install them, or let ./autogen.sh --install-deps do it"
        exit 1
    elif ! may_install; then
        say "neither root nor passwordless sudo; please install:$missing_packages"
        exit 1
    fi
    install_missing
    look
    if [ -n "$missing_things" ]; then
        say "still missing after the installation:$missing_things"
        exit 1
    fi
fi

(cd "$srcdir" && mkdir -p m4 && autoreconf --force --install)
# configure and libtool are shell scripts, and dash runs them in two thirds of the time.
if command -v dash >/dev/null; then
    CONFIG_SHELL=${CONFIG_SHELL-$(command -v dash)}
    export CONFIG_SHELL
fi
exec "${CONFIG_SHELL-/bin/sh}" "$srcdir/configure" "$@"
