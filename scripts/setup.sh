#!/bin/sh
# Sets up what is missing: a Python, the virtual environment from the hash-locked requirements, nginx; for tests also
# redis-server, faketime, Prometheus with its tools and exporters, chromium and PostgreSQL. Each installation is announced
# in one line; when nothing is missing, nothing is said.
#
#   scripts/setup.sh python    the virtual environment alone, with the services' packages
#   scripts/setup.sh run       what `make run` needs
#   scripts/setup.sh test      and what `make test` and `make lint` need
#   scripts/setup.sh browser   and a browser and PostgreSQL, for `make test-slow`
#   scripts/setup.sh deploy    what `make test` needs, kubectl, checkov and podman, for `make k8s-check`, `make test-deploy`
#                              and `make test-docker`
#
# Safe to run twice, also at the same time. PYTHON=/path/to/python chooses the interpreter.
set -eu

cd "$(dirname "$0")/.."
need=${1:-run}
venv=.venv
case $need in
    python | run) lock=requirements.txt ;;
    test | browser | deploy) lock=requirements-dev.txt ;;
    *) echo "usage: scripts/setup.sh python|run|test|browser|deploy" >&2; exit 2 ;;
esac

say() { echo "openline: $*"; }
fail() { echo "openline: $*" >&2; exit 1; }
have() { PATH="$PATH:/usr/sbin:/usr/local/sbin:/sbin" command -v "$1" >/dev/null 2>&1; }

# Two set-ups of one checkout at the same time wait for each other. Descriptor 9 is closed for whatever we start.
if [ -z "${OPENLINE_SETUP_LOCKED:-}" ] && have flock; then
    OPENLINE_SETUP_LOCKED=1 exec flock -o .setup.lock "$0" "$need"
fi

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif have sudo; then sudo "$@"
    else return 1
    fi
}

# Debian starts what it installs; nginx would take port 80, which nobody asked for.
without_starting() {
    policy=/usr/sbin/policy-rc.d
    if [ -e "$policy" ]; then "$@"; return; fi
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null && as_root chmod 755 "$policy"
    result=0
    "$@" || result=$?
    as_root rm -f "$policy"
    return $result
}

# A machine that has just started is often updating itself: wait for that rather than fail.
apt() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 "$@"; }
apt_install() { apt install -y --no-install-recommends "$@"; }

# update_lists LOG. That apt-get waits for dpkg's lock alone: for that of the lists we wait, five minutes as well.
update_lists() {
    tries=60
    until apt update >"$1" 2>&1; do
        tries=$((tries - 1))
        { [ $tries -gt 0 ] && grep -q 'lists/lock' "$1"; } || return 1
        sleep 5
    done
}

# install WHAT PACKAGE...: by apt-get, or say what to install by hand.
install() {
    what=$1; shift
    have apt-get || fail "$what is missing and this system has no apt-get; install $what, then run this again"
    [ "$(id -u)" = 0 ] || have sudo || fail "$what is missing; as root: apt-get install $*"
    say "installing $what (apt-get install $*)"
    log=$(mktemp)
    if without_starting apt_install "$@" >"$log" 2>&1; then rm -f "$log"; return; fi
    # The lists of a fresh machine are empty or old.
    if update_lists "$log" && without_starting apt_install "$@" >>"$log" 2>&1; then
        rm -f "$log"; return
    fi
    tail -n 5 "$log" >&2
    rm -f "$log"
    fail "$what could not be installed; install $* yourself, then run this again"
}

good_python() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' >/dev/null 2>&1
}

find_python() {
    for name in ${PYTHON:-python3.13 python3.12 python3.11 python3}; do
        if have "$name" && good_python "$name"; then command -v "$name"; return; fi
    done
    return 1
}

python=
if ! python=$(find_python); then
    [ -z "${PYTHON:-}" ] || fail "PYTHON=$PYTHON is no Python 3.11, 3.12 or 3.13"
    install "Python" python3 python3-venv
    python=$(find_python) || fail "Python 3.11, 3.12 or 3.13 is needed; this system has none: install one, or give PYTHON=/path/to/it"
fi

# A stamp names the lock and this folder: the scripts of a copied environment would still call the old one.
stamp_of() { printf '%s %s\n' "$(cksum <"$1")" "$(pwd -P)"; }
current() { [ "$(cat "$venv/stamp-$1" 2>/dev/null)" = "$(stamp_of "$1")" ] && "$venv/bin/python" -c '' 2>/dev/null; }

if ! current "$lock"; then
    if [ ! -x "$venv/bin/python" ] || ! good_python "$venv/bin/python" ||
        ! "$venv/bin/python" -c 'import pip' 2>/dev/null ||
        ! grep -qF "$(pwd -P)/$venv" "$venv/bin/pip" 2>/dev/null; then
        version=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
        # Debian and Ubuntu keep this part of Python in a package of its own.
        "$python" -c 'import ensurepip, venv' 2>/dev/null || install "Python's venv" "$version-venv"
        say "making the virtual environment $venv with $version"
        rm -rf "$venv"
        "$python" -m venv "$venv"
    fi
    say "installing the packages of $lock into $venv"
    "$venv/bin/python" -m pip install -qq --disable-pip-version-check --no-input \
        --require-hashes --only-binary :all: -r "$lock" || fail "the packages of $lock could not be installed; is the package index reachable?"
    stamp_of "$lock" >"$venv/stamp-$lock"
    # The lock for development holds all that the other holds.
    [ "$lock" = requirements.txt ] || stamp_of requirements.txt >"$venv/stamp-requirements.txt"
fi

[ "$need" != python ] || exit 0
have nginx || install nginx nginx
have curl || install curl curl # for the lines to try that the start prints
if [ "$need" != run ]; then
    have redis-server || install redis-server redis-server
    have faketime || install faketime faketime # for a server whose clock is set back
    have promtool || install "Prometheus and promtool" prometheus
    have amtool || install "Alertmanager and amtool" prometheus-alertmanager
    have prometheus-redis-exporter || install "Redis' exporter" prometheus-redis-exporter
    have prometheus-nginx-exporter || install "nginx's exporter" prometheus-nginx-exporter
fi
if [ "$need" = browser ]; then
    have chromium || install chromium chromium
    ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || install PostgreSQL postgresql
fi
if [ "$need" = deploy ]; then
    # Components came with kustomize 3.7; kubectl has kustomize 5 since 1.27.
    { kubectl version --client 2>/dev/null || true; .tools/bin/kubectl version --client 2>/dev/null || true; } |
        grep -q 'Kustomize Version: v[5-9]' || { say "getting kubectl into .tools/bin"; scripts/get_kubectl.sh; }
    # A node that runs pods; netavark's networks have DNS, and catatonit is the process that holds a pod.
    { have podman && have catatonit && [ -x /usr/lib/podman/netavark ] && [ -x /usr/lib/podman/aardvark-dns ]; } ||
        install podman podman netavark aardvark-dns catatonit iptables
    tools=.venv-tools
    if [ "$(cat $tools/stamp 2>/dev/null)" != "$(stamp_of requirements-tools.txt)" ]; then
        say "installing the packages of requirements-tools.txt into $tools"
        rm -rf $tools
        "$python" -m venv $tools
        $tools/bin/python -m pip install -qq --disable-pip-version-check --no-input --require-hashes \
            --only-binary :all: -r requirements-tools.txt || fail "the packages of requirements-tools.txt could not be installed"
        stamp_of requirements-tools.txt >$tools/stamp
    fi
fi
