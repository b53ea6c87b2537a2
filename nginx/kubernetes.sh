#!/bin/sh
# For the init container in Kubernetes: sh kubernetes.sh FROM TO [RESOLV.CONF]. Writes the configuration for containers
# with this pod's resolver and with whole names: nginx asks DNS by itself and does not know the domains that
# /etc/resolv.conf would add. CPUS is how many cores nginx may use: by itself it would run a worker for each core of the
# node, and each takes 15 MB before it has a client.
set -eu
from=$1 to=$2 resolv=${3:-/etc/resolv.conf}

# The first: others are for when it is down, while nginx would ask them in turn. IPv6 addresses go into brackets.
server=$(awk '$1 == "nameserver" { print $2 ~ /:/ ? "[" $2 "]" : $2; exit }' "$resolv")
domain=$(awk '$1 == "search" { print $2; exit }' "$resolv")
[ -n "$server" ] && [ -n "$domain" ] || { echo "no nameserver or no search domain in $resolv" >&2; exit 1; }
case $server in "["*) families= ;; *) families=" ipv6=off" ;; esac

cp "$from"/*.conf "$from/serve.sh" "$from/origins.sh" "$from/limits.sh" "$to"/
sed -e "s/^resolver [0-9.]* valid=1s ipv6=off;/resolver $server valid=1s$families;/" \
    -e "s/^\( *server [a-z]*\):/\1.$domain:/" "$from/containers-upstreams.conf" >"$to/containers-upstreams.conf"
sed "s/^worker_processes auto;/worker_processes ${CPUS:-auto};/" "$from/containers-main.conf" >"$to/containers-main.conf"
