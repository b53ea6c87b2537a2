"""The override with a Cluster: partitions on three masters, one of which dies under live clients."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.support import live_clients
from tests.support.compose import ComposeStack
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


def replaced(stack: ComposeStack, witness: str, number: str) -> bool:
    """Whether a server sees one as failed, and all slots served."""
    nodes = asked(stack, witness, "cluster", "nodes").splitlines()
    gone = [line for line in nodes if f".3{number}:" in line and "fail" in line.split()[2]]
    state = asked(stack, witness, "cluster", "info")
    return bool(gone) and "cluster_slots_ok:16384" in state and "cluster_state:ok" in state


async def test_a_master_that_is_killed_is_replaced_under_live_clients_of_both_packages(
    stack: ComposeStack,
) -> None:
    """All three masters have partitions, by the fixed names of four, and rooms are on all of them; the killed one follows
    when it is back.
    """
    nodes = asked(stack, "redis-1", "cluster", "nodes").splitlines()
    masters = {line.split()[1].partition(":")[0] for line in nodes if "master" in line}
    assert len(masters) == 3
    number = min(address.rpartition(".3")[2] for address in masters)
    (container,) = stack.containers(f"redis-{number}")
    witness = next(f"redis-{n}" for n in range(1, 7) if str(n) != number)

    def kill() -> None:
        stack.docker("kill", container)
        wait_until(lambda: replaced(stack, witness, number), timeout=90)

    live_clients.check(await live_clients.survive(stack, kill, channels=12))
    async with People(stack.run) as people:
        for place in range(12):
            assert (await people.publish(f"room:{place}", "after"))["offset"] == 1
    stack.docker("start", container)
    wait_until(lambda: flags(stack, f"redis-{number}") == "myself,slave", timeout=60)


def test_each_server_is_watched(stack: ComposeStack) -> None:
    wait_until(lambda: stack.targets().get("openline-redis") == ["up"] * 6, timeout=60)
