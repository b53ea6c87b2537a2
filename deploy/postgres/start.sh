#!/bin/sh
# Makes the database on its first start, then runs PostgreSQL. In place of an image's own entry, so that every image of
# PostgreSQL does the same; runs as user postgres.
set -eu
umask 077

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    # What an interrupted first start left is no database.
    rm -rf "$PGDATA" "$PGDATA.new"
    initdb -D "$PGDATA.new" -U postgres -E UTF8 --locale=C --auth=reject --data-checksums >/dev/null
    # The service owns its database and is nothing more. Passwords are hex: they need no quoting.
    password=$(cat /run/secrets/postgres_password)
    printf "CREATE ROLE openline LOGIN PASSWORD '%s'\nCREATE DATABASE openline OWNER openline\n" "$password" |
        postgres --single -D "$PGDATA.new" -c log_statement=none postgres >/dev/null
    mv "$PGDATA.new" "$PGDATA"
fi

exec postgres -D "$PGDATA" -c listen_addresses='*' -c hba_file=/etc/openline/pg_hba.conf \
    -c unix_socket_directories=/tmp -c password_encryption=scram-sha-256 -c logging_collector=off
