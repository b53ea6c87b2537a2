"""The whole system on two servers of Redis of which one is killed: the other's channels go on as if nothing had happened."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.kernel.redis.keys import partition
from tests.support.people import People
from tests.support.redis_server import RedisServer, start_redis
from tests.support.stack import Stack
from tests.support.traffic import check_continuity, position

_log = logging.getLogger(__name__)

pytestmark = pytest.mark.slow

RATE = 25


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RedisServer]]:
    """One for partition 0, one for partition 1."""
    folder = tmp_path_factory.mktemp("servers")
    aof = ("--appendonly", "yes", "--appendfsync", "always")
    with start_redis(folder, *aof) as one, start_redis(folder, *aof, flavour="valkey") as other:
        yield [one, other]


@pytest.fixture(scope="module")
def system(servers: list[RedisServer], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Everything else."""
    folder: Path = tmp_path_factory.mktemp("stack")
    (folder / "servers.toml").write_text(
        "".join(
            f'[[servers]]\nurl = "{server.url}"\npartitions = "{number}"\n'
            for number, server in enumerate(servers)
        )
    )
    file = str(folder / "servers.toml")
    with Stack(folder, OPENLINE_REDIS_SERVERS_FILE=file, OPENLINE_PARTITIONS="2") as running:
        yield running


def _channel(number: int) -> str:
    """A channel that lives in this partition."""
    while partition(channel := f"room:{secrets.token_hex(6)}", 2) != number:
        pass
    return channel


@pytest.mark.parametrize("away", [1, 0])
async def test_while_one_server_is_away_the_others_channels_go_on(
    system: Stack, servers: list[RedisServer], away: int
) -> None:
    channels = [_channel(number) for number in range(2)]
    here, there = channels[1 - away], channels[away]
    statuses: dict[str, list[int]] = {here: [], there: []}
    slowest, ready = 0.0, []

    async with People(system.run) as people:

        async def publish(seconds: float) -> None:
            nonlocal slowest
            end, number = time.monotonic() + seconds, 0
            while time.monotonic() < end:
                number += 1
                begun = time.monotonic()
                messages = [{"channel": channel, "data": number} for channel in channels]
                answer = await people.call("POST", "/v1/messages", json={"messages": messages})
                slowest = max(slowest, time.monotonic() - begun)
                assert answer.status_code == 200, answer.text
                for channel, result in zip(channels, answer.json()["results"], strict=True):
                    statuses[channel].append(result.get("status", 201))
                ready.append(await asyncio.to_thread(system.is_ready, "publisher"))
                await asyncio.sleep(1 / RATE)

        alice = await people.connect("alice", gateway=0)
        bob = await people.connect("bob", gateway=1)
        starts = {
            (client, channel): position(await client.subscribe(channel))
            for client in (alice, bob)
            for channel in channels
        }
        publishing = asyncio.create_task(publish(6))
        await asyncio.sleep(1.5)
        await asyncio.to_thread(servers[away].stop, kill=True)
        await asyncio.sleep(2)
        servers[away].start()  # not by another thread, with whose end it would end
        await publishing

        refused = sum(status != 201 for status in statuses[there])
        _log.info(f"refused there {refused}, answered within {slowest:.2f} s at most")
        assert set(statuses[here]) == {201}
        assert refused
        assert set(statuses[there]) == {201, 503}
        assert statuses[there][-1] == 201, "it is back"
        assert all(ready)
        for channel in channels:
            await people.publish(channel, "last")
        for (client, channel), start in starts.items():
            await client.expect(
                "message",
                where=lambda e, channel=channel: (e["channel"], e["data"]) == (channel, "last"),
                patience=20,
            )
            heard = check_continuity(client.seen, channel, start)
            if channel == here:
                assert heard == [*range(1, len(statuses[here]) + 1), "last"]
                assert not [
                    event
                    for event in client.seen
                    if event["type"] == "reset" and event["channel"] == here
                ]
            assert client.closed is None
        await alice.close()
        await bob.close()
