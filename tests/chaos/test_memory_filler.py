"""One user fills Redis with large messages to made-up rooms: everybody else is let in, can be revoked, and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

import pytest
import redis

from tests.support.people import People
from tests.support.stack import Stack
from tests.support.wire import WireClient

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
log = logging.getLogger(__name__)

MEMORY = int(os.environ.get("FILLER_MEGABYTES", "48")) * 1_048_576
SETTINGS = {
    "OPENLINE_REDIS_MAXMEMORY": str(MEMORY),
    "OPENLINE_BUS_BYTES": str(max(1_048_576, MEMORY // 6)),
}
DATA = "x" * 63_000
ROOMS = 80
"""Of each of two sockets; a connection has at most a hundred channels."""


class Filler:
    """Two sockets of one user that publish a hundred messages a second, within every limit of commands."""

    def __init__(self, people: People, prefix: str) -> None:
        self.people = people
        self.prefix = prefix
        self.answers: dict[str, int] = {}
        self._clients: list[WireClient] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        for gateway in (0, 1):
            client = await self.people.connect("alice", gateway=gateway)
            self._clients.append(client)
            rooms = [f"room:{self.prefix}-{gateway}-{n}" for n in range(ROOMS)]
            for room in rooms:
                await client.subscribe(room)
            self._tasks.append(asyncio.create_task(self._fill(client, rooms)))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        for client in self._clients:
            await client.vanish()

    async def _fill(self, client: WireClient, rooms: list[str]) -> None:
        for number in range(1_000_000):
            channel = rooms[number % len(rooms)]
            await client.send(
                {"type": "publish", "id": -number - 1, "channel": channel, "data": DATA}
            )
            for event in client.seen:
                name = event.get("code", event["type"])
                self.answers[name] = self.answers.get(name, 0) + 1
            client.seen.clear()
            client._taken.clear()
            client._first = 0
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def started(folder: Path, **settings: str) -> AsyncIterator[tuple[Stack, People]]:
    """A small system whose Redis has MEMORY."""
    stack = Stack(folder, **SETTINGS, **settings)
    await asyncio.to_thread(stack.start)
    try:
        async with People(stack.run) as people:
            yield stack, people
    finally:
        await asyncio.to_thread(stack.stop)


async def beat(client: WireClient) -> None:
    """Say something now and then: a filling Redis takes longer than silence may."""
    while True:
        await client.send({"type": "ping", "id": "beat"})
        await asyncio.sleep(5)


def memory(stack: Stack) -> int:
    """Bytes that Redis uses."""
    with redis.Redis.from_url(stack.run["redis"], socket_timeout=5) as client:
        return int(client.info("memory")["used_memory"])


async def ready(people: People, url: str) -> dict[str, Any]:
    """The body of /readyz of a service that must be ready."""
    answer = await people.http.get(f"{url}/readyz")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def check_essentials(stack: Stack, people: People) -> None:
    """A stranger logs in, gets a ticket, is let in by it, is present, is revoked, and is disconnected."""
    name = f"guest-{secrets.token_hex(4)}"
    token = await people.minted(name)
    ticket = await asyncio.to_thread(stack.ticket, token)
    client = await WireClient.open(people.ws(path=f"/ws?ticket={ticket}"), auth=False)
    await client.expect("connected")
    await client.subscribe(f"room:{secrets.token_hex(6)}")
    answer = await people.call("POST", f"/v1/users/{name}/revoke")
    assert answer.status_code == 202, answer.text
    code, _ = await client.wait_closed()
    assert code == 4005
    other = await WireClient.open(people.ws(), await people.minted(f"{name}-2"))
    answer = await people.call("POST", f"/v1/users/{name}-2/disconnect")
    assert answer.status_code == 202, answer.text
    await other.wait_closed()


async def test_by_default_others_connect_publish_and_are_revoked_throughout(tmp_path: Path) -> None:
    """The filler's bytes have a rate."""
    async with started(tmp_path) as (stack, people):
        lobby = f"room:{secrets.token_hex(6)}"
        bob = await people.connect("bob")
        beating = asyncio.create_task(beat(bob))
        await bob.subscribe(lobby)
        async with Filler(people, secrets.token_hex(4)) as filler:
            end = time.monotonic() + 20
            while time.monotonic() < end:
                await check_essentials(stack, people)
                await people.publish(lobby, {"at": time.monotonic()})
                await bob.ok("publish", channel=lobby, data="hello")
                assert memory(stack) < MEMORY * 0.85
        assert filler.answers["rate_limited"] > filler.answers["ack"]
        assert (await ready(people, stack.run["publisher"]))["memory"] == "ok"
        beating.cancel()
        await bob.close()


async def test_without_limits_the_reserve_lets_all_go_on_but_messages(tmp_path: Path) -> None:
    async with started(tmp_path, OPENLINE_LIMITS="off") as (stack, people):
        lobby, junk = f"room:{secrets.token_hex(6)}", secrets.token_hex(4)
        bob = await people.connect("bob")
        beating = asyncio.create_task(beat(bob))
        await bob.subscribe(lobby)
        await people.publish(lobby, "before")
        async with Filler(people, junk) as filler:
            await messages_refused(stack, people)
            for _ in range(3):
                await check_essentials(stack, people)
                assert memory(stack) < MEMORY
            refusal = await bob.refused("publish", channel=lobby, data="hello")
            assert (refusal["code"], refusal["retry_after"]) == ("unavailable", 5)
            assert "memory" in refusal["message"]
            answer = await people.call("POST", f"/v1/channels/{lobby}/messages", json={"data": 1})
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
            assert "memory" in answer.text
            for url in stack.gateways:
                assert "maxmemory" in (await ready(people, url))["memory"]
        assert filler.answers["unavailable"] > 0

        before = memory(stack)
        await check_runbook(people, junk)
        await messages_taken(bob, lobby)
        after = memory(stack)
        log.info("used: %s B full, %s B after the histories were deleted", before, after)
        assert after < before / 2
        assert bob.closed is None
        beating.cancel()
        await bob.close()


async def messages_refused(stack: Stack, people: People) -> None:
    """Wait until the publisher says so."""
    async with asyncio.timeout(MEMORY / 400_000):
        while True:
            if (await ready(people, stack.run["publisher"]))["memory"] != "ok":
                return
            await asyncio.sleep(0.2)


async def messages_taken(client: WireClient, channel: str) -> None:
    """Wait until a message is."""
    async with asyncio.timeout(60):
        while True:
            if (await client.call("publish", channel=channel, data="after"))["type"] == "ack":
                return
            await asyncio.sleep(0.2)


async def check_runbook(people: People, junk: str) -> None:
    """Delete the filler's histories, as docs/runbooks/redis-memory.md says."""
    for gateway in (0, 1):
        for number in range(ROOMS):
            path = f"/v1/channels/room:{junk}-{gateway}-{number}/messages"
            answer = await people.call("DELETE", path)
            assert answer.status_code == 200, answer.text
