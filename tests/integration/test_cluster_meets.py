"""Servers of a Cluster that are pods: they make it by themselves, and stay in it whatever their addresses become."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from deploy.local.ports import free_port
from tests.support.redis_server import RedisServer, start_redis
from tests.support.stack import ROOT
from tests.support.tied import tied_with_children
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.server, pytest.mark.slow]

PASSWORD = "b2f0c5"
COUNT = 6


def flags(address: str, bus: int) -> tuple[str, ...]:
    """What `deploy/redis/member.sh` sets, for a server that is reached under an address alone."""
    cluster = {"enabled": "yes", "announce-ip": address, "node-timeout": "3000", "port": str(bus)}
    options = [part for name, value in cluster.items() for part in (f"--cluster-{name}", value)]
    access = ("--requirepass", PASSWORD, "--masterauth", PASSWORD)
    return (*options, *access, "--bind", address, "127.0.0.1", "--repl-diskless-sync-delay", "0")


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[list[RedisServer]]:
    """Six of them, which know nobody."""
    with contextlib.ExitStack() as running:
        yield [
            running.enter_context(start_redis(tmp_path, *flags(address, free_port())))
            for address in addresses()
        ]


def addresses() -> list[str]:
    """Addresses of this machine that nobody else uses."""
    network = f"127.{random.randint(10, 250)}.{random.randint(1, 250)}"
    return [f"{network}.{number}" for number in range(1, COUNT + 1)]


@contextlib.contextmanager
def meeting(servers: list[RedisServer], folder: Path) -> Iterator[None]:
    """What stands beside each of them in its pod. They have no names here, so they are called by what a name would lead to."""
    nodes = [f"127.0.0.1:{server.port}" for server in servers]
    (folder / "redis_password").write_text(PASSWORD)
    with contextlib.ExitStack() as ending:
        for node in nodes:
            variables = {"SELF": node, "NODES": " ".join(nodes), "SECRETS": str(folder)}
            beside = subprocess.Popen(
                ["sh", str(ROOT / "deploy/redis/meet.sh")],
                env={**os.environ, **variables, "TMPDIR": str(folder)},
                stdout=subprocess.DEVNULL,
                preexec_fn=tied_with_children,
            )
            ending.callback(beside.wait)
            ending.callback(beside.kill)
        yield


def command(server: RedisServer, *words: str) -> str:
    client = redis.Redis(port=server.port, password=PASSWORD, socket_timeout=30)
    client.response_callbacks.clear()
    try:
        return str(client.execute_command(*words), "utf-8")
    finally:
        client.close()


def has_replicas(servers: list[RedisServer]) -> bool:
    """Whether half of them follow the other half, each one of its own."""
    told = [command(server, "INFO", "replication") for server in servers]
    masters = [text.count("\r\nslave0:") for text in told if "connected_slaves:1" in text]
    linked = ["master_link_status:up" in text for text in told]
    return len(masters) == sum(linked) == len(servers) // 2


def is_whole(server: RedisServer) -> bool:
    """Whether it sees all slots served."""
    state = command(server, "CLUSTER", "INFO")
    return "cluster_state:ok" in state and "cluster_slots_ok:16384" in state


def known(server: RedisServer) -> set[str]:
    """The addresses under which it knows the others and itself."""
    lines = command(server, "CLUSTER", "NODES").splitlines()
    return {line.split()[1].partition(":")[0] for line in lines}


def test_a_cluster_is_made_and_survives_other_addresses_for_all_and_a_disk_that_is_lost(
    servers: list[RedisServer], tmp_path: Path
) -> None:
    with meeting(servers, tmp_path):
        wait_until(lambda: has_replicas(servers), timeout=90)
        wait_until(lambda: all(map(is_whole, servers)), timeout=90)
        for server in servers:
            server.stop()
        others = addresses()
        for server, address in zip(servers, others, strict=True):
            server.args = flags(address, free_port())
            server.start()
        wait_until(lambda: all(known(server) == set(others) for server in servers), timeout=90)
        wait_until(lambda: all(map(is_whole, servers)), timeout=90)
        wait_until(lambda: has_replicas(servers), timeout=90)
        first = servers[0]
        first.stop()
        (first.folder / "nodes.conf").unlink()
        first.args = flags(addresses()[0], free_port())
        first.start()
        wait_until(
            lambda: "master_link_status:up" in command(first, "INFO", "replication"), timeout=90
        )
        assert is_whole(first)
