"""Streams over several channels, with a store that answers late: nothing is missing over any number of returns."""

from __future__ import annotations

import asyncio
import secrets
from collections import defaultdict
from collections.abc import Callable

import pytest

from tests.support.event_stream import EventStream
from tests.support.people import People
from tests.support.redis_line import RedisLine

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.asyncio(loop_scope="module"),
]

CHANNELS = 4
RETURNS = 8
MESSAGES = 120


async def test_a_stream_that_comes_back_again_and_again_misses_nothing(line: RedisLine) -> None:
    async with People(line.stack.run) as people:
        channels = [f"room:{secrets.token_hex(6)}" for _ in range(CHANNELS)]
        query = {"channel": channels, "token": await people.token("alice")}
        heard: dict[str, list[int]] = defaultdict(list)
        headers: dict[str, str] = {}

        async def listen(enough: Callable[[], bool], gateway: int) -> None:
            """Read until that holds, then drop the line in the middle of it."""
            url = people.run["gateways"][gateway] + "/sse"
            async with EventStream.open(people.http, url, params=query, headers=headers) as stream:
                while not enough():
                    block = await stream.next(patience=30)
                    assert block.event not in ("reset", "problem"), block
                    if block.id:
                        headers["last-event-id"] = block.id
                    if block.event == "message":
                        offsets = heard[block.data["channel"]]
                        if (
                            block.data["offset"] not in offsets
                        ):  # what came without an id comes again
                            offsets.append(block.data["offset"])

        def count() -> int:
            return sum(map(len, heard.values()))

        await listen(lambda: bool(headers), 0)
        publishing = asyncio.create_task(publish(people, channels))
        line.proxy.delay = 0.1
        for number in range(RETURNS):
            most = count() + number
            await listen(lambda most=most: count() > most, number % 2)
        line.proxy.delay = 0
        await publishing
        await listen(lambda: count() == MESSAGES, 0)
        assert {channel: heard[channel] for channel in channels} == {
            channel: list(range(1, MESSAGES // CHANNELS + 1)) for channel in channels
        }


async def publish(people: People, channels: list[str]) -> None:
    for number in range(MESSAGES):
        await people.publish(channels[number % CHANNELS], number)
