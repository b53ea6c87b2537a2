#!/bin/sh
# Prints OPENLINE_ALLOWED_ORIGINS, given as the argument, as lines of a `map $http_origin`: the scripts of these origins may
# read what nginx itself answers, as they may read what the services answer. Exits with 1 for what is no origin.
set -eu
origins=$(printf '%s' "$1" | tr 'A-Z,' 'a-z\n' | sed -E 's/^[[:space:]]+//; s/[[:space:]]+$//; s,/$,,; /^$/d')
[ -n "$origins" ] || exit 0
if wrong=$(printf '%s\n' "$origins" | grep -Ev '^https?://(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(:(\*|[0-9]{1,5}))?$'); then
    echo "OPENLINE_ALLOWED_ORIGINS: $wrong is not an origin; write scheme://host, scheme://host:port or scheme://host:*" >&2
    exit 1
fi
# A browser names no port that its scheme has anyway.
printf '%s\n' "$origins" | sed -E '
    s/[].[]/\\&/g; t escaped
    : escaped
    s/:\*$/(?::[0-9]+)?/; t written
    s/^(https:.*):443$/\1(?::443)?/; t written
    s/^(http:.*):80$/\1(?::80)?/; t written
    /:[0-9]+$/ b written
    s/^https:.*/&(?::443)?/; t written
    s/$/(?::80)?/
    : written
    s/.*/"~*^&$" $http_origin;/'
