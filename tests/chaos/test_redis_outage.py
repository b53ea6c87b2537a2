"""Redis goes away under traffic and comes back: sockets stay, nothing is doubled, what may be lost is flagged."""

from __future__ import annotations

import asyncio
import re
import secrets
import signal

import pytest

from tests.support.handover_command import handover
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


async def test_redis_restarts_as_planned_and_no_reader_is_told(
    stack: Stack, people: People
) -> None:
    """The run keeps it running: it is started again when it has ended."""
    channel = f"room:{secrets.token_hex(6)}"
    alice = await people.connect("alice", gateway=0)
    bob = await people.connect("bob", gateway=1)
    starts = {client: position(await client.subscribe(channel)) for client in (alice, bob)}
    traffic = Traffic()
    publishing = asyncio.create_task(traffic.publish(people, channel, seconds=6, rate=20))
    await asyncio.sleep(1)

    _, said = await handover(
        *("restart", "--shutdown", "--seconds", "20"),
        environment={"OPENLINE_REDIS_URL": stack.run["redis"]},
    )
    assert re.search(r"refused for \d+ ms, no reader is reset", said), said
    await publishing

    await traffic.check_flagged(people, channel, starts)
    assert not [event for client in starts for event in client.seen if event["type"] == "reset"]
    assert (503, "unavailable") in traffic.refused
    assert {epoch for epoch, _ in traffic.acked} == {starts[alice][0]}
    await alice.close()
    await bob.close()
