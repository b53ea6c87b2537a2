#!/bin/sh
# Runs nginx and has the gateways move its clients before it goes: sh serve.sh COMMAND [ARGUMENT ...]
#
# However nginx is told to reload or to quit, its old workers say so in their titles; then one gateway is asked, which
# tells all of them. SIGTERM and SIGQUIT let nginx quit, SIGHUP reloads. Needs curl or wget.
#
#   GATEWAYS      base URLs of gateways to ask, one after another until one answers
#   MOVE_SECONDS  over how many seconds clients are moved, below nginx's worker_shutdown_timeout; 30 unless given
#   ORIGINS_FILE  where OPENLINE_ALLOWED_ORIGINS is written for nginx's configuration; /tmp/openline-origins.conf unless given
#   LIMITS_FILE   where the limits are written (limits.sh); /tmp/openline-limits.conf unless given
#   QUIT_SECONDS  the same when nginx quits, for where no other nginx takes its clients; MOVE_SECONDS unless given
set -u
: "${GATEWAYS:=http://gateway:8101}" "${MOVE_SECONDS:=30}"
: "${QUIT_SECONDS:=$MOVE_SECONDS}" "${ORIGINS_FILE:=/tmp/openline-origins.conf}"
: "${LIMITS_FILE:=/tmp/openline-limits.conf}"
# As $hostname in nginx's configuration has it.
name=$(uname -n | tr '[:upper:]' '[:lower:]')
seconds=$MOVE_SECONDS

post() {
    if command -v curl >/dev/null; then curl -fsS -m 3 -o /dev/null -X POST "$1"
    else wget -q -T 3 -O /dev/null --post-data= "$1"; fi
}

move() {
    for gateway in $GATEWAYS; do
        if post "$gateway/proxies/$name/move?seconds=$seconds"; then
            echo "openline: the clients of $name are moved over $seconds s" >&2
            return 0
        fi
    done
    echo "openline: no gateway answers that it moves the clients of $name; asking again" >&2
    return 1
}

# The workers of our nginx that finish what they have. Read by the shell itself: it looks every second.
leaving() {
    found=
    for folder in /proc/[0-9]*; do
        { read -r _ _ _ parent _ <"$folder/stat"; } 2>/dev/null || continue
        [ "$parent" = "$nginx" ] || continue
        title=
        { read -r title <"$folder/cmdline"; } 2>/dev/null
        case $title in *"is shutting down"*) found="$found ${folder#/proc/} " ;; esac
    done
}

sh "$(dirname "$0")/origins.sh" "${OPENLINE_ALLOWED_ORIGINS:-}" >"$ORIGINS_FILE" || exit 1
sh "$(dirname "$0")/limits.sh" >"$LIMITS_FILE" || exit 1
"$@" &
nginx=$!
trap 'kill -HUP $nginx' HUP
trap 'seconds=$QUIT_SECONDS; kill -QUIT $nginx' TERM QUIT INT
known=
while kill -0 "$nginx" 2>/dev/null; do
    leaving
    for worker in $found; do
        case $known in *" $worker "*) continue ;; esac
        # All that leave now: one order for them together, and another try in a second where it failed.
        move && known=$found
        break
    done
    # A signal ends the waiting at once.
    sleep 1 &
    wait $!
done
wait "$nginx"
