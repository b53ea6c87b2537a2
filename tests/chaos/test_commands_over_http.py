"""Streams and their commands over HTTP while gateways, the store and readers fail: told, never lost in silence."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import signal
from collections.abc import AsyncIterator

import httpx2
import pytest

from tests.support.people import People
from tests.support.stack import Stack
from tests.support.streamed import StreamedClient

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

OWNER, OTHER = 0, 1


@contextlib.asynccontextmanager
async def stream(people: People, channel: str, **since: object) -> AsyncIterator[StreamedClient]:
    """Alice's stream on one gateway, whose commands go to the other one."""
    gateways = people.run["gateways"]
    commands = [
        {"type": "auth", "token": await people.token("alice")},
        {"type": "subscribe", "id": "join", "channel": channel, **since},
    ]
    async with StreamedClient.begin(
        people.http, gateways[OWNER], commands, commands_to=gateways[OTHER]
    ) as client:
        await client.expect("connected")
        yield client


def room() -> str:
    return f"room:{secrets.token_hex(6)}"


async def test_commands_for_a_gateway_that_was_killed_are_not_found_and_nothing_is_missed(
    stack: Stack, people: People
) -> None:
    channel = room()
    async with stream(people, channel) as client:
        start = await client.expect(where=lambda e: e.get("id") == "join")
        await client.ok("publish", channel=channel, data="before", key="k1")
        await asyncio.to_thread(stack.down, "gateway-1", signal.SIGKILL)
        try:
            assert (await client.wait_closed())[0] == 1006
            publish = {"type": "publish", "channel": channel, "data": "lost", "key": "k2"}
            answer = await client.post(publish)
            assert (answer.status_code, answer.json()["code"]) == (404, "bad_request")
        finally:
            await asyncio.to_thread(stack.up, "gateway-1")
            await asyncio.to_thread(stack.wait_ready, "gateway-1")
    since = {"epoch": start["epoch"], "offset": start["offset"]}
    async with stream(people, channel, since=since) as back:
        assert (await back.expect(where=lambda e: e.get("id") == "join"))["recovered"] is True
        assert (await back.message(channel))["data"] == "before"
        ack = await back.ok("publish", channel=channel, data="lost", key="k2")
        assert (ack["duplicate"], ack["offset"]) == (False, 2)


async def test_a_drain_tells_when_to_move_and_takes_commands_until_the_end(
    stack: Stack, people: People
) -> None:
    channel = room()
    async with stream(people, channel) as client:
        draining = asyncio.create_task(asyncio.to_thread(stack.down, "gateway-1", signal.SIGTERM))
        try:
            assert (await client.expect("reconnect"))["within"] > 0
            assert (await client.ok("publish", channel=channel, data=1, key="k"))["offset"] == 1
            refused = await people.http.post(
                people.run["gateways"][OWNER] + "/sse", json={"commands": []}
            )
            assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
            for _ in range(5):  # the front door asks the other one
                async with StreamedClient.begin(
                    people.http, people.front_door, [{"type": "auth"}]
                ) as moved:
                    assert (await moved.expect("connected"))["node"] == "gateway-2"
            assert (await client.wait_closed(patience=30))[0] == 4100
        finally:
            await draining
            await asyncio.to_thread(stack.up, "gateway-1")
            await asyncio.to_thread(stack.wait_ready, "gateway-1")


async def test_while_the_store_is_away_only_the_streams_own_gateway_takes_commands(
    stack: Stack, people: People
) -> None:
    channel = room()
    async with stream(people, channel) as client:
        await asyncio.to_thread(stack.down, "redis", signal.SIGKILL)
        try:
            answer = await client.post({"type": "ping"})
            assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
            own = people.run["gateways"][OWNER]
            assert (await client.post({"type": "ping", "id": 7}, base=own)).status_code == 202
            assert (await client.expect("pong"))["id"] == 7
        finally:
            await asyncio.to_thread(stack.up, "redis")
        for _ in range(120):
            if (await client.post({"type": "ping", "id": 8})).status_code == 202:
                break
            await asyncio.sleep(0.5)
        assert (await client.expect("pong", where=lambda e: e["id"] == 8))["id"] == 8
        assert client.closed is None


async def test_a_gateway_that_hangs_takes_no_commands_and_those_of_the_front_door_go_to_others(
    stack: Stack, people: People
) -> None:
    channel = room()
    async with stream(people, channel) as client:
        stack.pause("gateway-2")
        try:
            for number in range(6):
                ping = {"type": "ping", "id": number}
                url = f"{people.front_door}/sse/{client.connected['connection']}?sid={number}"
                body = {"secret": client.connected["secret"], "commands": [ping]}
                assert (await people.http.post(url, json=body)).status_code == 202
                assert (await client.expect("pong"))["id"] == number
        finally:
            stack.resume("gateway-2")
            await asyncio.to_thread(stack.wait_ready, "gateway-2")


async def test_a_slow_reader_is_closed_and_told_so_behind_what_it_was_sent(people: People) -> None:
    channel = room()
    host, _, port = people.run["gateways"][OWNER].removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=2**16)
    commands = [
        {"type": "auth", "token": await people.token("alice")},
        {"type": "subscribe", "id": 1, "channel": channel},
    ]
    body = json.dumps({"commands": commands}).encode()
    writer.write(
        b"POST /sse HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    while b'"id":1' not in await reader.readline():
        pass
    for _ in range(4):
        for number in range(40):
            await people.publish(channel, f"{number}" + "x" * 60_000)
        nodes = await people.http.get(people.run["gateways"][OWNER] + "/metrics")
        if 'openline_gateway_closes_total{code="4101"}' in nodes.text and slow_closed(nodes):
            break
    last = b""
    with contextlib.suppress(asyncio.IncompleteReadError, ValueError, ConnectionError):
        async with asyncio.timeout(30):
            while chunk := await reader.read(65_536):
                last = (last + chunk)[-2000:]
    writer.close()
    assert b'data: {"type":"closing","code":4101' in last


def slow_closed(metrics: httpx2.Response) -> bool:
    """Whether a slow reader was closed already."""
    (line,) = [
        line
        for line in metrics.text.splitlines()
        if line.startswith('openline_gateway_closes_total{code="4101"}')
    ]
    return float(line.rpartition(" ")[2]) > 0
