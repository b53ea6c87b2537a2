"""The whole system on two servers of Redis: one is killed, and the other's channels go on; partitions move to others."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import secrets
import time
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from services.kernel.redis.keys import Keys, partition
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
TICKS = 25
"""Batches a second while a partition moves."""


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RedisServer]]:
    """One for partition 0, one for partition 1, and those to which they move."""
    folder = tmp_path_factory.mktemp("servers")
    aof = ("--appendonly", "yes", "--appendfsync", "always")
    with (
        start_redis(folder, *aof) as one,
        start_redis(folder, *aof, flavour="valkey") as other,
        start_redis(folder, *aof, flavour="valkey") as third,
        start_redis(folder, *aof, flavour="valkey") as fourth,
    ):
        yield [one, other, third, fourth]


@pytest.fixture(scope="module")
def system(servers: list[RedisServer], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Everything else."""
    folder: Path = tmp_path_factory.mktemp("stack")
    (folder / "servers.toml").write_text(_map([server.url for server in servers[:2]]))
    variables = {
        "OPENLINE_REDIS_SERVERS_FILE": str(folder / "servers.toml"),
        "OPENLINE_PARTITIONS": "2",
        # Of one address come more logins here than any has, and half of them fail.
        "OPENLINE_LIMITS": "off",
    }
    with Stack(folder, **variables) as running:
        yield running


