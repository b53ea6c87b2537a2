"""Redis goes away under traffic and comes back: sockets stay, nothing is doubled, what may be lost is flagged."""

from __future__ import annotations

import asyncio
import re
import signal

import pytest

from tests.support.handover_command import handover
from tests.support.people import People
from tests.support.stack import Stack
from tests.support.traffic import under_traffic

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
async def test_redis_is_down_for_ten_seconds_under_traffic(
    stack: Stack, people: People, end: signal.Signals
) -> None:
    async with under_traffic(people, seconds=16, before=2) as (traffic, channel, starts):
        await asyncio.to_thread(stack.down, "redis", end)
        await asyncio.sleep(2)
        alice = next(iter(starts))
        refused = await alice.refused("publish", channel=channel, data="during")
        assert refused["code"] == "unavailable"
        assert refused["temporary"] is True
        await asyncio.sleep(8)
        await asyncio.to_thread(stack.up, "redis")
    assert (503, "unavailable") in traffic.refused


async def test_redis_restarts_as_planned_and_no_reader_is_told(
    stack: Stack, people: People
) -> None:
    """The run keeps it running: it is started again when it has ended."""
    # The seal may stand for less than the twentieth part of a second that lies between two publishes elsewhere.
    async with under_traffic(people, seconds=6, before=1, rate=100) as (traffic, _, starts):
        _, said = await handover(
            *("restart", "--shutdown", "--seconds", "20"),
            environment={"OPENLINE_REDIS_URL": stack.run["redis"]},
        )
        assert re.search(r"refused for \d+ ms, no reader is reset", said), said
    assert not [event for client in starts for event in client.seen if event["type"] == "reset"]
    assert (503, "unavailable") in traffic.refused
    assert {epoch for epoch, _ in traffic.acked} == {epoch for epoch, _ in starts.values()}
