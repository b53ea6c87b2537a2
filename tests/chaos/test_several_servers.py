"""The whole system on two servers of Redis: one is killed, and the other's channels go on; a partition moves to a third."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from services.kernel.redis.keys import partition
from tests.support.handover_command import handover
from tests.support.people import People
from tests.support.redis_server import RedisServer, start_redis
from tests.support.stack import Stack
from tests.support.traffic import check_continuity, position
from tests.support.waiting import until
from tests.support.wire import WireClient

_log = logging.getLogger(__name__)

pytestmark = pytest.mark.slow

RATE = 25
LIMITS = {"OPENLINE_LIMITS": "off"} if "TEST_MOVE" in os.environ else {}
TICKS = 25
"""Batches a second while a partition moves."""


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RedisServer]]:
    """One for partition 0, one for partition 1, and one to which that moves."""
    folder = tmp_path_factory.mktemp("servers")
    aof = ("--appendonly", "yes", "--appendfsync", "always")
    with (
        start_redis(folder, *aof) as one,
        start_redis(folder, *aof, flavour="valkey") as other,
        start_redis(folder, *aof, flavour="valkey") as third,
    ):
        yield [one, other, third]


@pytest.fixture(scope="module")
def system(servers: list[RedisServer], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Everything else."""
    folder: Path = tmp_path_factory.mktemp("stack")
    first, second, third = servers
    (folder / "servers.toml").write_text(_map(first, second))
    (folder / "servers.new.toml").write_text(_map(first, third))
    file = str(folder / "servers.toml")
    with Stack(
        folder, OPENLINE_REDIS_SERVERS_FILE=file, OPENLINE_PARTITIONS="2", **LIMITS
    ) as running:
        yield running


def _map(*servers: RedisServer) -> str:
    """The servers file that gives each one partition."""
    return "".join(
        f'[[servers]]\nurl = "{server.url}"\npartitions = "{number}"\n'
        for number, server in enumerate(servers)
    )


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
        over = asyncio.Event()

        async def publish() -> None:
            nonlocal slowest
            number = 0
            while not over.is_set():
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
        publishing = asyncio.create_task(publish())
        await asyncio.sleep(1.5)
        await asyncio.to_thread(servers[away].stop, kill=True)
        await asyncio.sleep(2)
        await until(lambda: publishing.done() or statuses[there][-1:] == [503])
        servers[away].start()  # not by another thread, with whose end it would end
        await until(lambda: publishing.done() or statuses[there][-1:] == [201])
        await asyncio.sleep(1)
        over.set()
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


async def _move(system: Stack) -> str:
    """Run the command as an operator does; what it says."""
    there = str(system.folder / "servers.new.toml")
    status, said = await handover(
        "move", "--install", "--to", there, environment=system.environment
    )
    assert status == 0, said
    return said


class _Posts:
    """Batches over channels, as fast as `rate` messages a second; what became of each message, numbered by channel."""

    def __init__(self, people: People, stays: str, rooms: list[str]) -> None:
        self.people, self.stays, self.rooms = people, stays, rooms
        self.statuses: dict[str, list[tuple[float, int]]] = {name: [] for name in (stays, *rooms)}
        self.done = asyncio.Event()
        self._sent = Counter[str]()

    async def run(self, rate: int) -> None:
        places = itertools.cycle(self.rooms)
        while not self.done.is_set():
            begun = time.monotonic()
            names = [next(places) for _ in range(rate // TICKS)] + [self.stays]
            messages = [{"channel": name, "data": self._next(name)} for name in names]
            answer = await self.people.call("POST", "/v1/messages", json={"messages": messages})
            assert answer.status_code in (200, 503), answer.text
            results = answer.json().get("results", [answer.json()] * len(names))
            for name, result in zip(names, results, strict=True):
                self.statuses[name].append((time.monotonic(), result.get("status", 201)))
            await asyncio.sleep(max(0.0, begun + 1 / TICKS - time.monotonic()))

    def _next(self, name: str) -> int:
        self._sent[name] += 1
        return self._sent[name]

    def stored(self, name: str) -> list[int]:
        """The numbers of the messages that were acknowledged."""
        return [n for n, (_, status) in enumerate(self.statuses[name], 1) if status == 201]

    def refused(self) -> list[float]:
        """When messages to the rooms were refused."""
        return [at for name in self.rooms for at, status in self.statuses[name] if status != 201]

    async def wait(self, more: int) -> None:
        """Until so many messages more were stored in the rooms."""
        before = sum(len(self.stored(name)) for name in self.rooms)
        async with asyncio.timeout(30):
            while sum(len(self.stored(name)) for name in self.rooms) < before + more:  # noqa: ASYNC110
                await asyncio.sleep(0.1)


async def test_a_partition_moves_under_traffic(system: Stack, servers: list[RedisServer]) -> None:
    """`TEST_MOVE="1000 200"`: for 1,000 readers, ten a channel, and 200 messages a second."""
    number, rate = map(int, os.environ.get("TEST_MOVE", "2 50").split())
    stays, rooms = _channel(0), [_channel(1) for _ in range(max(1, number // 10))]
    async with People(system.run) as people, AsyncExitStack() as stack:
        posts = _Posts(people, stays, rooms)
        starts: list[tuple[WireClient, str, tuple[str, int]]] = []
        for place in range(number):
            token = await people.minted(f"reader-{place}")
            client = await WireClient.open(people.ws(place % 2), token)
            stack.push_async_callback(client.close)
            starts += [
                (client, name, position(await client.subscribe(name)))
                for name in (rooms[place % len(rooms)], *([stays] if place < 2 else []))
            ]
        publishing = asyncio.create_task(posts.run(rate))
        await posts.wait(rate)
        said = await _move(system)
        await posts.wait(rate)
        posts.done.set()
        await publishing

        refused = posts.refused()
        seconds = max(refused) - min(refused) if refused else 0.0
        _log.info(f"{said}refused {len(refused)} within {seconds:.2f} s")
        assert {status for _, status in posts.statuses[stays]} == {201}, (
            "the other partition goes on"
        )
        assert {status for name in rooms for _, status in posts.statuses[name]} <= {201, 503}
        assert seconds < 5
        for name in (stays, *rooms):
            await people.publish(name, "last")
        for client, name, start in starts:
            await client.expect(
                "message",
                where=lambda e, name=name: (e["channel"], e["data"]) == (name, "last"),
                patience=20,
            )
            heard = check_continuity(client.seen, name, start)
            assert heard == [*posts.stored(name), "last"], "each that was acknowledged, once"
            assert not [event for event in client.seen if event["type"] == "reset"]
            assert client.closed is None
        with servers[2].client() as there, servers[1].client() as here:
            assert there.exists(f"ol:{{p1}}:log:{rooms[0]}")
            assert not here.exists(f"ol:{{p1}}:log:{rooms[0]}")
