#!/bin/bash
# A Docker engine for the tests of deployments, on a Debian that has none (as root): installs it and starts it.
#
#   tests/deploy/standins/engine.sh start     nothing when an engine answers already; exit status 3 when none can be had
#   tests/deploy/standins/engine.sh stop      only an engine that this script started
#
# Its containers' networks are in 198.18.0.0/15, which is for tests and collides with nobody.
set -euo pipefail
folder=${OPENLINE_ENGINE:-$HOME/.cache/openline-engine}
pidfile=$folder/dockerd.pid
plugins=$HOME/.docker/cli-plugins

# shellcheck source=/dev/null
. "$(dirname "$0")/../../../scripts/packages.sh"
say() { echo "openline: $*"; }
cannot() { say "no Docker engine: $*"; exit 3; }
install() {
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -q --no-install-recommends "$@" >/dev/null 2>&1
}

# Debian 12 has only the old compose, written in Python. The newer one is a single file in the next release's package:
# taken from there without adding that release to this machine.
compose_from_next_release() {
    local apt=$folder/apt mirror
    mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | head -n 1)
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$plugins"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" >"$apt/sources.list"
    local options=(-qq -o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null
        -o "Dir::State::lists=$apt/lists" -o "Dir::Cache=$apt/cache" -o APT::Sandbox::User=root)
    apt-get "${options[@]}" update && (
        cd "$apt" && apt-get "${options[@]}" download docker-compose && dpkg -x docker-compose_*.deb unpacked
    ) && cp "$apt/unpacked/usr/libexec/docker/cli-plugins/docker-compose" "$plugins/"
}

start() {
    if docker info >/dev/null 2>&1 && docker compose version >/dev/null 2>&1; then return; fi
    [ "$EUID" = 0 ] || cannot "none answers, and only root can start one"
    command -v apt-get >/dev/null || cannot "none answers, and this system has no apt-get to install one with"
    mkdir -p "$folder"
    if ! command -v dockerd >/dev/null || ! command -v debootstrap >/dev/null; then
        say "installing the Docker engine (apt-get install docker.io)"
        apt-get update -qq
        # Debian would start it, with settings that are not ours.
        local policy=/usr/sbin/policy-rc.d
        [ -e $policy ] || { printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy && trap "rm -f $policy" EXIT; }
        local before
        before=$(at_boot)
        install docker.io iptables debootstrap || cannot "docker.io could not be installed"
        not_at_boot "$before" "$(at_boot)"
    fi
    docker compose version >/dev/null 2>&1 || compose_from_next_release || cannot "no compose could be had"
    docker info >/dev/null 2>&1 || run_engine
    say "Docker $(docker version -f '{{.Server.Version}}'), compose $(docker compose version --short)"
}

run_engine() {
    rm -f "$pidfile"
    nohup setsid dockerd --data-root "$folder/data" --exec-root "$folder/exec" --pidfile "$pidfile" \
        --bip 198.18.0.1/24 --default-address-pool base=198.18.0.0/15,size=24 --log-level warn \
        >"$folder/dockerd.log" 2>&1 </dev/null &
    for _ in $(seq 150); do docker info >/dev/null 2>&1 && return; sleep 0.2; done
    cannot "dockerd did not start: $(tail -n 1 "$folder/dockerd.log")"
}

stop() {
    [ -s "$pidfile" ] || return 0
    local pid
    pid=$(cat "$pidfile")
    kill "$pid" 2>/dev/null || return 0
    for _ in $(seq 300); do kill -0 "$pid" 2>/dev/null || return 0; sleep 0.1; done
    kill -KILL "$pid"
}

case ${1:-} in
    start) start ;;
    stop) stop ;;
    *) echo "usage: engine.sh start|stop" >&2; exit 2 ;;
esac
