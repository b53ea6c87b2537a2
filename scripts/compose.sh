#!/bin/sh
# What `make images`, `make up` and their sisters do: Docker Compose with the shipped files, and secrets made first.
#
#   scripts/compose.sh images | push REGISTRY | up | down [-v] | logs [SERVICE] | scale N | roll
#
# COMPOSE_FILE chooses the files, e.g. deploy/compose.yaml:deploy/compose.production.yaml; deploy/.env may hold variables.
set -eu
cd "$(dirname "$0")/.."

fail() { echo "openline: $*" >&2; exit 1; }

command -v docker >/dev/null || fail "docker is not installed; see https://docs.docker.com/engine/install/"
docker compose version >/dev/null 2>&1 || fail "docker has no compose; install the package docker-compose-plugin"
docker info >/dev/null 2>&1 || fail "docker cannot reach its engine; start it, or join the group docker"

# deploy/.env is Compose's to read, but for what we go by ourselves; the environment comes first.
of_env_file() {
    [ ! -f deploy/.env ] || sed -n "s/^ *$1=//p" deploy/.env | tail -n 1 | sed -e 's/[[:space:]]\{1,\}#.*$//' -e 's/^"\(.*\)"$/\1/' -e "s/^'\(.*\)'$/\1/"
}
for name in COMPOSE_FILE OPENLINE_PUBLIC_URL OPENLINE_REGISTRY OPENLINE_SECRETS OPENLINE_VERSION; do
    eval "given=\${$name:-}"
    [ -z "$given" ] || continue
    given=$(of_env_file "$name")
    # There a path is from the folder of the compose file.
    case $name$given in OPENLINE_SECRETS/* | OPENLINE_SECRETS) ;; OPENLINE_SECRETS*) given=deploy/$given ;; esac
    [ -z "$given" ] || export "$name=$given"
done

folder() { case $1 in /*) echo "$1" ;; *) echo "$PWD/$1" ;; esac }

# Compose takes relative paths from the folder of its file, we from here.
OPENLINE_SECRETS=$(folder "${OPENLINE_SECRETS:-deploy/secrets}")
COMPOSE_FILE=${COMPOSE_FILE:-deploy/compose.yaml}
OPENLINE_REVISION=${OPENLINE_REVISION:-$(git rev-parse HEAD 2>/dev/null || echo unknown)}
# Ours are pulled from a registry that was named, and from nowhere else.
[ -z "${OPENLINE_REGISTRY:-}" ] || OPENLINE_PULL_POLICY=${OPENLINE_PULL_POLICY:-missing}
export OPENLINE_SECRETS COMPOSE_FILE OPENLINE_REVISION ${OPENLINE_PULL_POLICY:+OPENLINE_PULL_POLICY}
version=${OPENLINE_VERSION:-dev}

# Mounted files keep the modes of this checkout, and containers' users are not you: where it was made with a umask that
# closes files to others, they could not be read. Images have modes of their own.
readable() {
    closed=$(find nginx web deploy \
        \( -path deploy/secrets -o -path deploy/tls -o -path deploy/.env -o -name __pycache__ \) -prune -o \
        \( -type d ! -perm -005 -o -type f ! -perm -004 \) -print | head -n 1)
    [ -z "$closed" ] || fail "containers cannot read $closed; chmod -R go+rX nginx web, and in deploy all but secrets and tls"
}

first_message() {
    door=${OPENLINE_PUBLIC_URL:-http://$(docker compose port nginx 8080)}
    cat <<EOF

The front door: $door/   Grafana: user admin, password in $OPENLINE_SECRETS/grafana_password

A client for your back end (its secret is shown once), a token for an hour, the first message:

  docker compose -f deploy/compose.yaml exec auth python -m services.auth.admin add-client backend --scope "publish read manage tokens"
  TOKEN=\$(curl -s -u backend:SECRET -d grant_type=client_credentials $door/auth/token | sed 's/.*"access_token":"\([^"]*\)".*/\1/')
  curl -H "Authorization: Bearer \$TOKEN" -H "Content-Type: application/json" \\
    -d '{"data": {"text": "hello"}}' $door/v1/channels/room:lobby/messages

make scale N=3 runs three gateways, make logs shows what they say, make down stops it all and keeps the data.
EOF
}

case ${1:-} in
    images) docker compose --profile load build ;;
    push)
        registry=${2:-}
        [ -n "$registry" ] || fail "which registry? make images-push REGISTRY=registry.example.org/team"
        for name in gateway auth publisher loadtest; do
            docker tag "${OPENLINE_REGISTRY:-localhost/}openline/$name:$version" "${registry%/}/openline/$name:$version"
            docker push "${registry%/}/openline/$name:$version"
        done
        ;;
    up)
        readable
        scripts/secrets.sh
        # Images of a registry are pulled, ours are built.
        if [ -n "${OPENLINE_REGISTRY:-}" ]; then build=; else build=--build; fi
        docker compose up --detach --wait $build
        first_message
        ;;
    down) shift; docker compose --profile load down "$@" ;;
    logs) shift; docker compose logs --follow --tail 100 "$@" ;;
    scale)
        case ${2:-} in '' | *[!0-9]*) fail "how many gateways? make scale N=3" ;; esac
        docker compose up --detach --wait --no-recreate --scale "gateway=$2" gateway
        ;;
    roll)
        # As many again of the present image and settings beside the old ones; then the old ones leave, one after
        # another, and their clients with them.
        old=$(docker compose ps --quiet gateway)
        count=$(echo "$old" | wc -w)
        docker compose up --detach --wait --no-deps --no-recreate --scale "gateway=$((2 * count))" gateway
        for container in $old; do
            docker stop "$container" >/dev/null
            docker rm "$container" >/dev/null
            sleep 2 # until nginx has asked for the names again: it should never know two that are gone
        done
        ;;
    *) fail "usage: scripts/compose.sh images|push|up|down|logs|scale|roll" ;;
esac
