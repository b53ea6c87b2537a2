#!/bin/sh
# Puts a kubectl with kustomize 5 into .tools/bin: that of Debian 13, whose package works on Debian 12 as well, where
# the own one is of 2021 and knows no components. Verified by Debian's signature like every package.
set -eu
cd "$(dirname "$0")/.."
fail() { echo "openline: kubectl 1.27 or newer is missing and $*; see https://kubernetes.io/docs/tasks/tools/" >&2; exit 1; }

command -v apt-get >/dev/null && command -v dpkg >/dev/null || fail "this system has no apt-get"
key=/usr/share/keyrings/debian-archive-keyring.gpg
[ -e $key ] || fail "this system is no Debian"
site=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Component: main' | head -n 1)
[ -n "$site" ] || fail "no mirror of Debian is configured"

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial"
echo "deb [signed-by=$key] $site trixie main" >"$folder/sources.list"
# A state of its own: this system's lists and packages stay as they are.
get() {
    apt-get -qq -o Dir::Etc::sourcelist="$folder/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::State::lists="$folder/lists" -o Dir::Cache="$folder/cache" -o Dir::State::status=/dev/null \
        -o APT::Sandbox::User= "$@"
}
get update || fail "the lists of Debian 13 could not be fetched"
(cd "$folder" && get download kubectl) || fail "Debian's package could not be fetched"
dpkg -x "$folder"/kubectl_*.deb "$folder/unpacked"
mkdir -p .tools/bin
mv "$folder/unpacked/usr/bin/kubectl" .tools/bin/kubectl
