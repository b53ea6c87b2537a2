#!/bin/sh
# A Sentinel. What it learns it keeps in /data, so that it knows the primary after a restart.
#
#   SELF    the name under which the others reach this one
#   FIRST   the server that is primary at the very first start
set -eu
umask 077
password=$(cat /run/secrets/redis_password)
[ -s /data/sentinel.conf ] || cat >/data/sentinel.conf <<EOF
port 26379
bind 0.0.0.0 -::*
dir /tmp
requirepass $password
sentinel sentinel-pass $password
sentinel resolve-hostnames yes
sentinel announce-hostnames yes
sentinel announce-ip $SELF
sentinel monitor openline $FIRST 6379 2
sentinel auth-pass openline $password
# With less, a busy machine is taken for a dead one.
sentinel down-after-milliseconds openline 3000
sentinel failover-timeout openline 10000
EOF
# A name that nobody knows at this moment, that of a server that is down, would end it.
until redis-server /data/sentinel.conf --sentinel; do sleep 1; done
