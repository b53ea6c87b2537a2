#!/bin/sh
# For an init container in Kubernetes: sh await.sh SECONDS URL [URL ...]. Ends when all of them answer, so that the front
# door does not open before there is somebody behind it; or after so many seconds, since one that is away for longer must
# not keep the others and the pages away. Needs wget.
set -u
seconds=$1
shift
while :; do
    away=
    for url in "$@"; do wget -q -T 2 -O /dev/null "$url" || away="$away $url"; done
    [ -n "$away" ] || exit 0
    [ "$seconds" -gt 0 ] || break
    seconds=$((seconds - 1))
    sleep 1
done
echo "openline: nginx starts without an answer from$away" >&2
