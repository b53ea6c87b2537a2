"""What a stranger can send wrong: a named error or close code, the sender's cost only, and never a 1006 or a 1011."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from websockets.exceptions import ConnectionClosed

from loadtest.bench.usage import cpu_seconds
from tests.support.people import People
from tests.support.wire import WireClient


def room() -> str:
    return f"room:{secrets.token_hex(6)}"


async def newcomer(people: People, **options: Any) -> WireClient:
    """A connection of a user who has sent nothing before: bytes count by user, and other files' tests send as alice."""
    token = await people.minted(f"u-{secrets.token_hex(4)}")
    return await WireClient.open(people.ws(0), token, **options)


@pytest.fixture
async def beside(people: People) -> AsyncIterator[WireClient]:
    """A well-behaved connection on the same gateway, which must notice nothing."""
    async with await people.connect("bob", gateway=0) as bob:
        channel = room()
        await bob.subscribe(channel)
        yield bob
        await bob.ok("publish", channel=channel, data="fine")
        assert (await bob.message(channel))["data"] == "fine"


# ------------------------------------------------------------------------------------------ the connection lives on


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("", "bad_request"),
        ("hello", "bad_request"),
        ("{", "bad_request"),
        ('{"type":"ping"}{}', "bad_request"),
        ("null", "bad_request"),
        ("[]", "bad_request"),
        ("5", "bad_request"),
        ('"ping"', "bad_request"),
        ("{}", "bad_request"),
        ('{"type":null}', "bad_request"),
        ('{"type":5}', "bad_request"),
        ('{"type":["ping"]}', "bad_request"),
        ('{"type":"nothing"}', "bad_request"),
        ('{"type":"Ping"}', "bad_request"),
        ('{"type":"connected"}', "bad_request"),
        ('{"type":"' + "x" * 10_000 + '"}', "bad_request"),
        ('{"type":"subscribe"}', "bad_request"),
        ('{"type":"subscribe","channel":["room:x"]}', "bad_request"),
        ('{"type":"publish","channel":"room:x"}', "bad_request"),
        ('{"type":"publish","data":1}', "bad_request"),
        ('{"type":"auth","token":5}', "bad_request"),
        ('{"type":"auth","since":[]}', "bad_request"),
        ('{"type":"auth","since":{"a":5}}', "bad_request"),
        ('{"type":"auth"}', "bad_request"),
        ('{"type":"history","channel":"user:alice","limit":1e999}', "bad_request"),
        ('{"type":"history","channel":"user:alice","limit":9e99}', "bad_request"),
        ('{"type":"history","channel":"user:alice","reverse":"no"}', "bad_request"),
        ("[" * 100_000, ("bad_request", "invalid_data")),
        ('{"a":' * 100_000, ("bad_request", "invalid_data")),
        ('{"type":"ping","x":' + "[" * 100_000, ("bad_request", "invalid_data")),
        ('{"type":"ping","id":' + "9" * 10_000 + "}", "bad_request"),
        ('{"type":"subscribe","channel":"\\ud800:x"}', "bad_request"),
        ("\x00" * 100, "bad_request"),
        ("x" * 1_000_000, "bad_request"),
    ],
)
async def test_a_frame_that_is_no_command_gets_an_error(
    people: People, beside: WireClient, frame: str, code: str | tuple[str, ...]
) -> None:
    async with await newcomer(people) as alice:
        await alice.socket.send(frame)
        refusal = await alice.expect("error")
        assert refusal["code"] in ((code,) if isinstance(code, str) else code), refusal
        assert refusal["message"]
        assert len(refusal["message"]) < 1000
        assert (await alice.call("ping"))["type"] == "pong"


