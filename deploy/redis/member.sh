#!/bin/sh
# One server of a Redis Cluster, which has its place in it in /data.
#
#   SELF   the address under which the others and the services reach this one
#
# Arguments are those of redis-server.
set -eu
umask 077
cat >/tmp/redis.conf <<EOF
include /etc/openline/redis.conf
masterauth $(cat /run/secrets/redis_password)
cluster-enabled yes
cluster-config-file /data/nodes.conf
cluster-announce-ip $SELF
# With less, a busy machine is taken for a dead one.
cluster-node-timeout 3000
# A part without a master stops itself, and not all others.
cluster-require-full-coverage no
repl-diskless-sync-delay 0
EOF
exec redis-server /tmp/redis.conf "$@"
