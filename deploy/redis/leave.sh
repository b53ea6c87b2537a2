#!/bin/sh
# Before one of several servers stops, as a pod's preStop: if it is the master, has a replica take its place, and ends when that one
# has. Else clients would wait until the others have found out that it is gone. It never holds up a stop for longer than PATIENCE.
#
#   SENTINELS  host[:port] of all Sentinels, with spaces between, where they choose the primary; none in a Redis Cluster
#   SELF       the host of them that stops together with this server, and so is not asked
#   PORT       of this server, 6379 unless given
#   PATIENCE   seconds, 20 unless given
#   SECRETS    the folder of redis_password, /run/secrets unless given
set -eu
REDISCLI_AUTH=$(cat "${SECRETS:-/run/secrets}/redis_password")
export REDISCLI_AUTH
patience=${PATIENCE:-20}
end=$(($(date +%s) + patience))

# at HOST:PORT COMMAND...
at() {
    node=$1
    shift
    timeout 3 redis-cli -h "${node%:*}" -p "${node##*:}" "$@" 2>/dev/null </dev/null
}
here() { at "127.0.0.1:${PORT:-6379}" "$@"; }
is_time() { [ "$(date +%s)" -lt "$1" ]; }
is_master() { here info replication | grep -q '^role:master'; }

others() {
    for one in $SENTINELS; do
        case $one in *:*) ;; *) one=$one:26379 ;; esac
        [ "${one%:*}" = "${SELF:-}" ] || echo "$one"
    done
}
# ask WORDS EXPECTED: what the first of the other Sentinels says that says it.
ask() {
    for one in $(others); do
        # shellcheck disable=SC2086 # several words
        at "$one" sentinel $1 | tr '\n' ' ' | grep -E "$2" && return
    done
    return 1
}
primary() { ask "get-master-addr-by-name openline" '^[A-Za-z0-9].* [0-9]+ *$'; }

# Whether a Sentinel still takes a replica that it reaches for a primary, as after an outage until it asks it again, each ten
# seconds: it would have it follow again once it is promoted.
doubted() {
    for one in $(others); do
        at "$one" sentinel replicas openline | awk '
            NR % 2 { name = $0; next }
            name == "flags" { flags = $0 }
            name == "role-reported" && flags == "slave" && $0 == "master" { found = 1 }
            END { exit !found }' && return
    done
    return 1
}

# A Sentinel promotes a replica while the primary goes on, and what that one acknowledges meanwhile would be lost. So it takes no
# writes: they wait here until services, which Sentinels tell, ask the next one. It stays so, for this one learns last.
by_sentinels() {
    was=$(primary) || return 0
    while is_time "$((end - 5))" && doubted; do sleep 0.5; done
    while is_time "$end"; do
        here info replication | grep -q ',state=online,' || break
        here client pause "$((patience * 1000))" write >&2
        ask "failover openline" OK >&2 || true
        again=$(($(date +%s) + 5))
        while is_time "$again" && is_time "$end"; do
            now=$(primary) && [ "$now" != "$was" ] && return
            sleep 0.2
        done
    done
    here client unpause >&2
}

# In a cluster the master itself takes no writes until its replica has everything.
by_replicas() {
    while is_master && is_time "$end"; do
        here cluster nodes | awk -v me="$(here cluster myid)" '
            $4 == me && $3 !~ /fail|noaddr/ && $8 == "connected" { sub(/@.*/, "", $2); print $2 }' |
            while read -r one; do at "$one" cluster failover >&2 && break; done
        again=$(($(date +%s) + 5))
        while is_master && is_time "$again" && is_time "$end"; do sleep 0.2; done
    done
}

is_master || exit 0
if [ -n "${SENTINELS:-}" ]; then by_sentinels; else by_replicas; fi || true
