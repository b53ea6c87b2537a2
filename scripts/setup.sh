#!/bin/sh
# Sets up what a verb needs and what is missing: a Python, the virtual environment from the hash-locked requirements, and
# programs. Each installation is announced in one line that says what and why; when nothing is missing, nothing is said.
# Nothing that is installed is started, now or at boot.
#
#   scripts/setup.sh python     the services' packages                                          make k8s-secrets
#   scripts/setup.sh dev        the packages for development                                    make unit, lint, types, fmt
#   scripts/setup.sh run        python; nginx, curl                                             make run, dev
#   scripts/setup.sh nginx      dev; nginx                                                      make nginx-check, bench, load
#   scripts/setup.sh test       nginx; curl, redis-server, faketime                             make test
#   scripts/setup.sh rules      dev; Prometheus, Alertmanager                                   make rules-check
#   scripts/setup.sh manifests  dev; kubectl, checkov                                           make k8s-check
#   scripts/setup.sh deploy     test, rules; exporters, kubectl                                 make test-deploy
#   scripts/setup.sh docker     deploy; podman, Node                                            make test-docker
#   scripts/setup.sh clients    test; chromium, PostgreSQL, Node, tools of the packages         make clients, test-slow, site
#
# Safe to run twice, also at the same time. PYTHON=/path/to/python chooses the interpreter.
set -eu

cd "$(dirname "$0")/.."
. scripts/packages.sh
need=${1:-run}
venv=.venv
case $need in
    python) lock=requirements.txt programs= ;;
    run) lock=requirements.txt programs="nginx curl" ;;
    dev) lock=requirements-dev.txt programs= ;;
    nginx) lock=requirements-dev.txt programs="nginx" ;;
    test) lock=requirements-dev.txt programs="nginx curl redis faketime" ;;
    rules) lock=requirements-dev.txt programs="prometheus alertmanager" ;;
    manifests) lock=requirements-dev.txt programs="kubectl checkov" ;;
    deploy) lock=requirements-dev.txt programs="nginx curl redis faketime prometheus alertmanager exporters kubectl" ;;
    docker) lock=requirements-clients.txt programs="nginx curl redis faketime prometheus alertmanager exporters kubectl podman" ;;
    clients) lock=requirements-clients.txt programs="nginx curl redis faketime chromium postgres" ;;
    *) fail "usage: scripts/setup.sh python|dev|run|nginx|test|rules|manifests|deploy|docker|clients" ;;
esac

# Two set-ups of one checkout at the same time wait for each other. Descriptor 9 is closed for whatever we start.
if [ -z "${OPENLINE_SETUP_LOCKED:-}" ] && have flock; then
    flock -n .setup.lock true || say "waiting for another set-up of this folder"
    OPENLINE_SETUP_LOCKED=1 exec flock -o .setup.lock "$0" "$need"
fi

good_python() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))' >/dev/null 2>&1
}

find_python() {
    for name in ${PYTHON:-python3.14 python3.13 python3.12 python3.11 python3}; do
        if have "$name" && good_python "$name"; then command -v "$name"; return; fi
    done
    return 1
}

python=
if ! python=$(find_python); then
    [ -z "${PYTHON:-}" ] || fail "PYTHON=$PYTHON is no Python 3.11, 3.12, 3.13 or 3.14"
    install "Python" "which runs everything" python3 python3-venv
    python=$(find_python) || fail "Python 3.11, 3.12, 3.13 or 3.14 is needed; this system has none: install one, or give PYTHON=/path/to/it"
fi

# A stamp names the lock and this folder: the scripts of a copied environment would still call the old one.
stamp_of() { printf '%s %s\n' "$(cksum <"$1")" "$(pwd -P)"; }
current() { [ "$(cat "$1/stamp-$2" 2>/dev/null)" = "$(stamp_of "$2")" ] && "$1/bin/python" -c '' 2>/dev/null; }