async def test_the_error_carries_the_id_where_it_can_be_read(people: People) -> None:
    async with await people.connect("alice") as alice:
        for number, frame in enumerate(
            (
                '{"id":0,"type":"nothing"}',
                '{"type":5,"id":1}',
                '{"id":2}',
                '{"type":"subscribe","id":3,"channel":5}',
                '{"type":"publish","id":4,"channel":"room:x","data":1e999}',
                '{"type":"publish","id":5,"channel":"room:x","data":NaN}',
                '{"type":"publish","id":6,"channel":"room:x","data":' + "[" * 9_999,
            )
        ):
            await alice.socket.send(frame)
            assert (await alice.expect("error"))["id"] == number


def nested(depth: int, inner: bytes = b"\xc0") -> bytes:
    return b"\x91" * depth + inner


def publish(channel: str, data: bytes) -> bytes:
    """A publish in MessagePack whose data is any bytes."""
    head = msgspec.msgpack.encode({"type": "publish", "id": 1, "channel": channel})
    return b"\x84" + head[1:] + b"\xa4data" + data


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\xc1",
        b"\x00",
        b"\xdf\xff\xff\xff\xff",
        b"\xdd\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xdb\x7f\xff\xff\xff" + b"x" * 100,
        nested(100_000),
        b"\x81\xa4type" + nested(2_000),
        b"\x82\xa4type\xa4ping\x01\x02",
        b"\x81\xa4type\xd4\x01\x00",
        b"\x81\xa4type\xa4\xff\xff\xff\xff",
        b"\x81\xa4type\xa4pin",
        b'{"type":"ping"}',
        msgspec.msgpack.encode({"type": "ping"}) + b"\xc0",
        msgspec.msgpack.encode(["ping"]),
    ],
)
async def test_bytes_that_are_no_command_get_an_error(
    people: People, beside: WireClient, frame: bytes
) -> None:
    async with await newcomer(people, binary=True) as alice:
        await alice.socket.send(frame)
        refusal = await alice.expect("error")
        assert refusal["code"] in ("bad_request", "invalid_data")
        assert (await alice.call("ping"))["type"] == "pong"


@pytest.mark.parametrize(
    "data",
    [
        nested(65),
        nested(60_000),
        b"\xdf\xff\xff\xff\xff",
        b"\x81\x01\x02",
        b"\x81\xc4\x01a\x02",
        b"\xd6\xff\x00\x00\x00\x00",
        b"\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00",
        b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00",
        b"\xa2\xff\xff",
        b"\x91" + b"\x81\xa1a" * 65 + b"\x01",
    ],
)
async def test_messagepack_data_that_not_everybody_could_read_is_refused(
    people: People, beside: WireClient, data: bytes
) -> None:
    channel = room()
    async with await people.connect("alice", gateway=0, binary=True) as alice:
        await alice.subscribe(channel)
        await alice.socket.send(publish(channel, data))
        refusal = await alice.expect("error")
        assert refusal["code"] in ("invalid_data", "bad_request"), refusal
        await alice.ok("publish", channel=channel, data=b"after")


async def test_map_keys_that_collide_do_not_stop_the_gateway(
    people: People, beside: WireClient
) -> None:
    """Numbers as keys whose hashes are equal make a dict quadratic: 50,000 of them would hang the loop for minutes."""
    pairs = b"".join(b"\xcf" + (n * (2**61 - 1)).to_bytes(8, "big") + b"\xc0" for n in range(8))
    many = b"\xdf" + (50_000).to_bytes(4, "big") + pairs * 6250
    async with await people.connect("alice", gateway=0, binary=True) as alice:
        for frame in (many, publish("user:alice", many)):
            before = cpu_seconds(people.run["pids"]["gateway-1"])
            await alice.socket.send(frame)
            await alice.expect("error")
            assert cpu_seconds(people.run["pids"]["gateway-1"]) - before < 3
        assert (await beside.call("ping"))["type"] == "pong"


