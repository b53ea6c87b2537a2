#!/bin/sh
# Makes the snapshot on standard input the data of a Redis that does not run: restore.sh < openline.rdb
#
# With an append-only file Redis reads no snapshot beside it. But such a file begins with one: this writes a file that
# consists of its beginning alone.
set -eu
umask 077
cd /data
rm -rf appendonlydir.new
mkdir appendonlydir.new
cat >appendonlydir.new/appendonly.aof.1.base.rdb
[ "$(head -c 5 appendonlydir.new/appendonly.aof.1.base.rdb)" = REDIS ] || { echo "standard input is no snapshot" >&2; exit 1; }
echo "file appendonly.aof.1.base.rdb seq 1 type b" >appendonlydir.new/appendonly.aof.manifest
rm -rf appendonlydir
mv appendonlydir.new appendonlydir
