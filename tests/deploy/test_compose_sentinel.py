"""The override with Sentinels: a Redis that dies under live clients costs seconds, and no silence."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.support import live_clients
from tests.support.compose import ComposeStack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.docker

SERVERS = ("redis", "redis-2", "redis-3")


@pytest.fixture(scope="module")
def stack(images: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeStack]:
    """One project for the file."""
    project = f"openline-test-{secrets.token_hex(3)}"
    network = f"198.19.{secrets.randbelow(55) + 200}"
    made = ComposeStack(
        project,
        tmp_path_factory.mktemp("sentinel"),
        files=["deploy/compose.sentinel.yaml"],
        OPENLINE_DATA_NETWORK=network,
        OPENLINE_DRAIN_SECONDS="4",
    )
    with made as running:
        yield running


def asked(stack: ComposeStack, service: str, *command: str, port: int = 6379) -> str:
    """What `redis-cli` prints in a container of a service; it may not answer yet."""
    line = f"REDISCLI_AUTH=$(cat /run/secrets/redis_password) exec redis-cli -p {port} {' '.join(command)}"
    return stack.compose("exec", "-T", service, "sh", "-c", line, check=False)


def primary(stack: ComposeStack) -> str:
    """The server that the Sentinels name."""
    command = ("sentinel", "get-master-addr-by-name", "openline")
    return (asked(stack, "sentinel-2", *command, port=26379).split() or [""])[0]


def follows(stack: ComposeStack, server: str) -> str:
    """The primary of which a server is a replica in step; empty when it is none."""
    told = asked(stack, server, "info", "replication").split()
    facts = dict(line.split(":", 1) for line in told if ":" in line)
    return facts["master_host"] if facts.get("master_link_status") == "up" else ""


async def test_a_primary_that_is_killed_is_replaced_under_live_clients_of_both_packages(
    stack: ComposeStack,
) -> None:
    """None of them misses a message without a word; the killed one follows when it is back."""
    former = primary(stack)
    (container,) = stack.containers(former)

    def kill() -> None:
        stack.docker("kill", container)
        # An election may have to be repeated, which takes twenty seconds.
        wait_until(lambda: primary(stack) not in ("", former), timeout=90)

    live_clients.check(await live_clients.survive(stack, kill))
    present = primary(stack)
    assert present in set(SERVERS) - {former}
    stack.docker("start", container)
    wait_until(lambda: follows(stack, former) == present, timeout=60)


def test_a_primary_that_comes_back_without_its_data_does_not_empty_the_others(
    stack: ComposeStack,
) -> None:
    """It starts again faster than the Sentinels miss it, so they still name it."""
    former = primary(stack)
    (container,) = stack.containers(former)
    held = asked(stack, former, "dbsize")
    assert int(held) > 0
    stack.docker("exec", container, "sh", "-c", "rm -rf /data/*")
    stack.docker("restart", "--timeout", "0", container)
    wait_until(lambda: follows(stack, former) not in ("", former), timeout=60)
    present = primary(stack)
    assert present != former
    assert int(asked(stack, present, "dbsize")) > 0


def test_after_all_were_stopped_the_last_primary_is_the_primary(stack: ComposeStack) -> None:
    before = primary(stack)
    stores = [*SERVERS, "sentinel-1", "sentinel-2", "sentinel-3"]
    stack.compose("stop", "--timeout", "5", *stores)
    stack.compose("start", *stores)
    replicas = set(SERVERS) - {before}
    wait_until(lambda: {follows(stack, name) for name in replicas} == {before}, timeout=90)
    assert primary(stack) == before


def test_each_server_is_watched(stack: ComposeStack) -> None:
    wait_until(lambda: stack.targets().get("openline-redis") == ["up"] * 3, timeout=60)
