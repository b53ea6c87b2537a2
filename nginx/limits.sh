#!/bin/sh
# Prints the front door's limits, directives inside `http`, from OPENLINE_NGINX_... in the environment or their defaults;
# docs/reference/settings.md says what they are. Exits with 1 for a value that is no whole number within its bounds, or
# below the limit of a service that it would cut short: the services say why where they refuse, and their clients read it.
set -eu

refuse() {
    echo "$1" >&2
    exit 1
}

# limit NAME DEFAULT LOWEST HIGHEST: the value becomes the shell's variable NAME.
limit() {
    variable=OPENLINE_NGINX_$(printf '%s' "$1" | tr '[:lower:]' '[:upper:]')
    eval "value=\${$variable:-$2}"
    case $value in
    *[!0-9]* | ???????????*) refuse "$variable=$value is not a whole number from $3 to $4" ;;
    esac
    { [ "$value" -ge "$3" ] && [ "$value" -le "$4" ]; } || refuse "$variable=$value is not from $3 to $4"
    eval "$1=$value"
}

# at_least VALUE NAME VARIABLE DEFAULT: a service's limit must not be above nginx's.
at_least() {
    eval "service=\${$3:-$4}"
    [ "$1" -ge "$service" ] || refuse "OPENLINE_NGINX_$2=$1 is below $3=$service: raise the one or lower the other"
}

limit handshake_rate 300 1 1000000
limit handshake_burst 2000 1 1000000
limit connections 20000 1 1000000
limit call_rate 100 1 1000000
limit call_burst 400 1 1000000
limit open_calls 500 1 1000000
limit back_end_rate 100 1 1000000
limit back_end_burst 400 1 1000000
limit back_end_open_calls 2000 1 1000000
limit page_rate 100 1 1000000
limit page_burst 400 1 1000000
limit body_bytes 1048576 65536 16777216
limit head_seconds 10 1 60
limit body_seconds 15 1 3600
at_least "$connections" CONNECTIONS OPENLINE_CONNECTIONS_PER_ADDRESS 1000
at_least "$body_bytes" BODY_BYTES OPENLINE_BODY_BYTES 1048576

cat <<END
# Written by limits.sh.
client_max_body_size $body_bytes;
map \$uri \$openline_largest_body {
    default            $body_bytes;
    "~^/(?:auth/|sse)" 65536;
    ~^/sse   65536;
}
client_header_timeout ${head_seconds}s;
client_body_timeout ${body_seconds}s;
END
[ "${OPENLINE_LIMITS:-on}" != off ] || exit 0
cat <<END
# By address; an empty key is not counted (openline.conf has the keys).
limit_req_zone \$openline_handshaking zone=openline_handshakes:10m rate=${handshake_rate}r/s;
limit_req_zone \$openline_calling zone=openline_calls:10m rate=${call_rate}r/s;
limit_req_zone \$openline_tokenless zone=openline_tokenless:10m rate=${back_end_rate}r/s;
limit_req_zone \$openline_reading zone=openline_pages:10m rate=${page_rate}r/s;
limit_req zone=openline_handshakes burst=$handshake_burst nodelay;
limit_req zone=openline_calls burst=$call_burst nodelay;
limit_req zone=openline_tokenless burst=$back_end_burst nodelay;
limit_req zone=openline_pages burst=$page_burst nodelay;
limit_conn_zone \$openline_handshaking zone=openline_connections:10m;
limit_conn_zone \$openline_calling zone=openline_open_calls:10m;
limit_conn_zone \$openline_back_end zone=openline_back_end_calls:10m;
limit_conn openline_connections $connections;
limit_conn openline_open_calls $open_calls;
limit_conn openline_back_end_calls $back_end_open_calls;
END
