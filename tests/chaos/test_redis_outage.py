"""Redis goes away under traffic and comes back: sockets stay, nothing is doubled, what may be lost is flagged."""

from __future__ import annotations

import asyncio
import secrets
import signal

import pytest

from tests.support.people import People
from tests.support.stack import Stack
from tests.support.traffic import Traffic, position

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
async def test_redis_is_down_for_ten_seconds_under_traffic(
    stack: Stack, people: People, end: signal.Signals
) -> None:
    channel = f"room:{secrets.token_hex(6)}"
    alice = await people.connect("alice", gateway=0)
    bob = await people.connect("bob", gateway=1)
    starts = {client: position(await client.subscribe(channel)) for client in (alice, bob)}
    traffic = Traffic()
    publishing = asyncio.create_task(traffic.publish(people, channel, seconds=16, rate=20))
    await asyncio.sleep(2)

    await asyncio.to_thread(stack.down, "redis", end)
    await asyncio.sleep(2)
    refused = await alice.refused("publish", channel=channel, data="during")
    assert refused["code"] == "unavailable"
    assert refused["temporary"] is True
    await asyncio.sleep(8)
    await asyncio.to_thread(stack.up, "redis")
    await publishing

    await traffic.check_flagged(people, channel, starts)
    assert (503, "unavailable") in traffic.refused
    await alice.close()
    await bob.close()
