"""Frames that nobody would send: each gets an answer or a named close, and a connection beside them works on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import secrets
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed

from services.kernel.protocol.commands import TYPES
from tests.support.people import People
from tests.support.stack import Stack
from tests.support.streamed import StreamedClient
from tests.support.wire import Closed, WireClient

FRAMES = 25
"""In an example; with the examples below, over 2,000 in all."""

EXAMPLES = 30

NAMED = {1002, 1003, 1007, 1009, 4000, 4001, 4003}
"""How a connection may end for what was sent on it."""

Frame = str | bytes

# --------------------------------------------------------------------------------------------------------- the frames

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.sampled_from(["room:fuzz", "user:alice", "public:all", "x:y", "room:", "\ud7ff", "x" * 70])
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=10,
)
positions = st.fixed_dictionaries(
    {"epoch": st.sampled_from(["a", "x" * 33, ""]) | values, "offset": st.integers(-1, 5) | values}
)
channels = st.sampled_from(["room:fuzz", "room:fuzz2", "public:all", "user:fuzz", "live:x"])
fields: dict[str, st.SearchStrategy[Any]] = {
    "id": st.integers(0, 9) | st.text(max_size=3) | values,
    "channel": channels | values,
    "data": values,
    "since": positions | values,
    "last": st.integers(-1, 1001) | values,
    "limit": st.integers(-1, 501) | values,
    "reverse": st.booleans() | values,
    "key": st.text(max_size=5) | values,
    "ephemeral": st.booleans() | values,
    "echo": st.booleans() | values,
    "cursor": st.text(max_size=10) | values,
    "token": values,
}
commands = st.builds(
    lambda kind, fields: {"type": kind, **fields},
    st.sampled_from(TYPES) | st.sampled_from(["nothing", "", "ack", "message", None, 5]),
    st.fixed_dictionaries({}, optional=fields),
)


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """Bytes with a piece cut out, doubled or replaced."""
    raw = draw(whole)
    start = draw(st.integers(0, len(raw)))
    end = draw(st.integers(start, min(len(raw), start + 6)))
    return raw[:start] + draw(st.binary(max_size=4) | st.just(raw[start:end] * 2)) + raw[end:]


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def as_msgpack(value: Any) -> bytes:
    return msgspec.msgpack.encode(_within_64_bits(value))


def _within_64_bits(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _within_64_bits(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_within_64_bits(inner) for inner in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return max(-(2**63), min(value, 2**64 - 1))
    return value


def text(raw: bytes) -> str:
    return raw.decode(errors="replace")


json_frames = (
    commands.map(lambda c: text(as_json(c)))
    | values.map(lambda v: text(as_json(v)))
    | damaged(commands.map(as_json)).map(text)
    | st.text(max_size=60)
    | st.sampled_from(["[" * 9000, '{"a":' * 9000, '{"type":"publish","data":1e999}', "\x00"])
)
msgpack_frames = (
    commands.map(as_msgpack)
    | values.map(as_msgpack)
    | damaged(commands.map(as_msgpack))
    | st.binary(max_size=60)
    | st.sampled_from([b"\x91" * 9000, b"\xdf\xff\xff\xff\xff", b"\xc1", b"\xd6\xff\0\0\0\0"])
)

# ------------------------------------------------------------------------------------------------------- the fuzzing


class Target:
    """Sends frames to a route, on a new connection where the one before has ended by one of them."""

    def __init__(self, people: People, path: str, *, binary: bool = False) -> None:
        self.people = people
        self.path = path
        self.binary = binary
        self.sent = 0

    async def feed(self, frames: list[Frame]) -> None:
        """Every frame gets an answer, nothing, or the named end of its connection."""
        waiting = frames[::-1]
        while waiting:
            client = await self._open()
            while waiting and client.closed is None:
                await _send(client, waiting.pop())
                self.sent += 1
                await self._settle(client)
            if client.closed is None:
                await client.close()
            else:
                assert client.closed[0] in NAMED, client.closed
                await client.wait_closed()

    async def _open(self) -> WireClient:
        token = await self.people.minted(f"fuzz-{secrets.token_hex(4)}", ttl=600)
        url = self.people.ws(0, f"{self.path}?token={token}")
        protocols = ["openline.msgpack.v1"] if self.binary else None
        client = await WireClient.open(url, auth=False, binary=self.binary, subprotocols=protocols)
        await client.expect("connected")
        return client

    async def _settle(self, client: WireClient) -> None:
        """Wait until a ping behind the frame is answered, or the connection has ended."""
        with contextlib.suppress(ConnectionClosed, Closed):
            await client.send({"type": "ping", "id": "behind"})
            await client.expect("pong", where=lambda e: e.get("id", "behind") == "behind")


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as running:
        yield running


@pytest.mark.parametrize(
    ("path", "frames"),
    [
        pytest.param("/ws", json_frames, id="json"),
        pytest.param("/ws", msgpack_frames, id="msgpack"),
        pytest.param("/ws/rooms/fuzz", json_frames, id="room", marks=pytest.mark.slow),
    ],
)
def test_2000_frames_neither_break_their_connection_nor_the_one_beside(
    stack: Stack, runner: asyncio.Runner, path: str, frames: st.SearchStrategy[Frame]
) -> None:
    people = People(stack.run)
    beside = runner.run(people.connect("bob", gateway=0))
    target = Target(people, path, binary=frames is msgpack_frames)
    channel = f"room:{secrets.token_hex(6)}"
    runner.run(beside.subscribe(channel))

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        # Shrinking would take minutes over sockets; the frames of a failure are in its report.
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(st.lists(frames, min_size=FRAMES, max_size=FRAMES))
    def fuzz(batch: list[Frame]) -> None:
        runner.run(target.feed(batch))
        runner.run(beside.ok("publish", channel=channel, data="fine"))
        assert runner.run(people.soon(beside.message(channel), 2))["data"] == "fine"

    fuzz()
    runner.run(beside.close())
    runner.run(people.http.aclose())
    assert target.sent >= EXAMPLES * FRAMES


@pytest.mark.slow
def test_fuzzed_commands_over_http_neither_break_the_stream_nor_the_gateway_that_hands_them_over(
    stack: Stack, runner: asyncio.Runner
) -> None:
    """Each request through the other gateway is taken, or refused for its own body; the stream answers or ends by name."""
    people = People(stack.run)
    one, two = people.run["gateways"]

    async def feed(texts: list[bytes]) -> None:
        auth = {"type": "auth", "token": await people.minted(f"fuzz-{secrets.token_hex(4)}")}
        async with StreamedClient.begin(people.http, one, [auth], commands_to=two) as client:
            connected = await client.expect("connected")
            url = f"{two}/sse/{connected['connection']}"
            for start in range(0, len(texts), 5):
                commands = b",".join(texts[start : start + 5])
                body = b'{"secret":"%b","commands":[%b]}' % (
                    connected["secret"].encode(),
                    commands,
                )
                kind = {"content-type": "application/json"}
                answer = await people.http.post(url, content=body, headers=kind)
                assert answer.status_code in {202, 400, 413} or client.closed, answer.text
            if client.closed is None:
                await people.http.post(
                    url,
                    json={
                        "secret": connected["secret"],
                        "commands": [{"type": "ping", "id": "behind"}],
                    },
                )
                with contextlib.suppress(Closed):
                    await client.expect("pong", where=lambda e: e.get("id") == "behind")
            assert client.closed is None or client.closed[0] in NAMED, client.closed

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(
        st.lists(
            commands.map(as_json) | values.map(as_json) | damaged(commands.map(as_json)),
            min_size=FRAMES,
            max_size=FRAMES,
        )
    )
    def fuzz(texts: list[bytes]) -> None:
        runner.run(feed(texts))

    fuzz()
    runner.run(people.http.aclose())


async def test_bytes_that_are_no_frames_end_with_a_close_frame(people: People) -> None:
    chance = random.Random(5)
    port = int(people.run["gateways"][0].rpartition(":")[2])
    async with await people.connect("bob", gateway=0) as bob:
        contents = [chance.randbytes(chance.randrange(2, 200)) for _ in range(100)]
        codes = await asyncio.gather(*(raw(port, content) for content in contents))
        assert set(codes) <= NAMED
        assert (await bob.call("ping"))["type"] == "pong"


async def raw(port: int, content: bytes) -> int:
    """The code with which a connection ends on which these bytes came and then nothing more; 4001 if it was none."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        + content
    )
    try:
        async with asyncio.timeout(0.5):
            assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
            answer = await reader.read()
    except TimeoutError:
        return 4001  # a frame that has only begun: what ends it is that no token comes
    finally:
        writer.transport.abort()
    close = answer.rindex(b"\x88")
    return int.from_bytes(answer[close + 2 : close + 4], "big")


