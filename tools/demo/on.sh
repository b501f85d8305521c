#!/bin/sh
# on.sh CLIENT COMMAND...: runs the demo where CLIENT says: nothing, in a segment; the URL of a
# server; or `redis`, on a server that is started for it and ends with it.  The URL goes by the
# environment: it may have a password in it.
set -u
client=$1
shift

case $client in
'')
    exec "$@"
    ;;
redis)
    ;;
*://*)
    CACHIFY_CLIENT=$client
    export CACHIFY_CLIENT
    exec "$@"
    ;;
*)
    echo "make demo: CLIENT is $client; expected a URL, such as redis://HOST or unix:///PATH, or redis" >&2
    exit 64
    ;;
esac

server=$(command -v redis-server || command -v valkey-server) || {
    echo 'make demo CLIENT=redis: there is no redis-server to start (Debian: redis-server)' >&2
    exit 69
}
work=$(mktemp -d)
"$server" --port 0 --unixsocket "$work/socket" --dir "$work" --save '' --appendonly no \
    >"$work/log" 2>&1 &
pid=$!
trap 'kill $pid 2>/dev/null; wait $pid 2>/dev/null; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
until [ -S "$work/socket" ]; do
    kill -0 $pid 2>/dev/null || {
        cat "$work/log" >&2
        exit 69
    }
    sleep 0.02
done
CACHIFY_CLIENT=unix://$work/socket "$@"
