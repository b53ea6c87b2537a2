"""Latest per key: who stalls gets the newest of each key when it reads again, and nobody else notices."""

from __future__ import annotations

import asyncio
import re
import secrets
import socket
from typing import Any

import httpx2

from tests.support.people import People
from tests.support.wire import WireClient

READERS, STALLED, KEYS, RATE, SECONDS = 50, 5, 100, 1000, 2
FILL = "x" * 60_000
"""What the sockets between a gateway and a client are filled with. While it is kept for one it counts three times."""


async def held(people: People) -> int:
    """Bytes that the gateways keep for slow readers."""
    total = 0.0
    async with httpx2.AsyncClient() as http:
        for url in people.run["gateways"]:
            text = (await http.get(f"{url}/metrics")).text
            total += float(re.findall(r"^openline_gateway_lag_bytes (\S+)", text, re.MULTILINE)[0])
    return int(total)


async def publish_all(people: People, messages: list[dict[str, Any]]) -> None:
    answer = await people.call("POST", "/v1/messages", json={"messages": messages})
    assert {result["status"] for result in answer.json()["results"]} == {201}


def small(people: People) -> socket.socket:
    """A connection to the front door that takes little ahead of its reader."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
    made.connect(("127.0.0.1", int(people.front_door.rpartition(":")[2])))
    return made


async def stall(people: People, clients: list[WireClient]) -> None:
    """Stop reading, and let what lies between the gateway and these clients fill up."""
    channel = f"live:{secrets.token_hex(6)}"
    for client in clients:
        await client.subscribe(channel)
        client.reading.clear()
    async with asyncio.timeout(30):
        while await held(people) < 3 * len(FILL) * len(clients):
            await publish_all(people, [{"channel": channel, "data": FILL}] * 16)


async def publish_values(people: People, channel: str) -> int:
    """Each key's value in turn, at RATE a second; how many there were."""
    clock = asyncio.get_running_loop()
    due = clock.time()
    for turn in range(SECONDS * RATE // KEYS):
        values = [
            {"channel": channel, "data": [turn, "." * 100], "conflate_key": f"key {key}"}
            for key in range(KEYS)
        ]
        await publish_all(people, values)
        due += KEYS / RATE
        await asyncio.sleep(due - clock.time())
    return SECONDS * RATE


def messages(client: WireClient, channel: str) -> list[dict[str, Any]]:
    return [event for event in client.taken_or_not("message") if event["channel"] == channel]


def _has(client: WireClient, channel: str, offset: int) -> bool:
    return any(message["offset"] >= offset for message in reversed(messages(client, channel)))


async def received(clients: list[WireClient], channel: str, offset: int) -> None:
    """Wait until each has been given the channel up to `offset`."""
    async with asyncio.timeout(30):
        for client in clients:
            while not _has(client, channel, offset):  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(0.05)


async def test_who_stalled_gets_the_newest_of_each_key_and_the_others_get_all(
    people: People,
) -> None:
    channel = f"live:{secrets.token_hex(6)}"
    slow = [await people.connect("alice", sock=small(people), max_queue=1) for _ in range(STALLED)]
    quick = [await people.connect("alice") for _ in range(READERS - STALLED)]
    clients = slow + quick
    for client in clients:
        await client.subscribe(channel)
    await stall(people, slow)
    last = await publish_values(people, channel)
    await received(quick, channel, last)
    for client in quick:
        got = messages(client, channel)
        assert [message["offset"] for message in got] == list(range(1, last + 1))
        assert not any("skipped" in message for message in got)
    assert 0 < await held(people) <= STALLED * (KEYS * 1200 + 3 * len(FILL) + 1000)

    for client in slow:
        client.reading.set()
    await received(slow, channel, last)
    for client in slow:
        got = messages(client, channel)
        assert [message["offset"] for message in got] == list(range(last - KEYS + 1, last + 1))
        assert [message.get("skipped", 0) for message in got] == [last - KEYS] + [0] * (KEYS - 1)
        assert {message["conflate_key"] for message in got} == {f"key {n}" for n in range(KEYS)}
        assert {message["data"][0] for message in got} == {SECONDS * RATE // KEYS - 1}
    async with asyncio.timeout(30):
        while await held(people):  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.05)
    await asyncio.gather(*(client.close() for client in clients))
