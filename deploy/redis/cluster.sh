#!/bin/sh
# Makes a cluster of the servers in NODES, three masters and three replicas, unless it is one already; ends when it serves.
#
#   NODES   host:port of all servers, with spaces between
set -eu
REDISCLI_AUTH=$(cat /run/secrets/redis_password)
export REDISCLI_AUTH
first=${NODES%% *}
asked() { timeout 5 redis-cli -h "${first%:*}" -p "${first#*:}" "$@"; }
for node in $NODES; do
    until timeout 5 redis-cli -h "${node%:*}" -p "${node#*:}" ping 2>/dev/null | grep -q PONG; do sleep 0.5; done
done
# One that knows others is part of a cluster: it only has to find them again.
if asked cluster info | grep -q '^cluster_known_nodes:1[^0-9]*$'; then
    # shellcheck disable=SC2086 # a word for each server
    redis-cli --cluster create $NODES --cluster-replicas 1 --cluster-yes
fi
until asked cluster info | grep -q '^cluster_state:ok'; do sleep 0.5; done