make_environment() {
    version=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
    # Debian and Ubuntu keep this part of Python in a package of its own.
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        install "Python's venv" "which makes $1" "$version-venv"
    say "making the virtual environment $1 with $version"
    rm -rf "$1"
    "$python" -m venv "$1"
}

# Minutes on a slow line: say every now and then how far it is.
progress() {
    awk -v all="$(grep -c '^[a-z0-9].*==' "$1")" '
        /^Collecting / { if (++n % 25 == 0) { print "openline:   " n " of at most " all " packages"; fflush() } }
        /^Installing collected/ { print "openline:   unpacking " n " packages"; fflush() }'
}

# pip_install ENVIRONMENT LOCK
pip_install() {
    say "installing the packages of $2 into $1"
    log=$(mktemp)
    { "$1/bin/python" -m pip install --disable-pip-version-check --no-input --no-color --progress-bar off \
        --require-hashes --only-binary :all: -r "$2" 2>"$log" || echo failed >>"$log"; } | progress "$2"
    if [ "$(tail -n 1 "$log")" = failed ]; then
        tail -n 6 "$log" >&2; rm -f "$log"
        fail "the packages of $2 could not be installed; is the package index reachable?"
    fi
    rm -f "$log"
    stamp_of "$2" >"$1/stamp-$2"
}

if ! current $venv $lock; then
    if [ ! -x $venv/bin/python ] || ! good_python $venv/bin/python ||
        ! $venv/bin/python -c 'import pip' 2>/dev/null ||
        ! grep -qF "$(pwd -P)/$venv" $venv/bin/pip 2>/dev/null; then
        make_environment $venv
    fi
    pip_install $venv $lock
    # The lock for development holds all that the services' lock holds, and the clients' lock all of both.
    [ $lock = requirements.txt ] || stamp_of requirements.txt >$venv/stamp-requirements.txt
    [ $lock != requirements-clients.txt ] || stamp_of requirements-dev.txt >$venv/stamp-requirements-dev.txt
fi

need_nginx() { have nginx || install nginx "the front door" nginx; }
need_curl() { have curl || install curl "for the lines to try that a start prints" curl; }
need_redis() { have redis-server || install redis-server "the store of the tests" redis-server; }
need_faketime() { have faketime || install faketime "for a server whose clock is set back" faketime; }
need_chromium() { have chromium || have chromium-browser || install chromium "the browser of the tests" chromium; }
need_postgres() {
    ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || install PostgreSQL "auth's other database" postgresql
}
need_prometheus() { have promtool || install Prometheus "which checks its rules" prometheus; }
need_alertmanager() { have amtool || install Alertmanager "which checks its configuration" prometheus-alertmanager; }
need_exporters() {
    { have prometheus-redis-exporter && have prometheus-nginx-exporter; } ||
        install "Redis' and nginx' exporters" "which the dashboards' tests ask" \
            prometheus-redis-exporter prometheus-nginx-exporter
}
# Components came with kustomize 3.7; kubectl has kustomize 5 since 1.27.
need_kubectl() {
    { kubectl version --client 2>/dev/null || true; .tools/bin/kubectl version --client 2>/dev/null || true; } |
        grep -q 'Kustomize Version: v[5-9]' ||
        { say "getting kubectl, which builds the manifests, into .tools/bin"; scripts/get_kubectl.sh; }
}
# A node that runs pods; netavark's networks have DNS, and catatonit is the process that holds a pod.
need_podman() {
    { have podman && have catatonit && [ -x /usr/lib/podman/netavark ] && [ -x /usr/lib/podman/aardvark-dns ]; } ||
        install podman "a node that runs pods" podman netavark aardvark-dns catatonit iptables
}
# In an environment of its own: its packages are old.
need_checkov() {
    current .venv-tools requirements-tools.txt && return
    make_environment .venv-tools
    pip_install .venv-tools requirements-tools.txt
}

for program in $programs; do need_"$program"; done