async def test_data_that_is_costly_to_look_at_does_not_stop_the_gateway(
    people: People, beside: WireClient
) -> None:
    """To look at a million empty arrays takes a second or two: of what nobody could publish nothing is looked at."""
    frame = publish("room:x", b"\xdd" + (1_000_000).to_bytes(4, "big") + b"\x90" * 1_000_000)
    gateway = people.run["pids"]["gateway-1"]
    before = cpu_seconds(gateway)
    async with await people.connect("alice", gateway=0, binary=True) as alice:
        async with asyncio.TaskGroup() as group:
            flood = group.create_task(repeatedly(alice, frame, times=20))
            while not flood.done():
                assert (await beside.call("ping"))["type"] == "pong"
                await asyncio.sleep(0.05)
        for _ in range(20):
            refusal = await alice.expect("error")
            # Of what comes after them a connection may send only so many bytes a second.
            assert (refusal["id"], refusal["code"]) in ((1, "too_large"), (1, "rate_limited"))
    assert cpu_seconds(gateway) - before < 5, "of twenty that take a second or two each"


async def repeatedly(client: WireClient, frame: bytes, *, times: int) -> None:
    for _ in range(times):
        await client.socket.send(frame)


# -------------------------------------------------------------------------------------------- what ends a connection


async def test_the_wrong_kind_of_frame_ends_with_1003(people: People, beside: WireClient) -> None:
    for path in ("/ws", "/ws/rooms/x"):
        url = people.ws(0, f"{path}?token={await people.token('alice')}")
        client = await WireClient.open(url, auth=False)
        await client.expect("connected")
        await client.socket.send(b'{"type":"ping"}')
        assert (await client.wait_closed())[0] == 1003
    binary = await people.connect("alice", gateway=0, binary=True)
    await binary.socket.send('{"type":"ping"}')
    assert (await binary.wait_closed())[0] == 1003


@pytest.mark.parametrize("size", [2**20 + 1, pytest.param(10_000_000, marks=pytest.mark.slow)])
async def test_a_message_that_is_too_big_ends_with_1009(
    people: People, beside: WireClient, size: int
) -> None:
    for binary in (False, True):
        client = await people.connect("alice", binary=binary)
        frame = b"x" * size if binary else "x" * size
        with contextlib.suppress(ConnectionClosed):
            await client.socket.send(frame)
        assert (await client.wait_closed())[0] == 1009


async def test_text_that_is_not_utf_8_ends_with_1007(people: People, beside: WireClient) -> None:
    client = await people.connect("alice", gateway=0)
    await client.socket.send(b'{"type":"\xff"}', text=True)
    assert (await client.wait_closed())[0] == 1007


async def test_bad_frames_without_end_end_with_4000(people: People, beside: WireClient) -> None:
    for path, frame in (("/ws", "nonsense"), ("/ws/notify/x", "nonsense")):
        url = people.ws(0, f"{path}?token={await people.token('alice')}")
        client = await WireClient.open(url, auth=False)
        with contextlib.suppress(ConnectionClosed):
            for _ in range(20_000):
                await client.socket.send(frame)
        assert (await client.wait_closed())[0] == 4000


async def test_what_vanishes_in_the_middle_costs_nothing(
    people: People, beside: WireClient
) -> None:
    port = int(people.run["gateways"][0].rpartition(":")[2])
    token = await people.token("alice")
    handshake = (
        f"GET /ws?token={token} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ).encode()
    for cut in (10, len(handshake) - 1, len(handshake)):
        for rest in (b"", b"\x81", b"\x81\xfe\x00", b"\x88\x80", b"\x01\x85abcd12345"):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(handshake[:cut] + rest)
            await writer.drain()
            writer.transport.abort()


async def test_a_refusal_names_what_would_be_right(people: People) -> None:
    async with await people.connect("alice") as alice:
        await alice.socket.send('{"type":"nothing"}')
        assert "subscribe" in (await alice.expect("error"))["message"]
        refusal = await alice.refused("subscribe", channel="nowhere:x")
        assert "room" in refusal["message"]
        refusal = await alice.refused("subscribe", channel="lobby")
        assert "room:lobby" in refusal["message"]
        assert json.dumps(refusal)
