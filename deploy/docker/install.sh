#!/bin/sh
# Installs the locked packages of /opt/requirements.txt that are missing in /opt/venv, the same files at each build.
set -eu
touch /opt/began
pip --python /opt/venv/bin/python install -q --require-hashes --only-binary :all: --no-deps --no-compile \
    -r /opt/requirements.txt
# Tests that packages bring along, and what only a compiler would read.
find /opt/venv/lib -type d \( -name tests -o -name test \) -path '*/site-packages/*' -prune -exec rm -rf {} +
find /opt/venv/lib -type f \( -name '*.pyi' -o -name '*.pxd' -o -name '*.pyx' -o -name '*.c' -o -name '*.h' \) -delete
find /opt/venv/lib -name '*.py' -cnewer /opt/began >/opt/new
python -m compileall -q -j 0 --invalidation-mode unchecked-hash -i /opt/new
