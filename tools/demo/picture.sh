#!/bin/sh
# picture.sh FILE.png: what a terminal shows of cachify-shm-inspect --watch in the middle of the
# demo.  Run in the build tree; `make picture` does.
#
# So that there is something to see in one look, there are more workers than in `make demo`, and
# fewer files; and each sleeps under a lock, for up to 120 ms.
set -eu
file=${1:?picture.sh: where is the picture to go?}
demo='tools/demo/worker-pool --jobs 32 --work 60 --tree /usr/include/asm-generic'
inspector=tools/cachify-shm-inspect

missing=
for need in xterm:xterm Xvfb:xvfb xwd:x11-apps pnmtopng:netpbm fc-match:fontconfig; do
    command -v "${need%:*}" >/dev/null || missing="$missing ${need#*:}"
done
[ -d /usr/include/asm-generic ] || missing="$missing linux-libc-dev"
case $(fc-match 'DejaVu Sans Mono' 2>/dev/null) in
*'DejaVu Sans Mono'*) ;;
*) missing="$missing fonts-dejavu-core" ;;
esac
if [ -n "$missing" ]; then
    echo "picture.sh: not installed here; Debian packages:$missing" >&2
    exit 69
fi

work=$(mktemp -d)
started=
end() {
    for pid in $started; do
        kill "$pid" 2>/dev/null || true
    done
    wait
    rm -rf "$work"
}
trap end EXIT
trap 'exit 130' INT TERM

# until_true COMMAND...: looks every fiftieth of a second, for 20 s at the most.
until_true() {
    tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        if [ $tries -gt 1000 ]; then
            echo "picture.sh: not within 20 s: $*" >&2
            cat "$work"/*.log >&2
            exit 1
        fi
        sleep 0.02
    done
}

Xvfb -displayfd 3 -screen 0 1600x900x24 -nolisten tcp 3>"$work/display" 2>"$work/xvfb.log" &
started="$!"
until_true test -s "$work/display"
DISPLAY=:$(cat "$work/display")
export DISPLAY

# The terminal is there before the demo begins, which is short.
mkfifo "$work/segment"
# shellcheck disable=SC2016 # for the shell in there
xterm -T picture -geometry 120x22 -fa 'DejaVu Sans Mono' -fs 11 -bg white -fg gray10 \
    -b 8 -bw 1 -bd gray60 +sb \
    -e sh -c 'read -r segment <"$0" && exec "$1" --path "$segment" --watch 0.5' \
    "$work/segment" "$inspector" 2>"$work/xterm.log" &
started="$started $!"
until_true xwd -silent -name picture -out "$work/window"

$demo >"$work/demo.log" 2>&1 &
segment=/dev/shm/cachify-demo-$!
started="$started $!"
until_true test -s "$segment"
echo "$segment" >"$work/segment"

# Only the lock of the worker that was stopped is held for so long.
held_for_long() {
    [ -n "$("$inspector" --path "$segment" --older 0.9 --noheadings)" ]
}
until_true held_for_long

# Two that are the same: nothing is half drawn.
same_twice() {
    xwd -silent -name picture -out "$work/window"
    sleep 0.05
    xwd -silent -name picture -out "$work/again"
    cmp "$work/window" "$work/again"
}
until_true same_twice

xwdtopnm -quiet "$work/window" | pnmquant -quiet 16 |
    pnmtopng -quiet -compression 9 >"$work/png"
mv "$work/png" "$file"
echo "$file: $(wc -c <"$file") bytes"
