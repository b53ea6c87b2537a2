# Sourced by the scripts that install packages of Debian and Ubuntu: announced in one line, never started, and not
# enabled at boot either: what we install is for a developer's verbs, which start what they need themselves.

say() { echo "openline: $*"; }
fail() { echo "openline: $*" >&2; exit 1; }
have() { PATH="$PATH:/usr/sbin:/usr/local/sbin:/sbin" command -v "$1" >/dev/null 2>&1; }

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

# at_boot [ETC]: what systemd or the run levels start at boot or at a login, one link a line.
at_boot() {
    find "${1:-/etc}/systemd/system" "${1:-/etc}/systemd/user" -type l -path '*.wants/*' 2>/dev/null || true
    find "${1:-/etc}" -maxdepth 2 -type l -path '*/rc[S2-5].d/S*' 2>/dev/null || true
}

# The helper of the packages' own scripts, which wants to know on whose behalf it is called.
unit() { as_root env DPKG_MAINTSCRIPT_PACKAGE=openline deb-systemd-helper "$@"; }

# not_at_boot BEFORE AFTER: disable what is in the second list of `at_boot` only. Debian remembers that over upgrades.
not_at_boot() {
    added=$(printf '%s\n' "$2" | grep -vxF -e "$1" || true)
    for link in $added; do
        name=${link##*/}
        case $link in
            */systemd/user/*) unit --user disable "$name" ;;
            */systemd/system/*) unit disable "$name" ;;
            *) as_root update-rc.d "${name#S[0-9][0-9]}" disable ;;
        esac >/dev/null 2>&1 || say "$name could not be disabled; it may start at the next boot"
    done
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

# install WHAT WHY PACKAGE...: by apt-get, or say what to install by hand.
install() {
    what=$1 why=$2
    shift 2
    have apt-get || fail "$what is missing and this system has no apt-get; install $what ($why), then run this again"
    [ "$(id -u)" = 0 ] || have sudo || fail "$what is missing ($why); as root: apt-get install $*"
    say "installing $what, $why (apt-get install $*)"
    before=$(at_boot)
    log=$(mktemp)
    # The lists of a fresh machine are empty or old.
    without_starting apt_install "$@" >"$log" 2>&1 ||
        { update_lists "$log" && without_starting apt_install "$@" >>"$log" 2>&1; } ||
        { tail -n 5 "$log" >&2; rm -f "$log"; fail "$what could not be installed; install $* yourself, then run this again"; }
    rm -f "$log"
    not_at_boot "$before" "$(at_boot)"
}
