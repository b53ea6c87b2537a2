#!/bin/sh
# Makes the secrets of deploy/compose.yaml that are missing, each a random one; what exists stays as it is.
#
#   scripts/secrets.sh            into deploy/secrets, or into OPENLINE_SECRETS
#
# Containers read them as files: /run/secrets/... is this folder's file itself. Images run as users of their own, which
# this machine does not know, so the files are readable for all and the folder is closed to everybody but its owner.
set -eu
cd "$(dirname "$0")/.."
folder=${OPENLINE_SECRETS:-deploy/secrets}

umask 077
mkdir -p "$folder"
chmod 700 "$folder"

random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

# keep FILE: standard input becomes the file unless it is there already.
keep() {
    if [ -s "$folder/$1" ]; then cat >/dev/null; return; fi
    cat >"$folder/.$1.new"
    chmod 444 "$folder/.$1.new"
    mv "$folder/.$1.new" "$folder/$1"
    echo "openline: made $folder/$1"
}

for name in redis_password postgres_password grafana_password; do random | keep "$name"; done
redis=$(cat "$folder/redis_password")
postgres=$(cat "$folder/postgres_password")
printf 'requirepass %s\n' "$redis" | keep redis.conf
printf 'redis://:%s@redis:6379/0\n' "$redis" | keep redis_url
printf '{"redis://redis:6379": "%s"}\n' "$redis" | keep redis_exporter.json
# For compose.sentinel.yaml and compose.cluster.yaml.
printf 'redis+sentinel://:%s@sentinel-1:26379,sentinel-2:26379,sentinel-3:26379/openline/0?sentinel_password=%s\n' \
    "$redis" "$redis" | keep redis_sentinel_url
printf '{"redis://redis:6379": "%s", "redis://redis-2:6379": "%s", "redis://redis-3:6379": "%s"}\n' \
    "$redis" "$redis" "$redis" | keep redis_exporters.json
printf 'redis+cluster://:%s@redis-1:6379,redis-2:6379,redis-3:6379,redis-4:6379,redis-5:6379,redis-6:6379\n' \
    "$redis" | keep redis_cluster_url
printf 'postgresql://openline:%s@postgres:5432/openline\n' "$postgres" | keep database_url
