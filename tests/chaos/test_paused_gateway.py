"""A gateway is stopped (SIGSTOP) under traffic and goes on: it misses nothing that the logs still hold."""

from __future__ import annotations

import asyncio
import secrets

import pytest

from tests.support.people import People
from tests.support.stack import Stack
from tests.support.traffic import Traffic, check_continuity

# A bus that is too short for the pause: the gateway must notice the hole and ask the logs.
SETTINGS = {"OPENLINE_BUS_LENGTH": "1000"}

pytestmark = pytest.mark.slow


async def test_a_gateway_paused_for_a_minute_misses_nothing(stack: Stack, people: People) -> None:
    channel = f"room:{secrets.token_hex(6)}"
    alice = await people.connect("alice", gateway=0)
    start = await alice.subscribe(channel)
    traffic = Traffic()
    publishing = asyncio.create_task(traffic.publish(people, channel, seconds=62, rate=10))
    await asyncio.sleep(1)
    stack.pause("gateway-1")
    await asyncio.sleep(60)
    stack.resume("gateway-1")
    await publishing
    last = await people.publish(channel, "last")
    await alice.expect("message", where=lambda e: e["data"] == "last", patience=30)

    heard = check_continuity(alice.seen, channel, (start["epoch"], start["offset"]))
    assert not alice.taken_or_not("reset")
    assert len(heard) == last["offset"] == len(traffic.acked) + 1
    await alice.close()


async def test_entries_trimmed_from_the_bus_during_a_pause_come_from_the_logs(
    stack: Stack, people: People
) -> None:
    channels = [f"room:{secrets.token_hex(6)}" for _ in range(4)]
    alice = await people.connect("alice", gateway=0)
    starts = {channel: await alice.subscribe(channel) for channel in channels}
    stack.pause("gateway-1")
    for start in range(0, 900, 300):
        for channel in channels:
            batch = [{"channel": channel, "data": n} for n in range(start, start + 300)]
            answer = await people.call("POST", "/v1/messages", json={"messages": batch})
            assert {result["status"] for result in answer.json()["results"]} == {201}
    stack.resume("gateway-1")

    for channel in channels:
        await alice.expect(
            "message",
            where=lambda e, c=channel: e["channel"] == c and e["data"] == 899,
            patience=30,
        )
        start = starts[channel]
        heard = check_continuity(alice.seen, channel, (start["epoch"], start["offset"]))
        assert heard == list(range(900))
    assert not alice.taken_or_not("reset")
    assert alice.closed is None
    await alice.close()
