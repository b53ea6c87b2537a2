"""Publishing at a rate while something goes wrong, and what subscribers must have seen of it."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2

from tests.support.people import People
from tests.support.wire import WireClient


@dataclass
class Traffic:
    """What was published: `acked` data by (epoch, offset); `refused` status codes with problem codes. While `held`, no end."""

    acked: dict[tuple[str, int], Any] = field(default_factory=dict)
    refused: list[tuple[int, str]] = field(default_factory=list)
    doubled: list[tuple[str, int]] = field(default_factory=list)
    held: bool = False

    async def publish(
        self, people: People, channel: str, *, seconds: float, rate: float, size: int = 0
    ) -> None:
        """Publish numbered messages, each with a key of its own and tried again with it until it is stored."""
        end = time.monotonic() + seconds
        number = 0
        async with asyncio.TaskGroup() as group:
            while self.held or time.monotonic() < end:
                number += 1
                group.create_task(self._one(people, channel, number, padding="x" * size))
                await asyncio.sleep(1 / rate)

    async def check_flagged(
        self, people: People, channel: str, starts: Mapping[WireClient, tuple[str, int]]
    ) -> None:
        """Assert that each client has what was acked, once and in order, or a `reset`, and none was closed.

        `starts` are the positions at which they subscribed. A last message, which all must get, says when they have all.
        """
        marker = secrets.token_hex(4)
        await people.publish(channel, marker)
        for client, start in starts.items():
            await client.expect("message", where=lambda e: e["data"] == marker, patience=40)
            heard = check_continuity(client.seen, channel, start)
            numbers = [data["n"] for data in heard if isinstance(data, dict)]
            resets = client.taken_or_not("reset")
            missing = set(self.acked.values()) - set(numbers)
            assert not missing or resets, (
                f"acknowledged but neither delivered nor flagged: {missing}"
            )
            # A key lost with the store's last second may be stored anew: then the reset has said so.
            assert len(numbers) == len(set(numbers)) or resets
            assert client.closed is None
        assert self.acked
        assert not self.doubled
        assert {code for status, code in self.refused if status} <= {"unavailable"}

    async def _one(self, people: People, channel: str, number: int, *, padding: str) -> None:
        data = {"n": number, "p": padding}
        for _ in range(60):
            try:
                answer = await people.call(
                    "POST",
                    f"/v1/channels/{channel}/messages",
                    json={"data": data, "key": f"k{number}"},
                )
            except httpx2.TransportError as error:
                self.refused.append((0, type(error).__name__))
            else:
                body = answer.json()
                if answer.status_code == 201:
                    place = (body["epoch"], body["offset"])
                    if place in self.acked:
                        self.doubled.append(place)
                    self.acked[place] = number
                    return
                self.refused.append((answer.status_code, body.get("code", "")))
            await asyncio.sleep(0.5)
        raise AssertionError(f"message {number} could not be published for 30 s")


@asynccontextmanager
async def under_traffic(
    people: People, *, seconds: float, before: float, rate: float = 20
) -> AsyncIterator[tuple[Traffic, str, dict[WireClient, tuple[str, int]]]]:
    """So many messages a second (`rate`) to a subscriber on each gateway for `seconds`, and for as long as the block lasts.

    The block runs after those `before`. What they publish, the channel, and where the subscribers began. Behind the block
    `Traffic.check_flagged` has held.
    """
    channel = f"room:{secrets.token_hex(6)}"
    clients = [await people.connect(user, gateway=n) for n, user in enumerate(("alice", "bob"))]
    starts = {client: position(await client.subscribe(channel)) for client in clients}
    traffic = Traffic(held=True)
    publishing = asyncio.create_task(traffic.publish(people, channel, seconds=seconds, rate=rate))
    try:
        await asyncio.sleep(before)
        yield traffic, channel, starts
        traffic.held = False
        await publishing
    finally:
        publishing.cancel()
    await traffic.check_flagged(people, channel, starts)
    for client in clients:
        await client.close()


def position(ack: Mapping[str, Any]) -> tuple[str, int]:
    """Where a subscription begins, by its ack."""
    return ack["epoch"], ack["offset"]


def check_continuity(seen: list[Any], channel: str, start: tuple[str, int]) -> list[Any]:
    """Assert that a subscriber's messages of a channel have no hole, repeat or reorder that no `reset` announced.

    Returns the data of all messages.
    """
    _, offset = start
    data = []
    for event in seen:
        if event.get("channel") != channel:
            continue
        if event["type"] == "reset":
            offset = event["offset"]
        elif event["type"] == "message" and "offset" in event:
            assert event["offset"] == offset + 1, f"{offset} is followed by {event}"
            offset = event["offset"]
            data.append(event["data"])
    return data
