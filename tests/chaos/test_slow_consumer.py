"""One reader stalls among fifty: the others get everything, the gateway's memory stays bounded, the one recovers."""

from __future__ import annotations

import asyncio
import json
import secrets
from contextlib import suppress

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.support.people import People
from tests.support.resident import resident
from tests.support.stack import Stack
from tests.support.wire import WireClient

SETTINGS = {"OPENLINE_LIMITS": "off"}

MESSAGES = 1500
SIZE = 8_000


pytestmark = [pytest.mark.slow, pytest.mark.alone]


async def publish_many(people: People, channel: str, count: int) -> None:
    padding = "x" * SIZE
    for start in range(0, count, 50):
        batch = [
            {"channel": channel, "data": {"n": n, "p": padding}} for n in range(start, start + 50)
        ]
        answer = await people.call("POST", "/v1/messages", json={"messages": batch})
        assert {result["status"] for result in answer.json()["results"]} == {201}
        await asyncio.sleep(0.05)


async def test_a_stalled_reader_costs_the_others_nothing_and_recovers(
    stack: Stack, people: People
) -> None:
    channel = f"room:{secrets.token_hex(6)}"
    token = await people.token("alice")
    readers = [await WireClient.open(people.ws(0), token) for _ in range(49)]
    for reader in readers:
        await reader.subscribe(channel)
    stalled = await connect(
        people.ws(0), max_queue=1, compression=None, proxy=None, ping_interval=None
    )
    for command in ({"type": "auth", "token": token}, {"type": "subscribe", "channel": channel}):
        await stalled.send(json.dumps(command))
    before = resident(stack.pid("gateway-1"))

    await publish_many(people, channel, MESSAGES)
    for reader in readers:
        messages = await reader.messages(channel, MESSAGES, patience=30)
        assert [m["data"]["n"] for m in messages] == list(range(MESSAGES))
    grown = resident(stack.pid("gateway-1")) - before
    assert grown < 64 * 1024 * 1024, f"the gateway grew by {grown / 2**20:.0f} MiB"

    seen = []
    with suppress(ConnectionClosed):
        while True:
            seen.append(json.loads(await stalled.recv()))
    assert stalled.close_code == 4101, (stalled.close_code, stalled.close_reason)
    messages = [e for e in seen if e["type"] == "message"]
    last = messages[-1]["offset"] if messages else 0
    assert last < MESSAGES
    position = next(e for e in seen if e["type"] == "ack" and e.get("channel") == channel)
    async with await WireClient.open(people.ws(1), token) as again:
        ack = await again.subscribe(channel, since={"epoch": position["epoch"], "offset": last})
        if MESSAGES - last <= 1000:
            assert ack["recovered"] is True
            rest = await again.messages(channel, MESSAGES - last, patience=30)
            assert [m["offset"] for m in rest] == list(range(last + 1, MESSAGES + 1))
        else:
            assert ack["recovered"] is False
    for reader in readers:
        await reader.close()