async def test_a_flood_of_mixed_frames_costs_its_senders_alone(people: People) -> None:
    chance = random.Random(7)
    kinds = [
        "nonsense",
        '{"type":"ping"}',
        '{"type":"publish","channel":"room:flood","data":1}',
        '{"type":"subscribe","channel":"room:flood"}',
        '{"type":"unsubscribe","channel":"room:flood"}',
        '{"type":"history","channel":"user:flood"}',
        '{"type":"presence","channel":"room:flood"}',
        '{"type":"typing","channel":"room:flood"}',
        '{"type":"auth","token":"x',
        "[" * 5000,
    ]
    channel = f"room:{secrets.token_hex(6)}"

    async def flood(number: int) -> int:
        token = await people.minted(f"flood-{number}")
        client = await WireClient.open(people.ws(0), token)
        for _ in range(1500):
            if client.closed is not None:
                break
            await _send(client, chance.choice(kinds))
        if client.closed is None:
            await client.close()
        return client.closed[0] if client.closed else 0

    async with await people.connect("bob", gateway=0) as bob:
        await bob.subscribe(channel)
        floods = asyncio.gather(*(flood(n) for n in range(4)))
        while not floods.done():
            await bob.ok("publish", channel=channel, data="fine")
            assert (await people.soon(bob.message(channel), 3, beside=1))["data"] == "fine"
            await asyncio.sleep(0.05)
        assert set(await floods) <= {1000, 4000}


async def _send(client: WireClient, frame: str) -> None:
    with contextlib.suppress(ConnectionClosed):
        await client.socket.send(frame)
