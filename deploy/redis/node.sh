#!/bin/sh
# One of several Redis servers of which Sentinels choose the primary: finds out which part is its own, then serves.
#
#   SELF        the name under which the others reach this one
#   FIRST       the one that is primary while no Sentinel says otherwise
#   NODES       all of them, with spaces between
#   SENTINELS   the Sentinels, with spaces between
#
# Arguments are those of redis-server.
set -eu
umask 077
password=$(cat /run/secrets/redis_password)
export REDISCLI_AUTH="$password"

# Whom the Sentinels call the primary; the first answer counts. Nothing when none answers.
primary() {
    for host in $SENTINELS; do
        timeout 2 redis-cli -h "$host" -p 26379 sentinel get-master-addr-by-name openline 2>/dev/null |
            head -n 1 | grep -E '^[A-Za-z0-9]' && return
    done
    return 1
}

# Whether another one holds data: it would take over the emptiness of a primary that has lost its own.
others_hold_data() {
    for host in $NODES; do
        [ "$host" != "$SELF" ] || continue
        held=$(timeout 2 redis-cli -h "$host" dbsize 2>/dev/null) || continue
        case $held in 0 | *[!0-9]*) ;; *) return 0 ;; esac
    done
    return 1
}

# At the very first start nobody knows a primary; later the Sentinels do, once they run.
if [ -d /data/appendonlydir ]; then tries=30; else tries=1; fi
found=
for _ in $(seq "$tries"); do
    found=$(primary) && break
    sleep 1
done

if [ ! -d /data/appendonlydir ] && [ "${found:-$FIRST}" = "$SELF" ]; then
    while others_hold_data && [ "$(primary || echo "$SELF")" = "$SELF" ]; do
        echo "openline: this node is the primary and has no data, others have: waiting until the Sentinels choose one of them"
        sleep 2
    done
    found=$(primary) || found=$FIRST
fi

# Sentinels have a server write down what they changed, so the file must be its own; the password stays off the command line.
cat >/tmp/redis.conf <<EOF
include /etc/openline/redis.conf
masterauth $password
replica-announce-ip $SELF
repl-diskless-sync-delay 0
# A primary that is cut off from its replicas takes no writes, which would be lost.
min-replicas-to-write 1
min-replicas-max-lag 2
EOF
[ "${found:-$FIRST}" = "$SELF" ] || echo "replicaof ${found:-$FIRST} 6379" >>/tmp/redis.conf
unset REDISCLI_AUTH
exec redis-server /tmp/redis.conf "$@"