def _map(urls: Sequence[str]) -> str:
    """The servers file that gives each one partition."""
    return "".join(
        f'[[servers]]\nurl = "{url}"\npartitions = "{number}"\n' for number, url in enumerate(urls)
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


async def _move(system: Stack, number: int, server: RedisServer) -> str:
    """Run the command as an operator does; what it says."""
    now = tomllib.loads((system.folder / "servers.toml").read_text())["servers"]
    urls = [one["url"] for one in now]
    urls[number] = server.url
    there = system.folder / "servers.new.toml"
    there.write_text(_map(urls))
    status, said = await handover(
        "move", "--install", "--to", str(there), environment=system.environment
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

    async def check_heard(self, starts: Iterable[tuple[WireClient, str, tuple[str, int]]]) -> None:
        """Every reader has each message that was acknowledged, once and in order, and was told of nothing else."""
        for name in self.statuses:
            await self.people.publish(name, "last")
        for client, name, start in starts:
            await client.expect(
                "message",
                where=lambda e, name=name: (e["channel"], e["data"]) == (name, "last"),
                patience=20,
            )
            assert check_continuity(client.seen, name, start) == [*self.stored(name), "last"]
            assert not [event for event in client.seen if event["type"] == "reset"]
            assert client.closed is None


class _Logins:
    """Tickets are issued, and each is tried at both gateways, or kept; users are revoked."""

    def __init__(self, people: People, channel: str) -> None:
        self.people, self.channel = people, channel
        self.kept: list[str] = []
        self.tried: list[list[int]] = []
        self.revoked: list[str] = []
        self.refused: list[float] = []
        self.done = asyncio.Event()

    async def run(self, token: str) -> None:
        headers = {"authorization": f"Bearer {token}"}
        for number in itertools.count():
            if self.done.is_set():
                return
            answer = await self.people.http.post("/auth/tickets", headers=headers)
            if not self._may_go_on(answer.status_code):
                continue
            ticket = answer.json()["ticket"]
            if number % 3 == 0:
                self.kept.append(ticket)
            else:
                both = (self.redeem(gateway, ticket) for gateway in range(2))
                self.tried.append(await asyncio.gather(*both))

    def check_tried(self) -> None:
        for tried in self.tried:
            assert sorted(tried) in ([200, 401], [401, 401]), "no ticket lets two in"
        unanswered = sum(tried == [401, 401] for tried in self.tried)
        assert unanswered <= 1, "the one under way, at most"

    async def redeem(self, gateway: int, ticket: str) -> int:
        """What a gateway says at last: 200 or 401."""
        url = f"{self.people.run['gateways'][gateway]}/sse?channel={self.channel}&ticket={ticket}"
        while True:
            async with self.people.http.stream("GET", url) as answer:
                if self._may_go_on(answer.status_code):
                    return answer.status_code
            await asyncio.sleep(0.02)

    async def revoke(self) -> None:
        for number in itertools.count():
            if self.done.is_set():
                return
            user = f"revoked-{self.channel}-{number}"
            answer = await self.people.call("POST", f"/v1/users/{user}/revoke")
            if self._may_go_on(answer.status_code):
                self.revoked.append(user)

    def _may_go_on(self, status: int) -> bool:
        assert status in (200, 202, 401, 503), status
        if status == 503:
            self.refused.append(time.monotonic())
        return status != 503


def _spread(times: list[float]) -> float:
    """Seconds from the first to the last."""
    return max(times) - min(times) if times else 0.0


@pytest.mark.parametrize("number", [1, 0])
async def test_a_partition_moves_under_traffic(
    system: Stack, servers: list[RedisServer], number: int
) -> None:
    """`TEST_MOVE="1000 200"`: for 1,000 readers, ten a channel, and 200 messages a second."""
    readers, rate = map(int, os.environ.get("TEST_MOVE", "2 50").split())
    stays = _channel(1 - number)
    rooms = [_channel(number) for _ in range(max(1, readers // 10))]
    former, new = servers[number], servers[3 - number]
    async with People(system.run) as people, AsyncExitStack() as stack:
        posts, logins = _Posts(people, stays, rooms), _Logins(people, stays)
        starts: list[tuple[WireClient, str, tuple[str, int]]] = []
        # First, since a connection that says nothing for long is ended.
        tokens = [await people.minted(f"reader-{place}") for place in range(readers)]
        for place, token in enumerate(tokens):
            client = await WireClient.open(people.ws(place % 2), token)
            stack.push_async_callback(client.close)
            starts += [
                (client, name, position(await client.subscribe(name)))
                for name in (rooms[place % len(rooms)], *([stays] if place < 2 else []))
            ]
        leaver = await people.minted("leaver")
        leavers = [await WireClient.open(people.ws(gateway), leaver) for gateway in range(2)]
        traffic = [
            asyncio.create_task(one)
            for one in (posts.run(rate), logins.run(await people.minted("amy")), logins.revoke())
        ]
        await posts.wait(rate)
        kept, logins.kept = logins.kept, []
        said = await _move(system, number, new)
        for ticket in kept[-5:]:
            assert await logins.redeem(0, ticket) == 200, "it was acknowledged before the move"
        await posts.wait(rate)
        posts.done.set()
        logins.done.set()
        await asyncio.gather(*traffic)

        refused, waited = posts.refused(), logins.refused
        _log.info(
            f"{said}refused {len(refused)} within {_spread(refused):.2f} s, of {len(logins.tried)} tickets tried and"
            f" {len(logins.revoked)} revocations {len(waited)} within {_spread(waited):.2f} s"
        )
        assert {status for _, status in posts.statuses[stays]} == {201}, (
            "the other partition goes on"
        )
        assert {status for name in rooms for _, status in posts.statuses[name]} <= {201, 503}
        assert _spread(refused) < 5
        assert _spread(waited) < 5
        assert number == 0 or not waited
        logins.check_tried()
        await posts.check_heard(starts)
        answer = await people.call("POST", "/v1/users/leaver/revoke")
        assert answer.status_code == 202, answer.text
        for client in leavers:
            assert (await client.wait_closed())[0] == 4005
        with new.client() as there, former.client() as here:
            assert there.exists(f"ol:{{p{number}}}:log:{rooms[0]}")
            assert not here.exists(f"ol:{{p{number}}}:log:{rooms[0]}")
        with (new if number == 0 else servers[0]).client() as first:
            held = first.zrange(Keys(0).revoked, 0, -1)
        users = {member.decode().removeprefix("sub:").rpartition(":")[0] for member in held}
        assert users.issuperset(logins.revoked)
        assert logins.revoked
