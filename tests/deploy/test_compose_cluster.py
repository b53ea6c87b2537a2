"""The override with a Cluster: partitions on three masters, one of which dies under live clients."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator

import pytest

from tests.support.compose import ComposeStack
from tests.support.listener import traffic
from tests.support.people import People
from tests.support.waiting import wait_until

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def stack(images: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeStack]:
    """One project for the file."""
    project = f"openline-test-{secrets.token_hex(3)}"
    made = ComposeStack(
        project,
        tmp_path_factory.mktemp("cluster"),
        files=["deploy/compose.cluster.yaml"],
        OPENLINE_DATA_NETWORK=f"198.19.{secrets.randbelow(55) + 100}",
        OPENLINE_DRAIN_SECONDS="4",
    )
    with made as running:
        yield running


def asked(stack: ComposeStack, service: str, *command: str) -> str:
    """What `redis-cli` prints in a container of a service."""
    line = f"REDISCLI_AUTH=$(cat /run/secrets/redis_password) exec redis-cli -c {' '.join(command)}"
    return stack.compose("exec", "-T", service, "sh", "-c", line, check=False)


def flags(stack: ComposeStack, service: str) -> str:
    """What a server says of its own part: `myself,master` or `myself,slave`."""
    lines = [line.split() for line in asked(stack, service, "cluster", "nodes").splitlines()]
    return next((line[2] for line in lines if "myself" in line[2]), "")


async def test_a_master_that_is_killed_is_replaced_under_live_clients_and_returns_as_a_replica(
    stack: ComposeStack,
) -> None:
    """All three masters have partitions, by the fixed names of four; the room is on any of them."""
    nodes = asked(stack, "redis-1", "cluster", "nodes").splitlines()
    masters = {line.split()[1].partition(":")[0] for line in nodes if "master" in line}
    assert len(masters) == 3
    number = min(address.rpartition(".3")[2] for address in masters)
    (container,) = stack.containers(f"redis-{number}")
    async with People(stack.run) as people:
        rooms = [f"room:{place}" for place in range(12)]
        async with traffic(people, 14):
            await asyncio.sleep(1)
            stack.docker("kill", container)
        for room in rooms:
            assert (await people.publish(room, "after"))["offset"] == 1
    stack.docker("start", container)
    wait_until(lambda: flags(stack, f"redis-{number}") == "myself,slave", timeout=60)


def test_each_server_is_watched(stack: ComposeStack) -> None:
    wait_until(lambda: stack.targets().get("openline-redis") == ["up"] * 6, timeout=60)
