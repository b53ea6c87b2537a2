#!/bin/sh
# Stands beside a server of a Redis Cluster whose address changes, as a pod's does. It introduces its server to those that it knows
# under another address, or not at all, and lets one without a part in the cluster, a new one or one that lost its disk, follow
# the master that has the fewest replicas. The one beside the first server makes the cluster of the first three.
#
#   SELF    host:port of its server
#   NODES   host:port of all servers, with spaces between
#   SECRETS the folder of redis_password, /run/secrets unless given
set -eu
REDISCLI_AUTH=$(cat "${SECRETS:-/run/secrets}/redis_password")
export REDISCLI_AUTH
first=${NODES%% *}

# at HOST:PORT COMMAND...
at() {
    node=$1
    shift
    timeout 5 redis-cli -h "${node%:*}" -p "${node##*:}" "$@" 2>/dev/null
}

# Its id, and where its cluster reaches it: ADDRESS:PORT@PORT, for the bus knows no names. Nothing when it does not answer.
card() { at "$1" cluster nodes | awk '$3 ~ /myself/ { sub(/,.*/, "", $2); print $1, $2 }'; }

is_alone() { at "$1" cluster info | grep -q '^cluster_known_nodes:1[^0-9]*$'; }

# All must be there and know nobody: else it is one that lost its disk.
make() {
    masters=
    for one in $NODES; do is_alone "$one" || return 0; done
    for one in $(echo "$NODES" | cut -d ' ' -f 1-3); do
        where=$(card "$one")
        where=${where#* }
        masters="$masters ${where%@*}"
    done
    # shellcheck disable=SC2086 # a word for each server
    redis-cli --cluster create $masters --cluster-yes || true
}

introduce() {
    known=$(at "$SELF" cluster nodes) || return 0
    for one in $NODES; do
        card=$(card "$one")
        ! echo "$known" | grep -q "^$card[ ,]" || continue
        where=${card#* }
        ports=${where##*:}
        [ -z "$card" ] || at "$SELF" cluster meet "${where%:*}" "${ports%@*}" "${ports#*@}" || true
    done
}

# One after another, by their ids, so that no two choose the same master. The ninth word of a line is a slot.
follow() {
    at "$SELF" cluster info | grep -q '^cluster_slots_assigned:16384' || return 0
    master=$(at "$SELF" cluster nodes | awk '
        $3 ~ /fail|handshake|noaddr/ { next }
        $3 ~ /slave/ { replicas[$4]++; next }
        NF > 8 { masters[$1]; next }
        next_id == "" || $1 < next_id { next_id = $1; mine = $3 ~ /myself/ }
        END {
            for (id in masters) if (best == "" || replicas[id] + 0 < replicas[best] + 0) best = id
            if (mine) print best
        }')
    [ -z "$master" ] || at "$SELF" cluster replicate "$master" || true
}

while true; do
    if ! is_alone "$SELF"; then
        introduce
        follow
    elif [ "$SELF" = "$first" ]; then
        make
    fi
    touch "${TMPDIR:-/tmp}/looked"
    sleep 2
done
