"""One of several servers that is to stop has a replica take its place first, as `deploy/redis/leave.sh` does in its pod."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

import pytest
import redis

from tests.support.redis_cluster import RedisCluster
from tests.support.redis_server import RedisServer
from tests.support.sentinel_group import SentinelGroup
from tests.support.stack import ROOT

pytestmark = pytest.mark.server

PASSWORD = "b2f0c5"


def leave(server: RedisServer, folder: Path, **variables: str) -> float:
    """Run it beside a server; how many seconds it took."""
    (folder / "redis_password").write_text(PASSWORD)
    given = {"PORT": str(server.port), "SECRETS": str(folder), **variables}
    begun = time.monotonic()
    script = ROOT / "deploy/redis/leave.sh"
    subprocess.run(["sh", script], env={**os.environ, **given}, check=True, timeout=60)
    return time.monotonic() - begun


class Counting:
    """Somebody who counts up at one server, until it takes no writes any more."""

    def __init__(self, server: RedisServer) -> None:
        self.acknowledged = 0
        self._server = server
        self._thread = threading.Thread(target=self._count)

    def _count(self) -> None:
        with self._server.client() as client, suppress(redis.RedisError):
            while True:
                self.acknowledged = client.incr("{p0}:count")

    def __enter__(self) -> Self:
        self._thread.start()
        while not self.acknowledged:
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(30)
        assert not self._thread.is_alive()


@pytest.mark.alone
def test_sentinels_promote_a_replica_before_the_primary_stops_and_nothing_is_lost(tmp_path: Path):
    with SentinelGroup(tmp_path) as group:
        former = group.master()
        sentinels = group.hosts.replace(",", " ")
        with Counting(former) as counting:
            leave(former, tmp_path, SENTINELS=sentinels)
            assert group.master() is not former
            former.stop()
        with group.client() as client:
            assert int(client.get("{p0}:count")) == counting.acknowledged
        replica = next(one for one in group.servers if one not in (former, group.master()))
        assert leave(replica, tmp_path, SENTINELS=sentinels) < 3, "it has nothing to hand over"


@pytest.mark.alone
@pytest.mark.slow
def test_a_replica_that_sentinels_take_for_a_primary_is_promoted_when_they_know_better(
    tmp_path: Path,
):
    """It would be made to follow again, with what it took meanwhile."""
    with SentinelGroup(tmp_path, replicas=1) as group:
        former = group.master()
        (replica,) = (one for one in group.servers if one is not former)
        group.mistake(replica)
        leaving = threading.Thread(
            target=leave,
            args=(former, tmp_path),
            kwargs={"SENTINELS": group.hosts.replace(",", " "), "PATIENCE": "50"},
        )
        leaving.start()
        while "master" in group.roles(replica):
            assert not group.said("Executing user requested FAILOVER")
            time.sleep(0.05)
        leaving.join()
        assert group.master() is replica


@pytest.mark.alone
def test_a_replica_in_a_cluster_takes_over_before_the_master_stops(tmp_path: Path):
    with RedisCluster(tmp_path, replicas=1) as cluster:
        former = cluster.master()
        with Counting(former) as counting:
            leave(former, tmp_path)
            assert cluster.master() is not former
            former.stop()
        with cluster.client() as client:
            assert int(client.get("{p0}:count")) == counting.acknowledged


def test_a_master_without_a_replica_is_held_up_for_no_longer_than_it_may(tmp_path: Path):
    with RedisCluster(tmp_path) as cluster:
        former = cluster.master()
        assert leave(former, tmp_path, PATIENCE="1") < 12, "it may be 20 s unless told"
        assert cluster.master() is former
