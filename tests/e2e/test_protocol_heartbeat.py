"""Signs of life: protocol pings, `ping` events, comments; and what becomes of who is silent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from tests.support.event_stream import EventStream
from tests.support.lived import Lived
from tests.support.people import People
from tests.support.stack import Stack
from tests.support.streamed import StreamedClient
from tests.support.wire import WireClient

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A system that asks after one second."""
    folder = tmp_path_factory.mktemp("hasty")
    with Stack(folder, OPENLINE_PING_SECONDS="1", OPENLINE_GATEWAYS="1") as running:
        yield running


@pytest.fixture
async def people(hasty: Stack) -> AsyncIterator[People]:
    """Who talks to it."""
    async with People(hasty.run) as talking:
        yield talking


async def test_silence_is_asked_and_then_closed_with_4102(people: People) -> None:
    # At once: each waits for the ten seconds in which a sign of life must have come.
    await asyncio.gather(over_websockets(people), over_http(people))


async def over_websockets(people: People) -> None:
    async def silent(client: WireClient) -> tuple[int, float, float]:
        """How it was closed, after how many seconds, and in how many of them nobody stood still."""
        async with Lived(people.answer) as lived:
            code, _ = await client.wait_closed(patience=40)
            return code, time.monotonic() - began, lived.seconds

    began = time.monotonic()  # before them, so that none lasts longer than is counted
    native = await people.connect("alice")
    speaking = await people.connect("alice")
    # A WebSocket library answers protocol pings by itself: this room is never silent.
    path = f"/ws/rooms/x?token={await people.token('alice')}"
    room = await WireClient.open(people.ws(path=path), auth=False)
    late = await WireClient.open(people.ws(), auth=False)
    asked = {"channel": "public:all"}
    async with EventStream.open(people.http, "/sse", params=asked) as stream:
        assert native.seen[0]["ping"] == 1
        waiting = asyncio.gather(silent(native), silent(late))
        while not waiting.done():
            assert await speaking.expect("ping") == {"type": "ping"}
            await speaking.send({"type": "pong"})
        (code, seconds, lived), (unknown, until, lived_unknown) = await waiting
        assert (code, seconds > 10, lived < 13) == (4102, True, True)
        assert len(native.taken_or_not("ping")) == 1
        assert (unknown, until > 9, lived_unknown < 11.5) == (4001, True, True)
        assert late.seen == []
        assert [b for b in stream.blocks if not b.event and "retry" not in b.fields]
        assert not stream.ended.is_set()
    assert room.closed is None
    assert [event["type"] for event in room.seen] == ["connected"]
    assert (await speaking.call("ping"))["type"] == "pong"
    await speaking.close()
    await room.close()


async def over_http(people: People) -> None:
    """A command counts as life. A proxy keeps a stream whose client is long gone: only an answer tells."""
    auth = [{"type": "auth", "token": await people.token("alice")}]
    async with (
        StreamedClient.begin(people.http, people.front_door, auth) as silent,
        StreamedClient.begin(people.http, people.front_door, auth) as speaking,
    ):
        waiting = asyncio.create_task(silent.wait_closed(patience=40))
        while not waiting.done():
            await speaking.expect("ping")
            await speaking.send({"type": "pong"})
        assert (await waiting)[0] == 4102
        assert [e["type"] for e in silent.seen] == ["connected", "ack", "ping", "closing"]
        assert (await speaking.call("ping"))["type"] == "pong"


async def test_over_http_a_client_that_speaks_hears_comments(people: People) -> None:
    auth = [{"type": "auth", "token": await people.token("alice")}]
    async with StreamedClient.begin(people.http, people.front_door, auth) as client:
        await client.expect("connected")
        async with asyncio.timeout(30):
            silences = await spoken(client, until=lambda: client.comments)
        assert len(client.taken_or_not("ping")) <= silences


async def test_any_frame_counts_as_life(people: People) -> None:
    async with await people.connect("alice") as client:
        end = time.monotonic() + 2.5
        silences = await spoken(client, until=lambda: time.monotonic() > end)
        asked = len(client.taken_or_not("ping"))
        assert asked <= silences
        await client.expect("ping", where=lambda _: len(client.taken_or_not("ping")) > asked)
        before, alive = len(client.taken_or_not("ping")), time.monotonic()
        await (await client.socket.ping())
        await asyncio.sleep(0.5)
        assert len(client.taken_or_not("ping")) - before <= int(time.monotonic() - alive)


async def spoken(client: WireClient, *, until: Callable[[], object]) -> int:
    """Some commands a second, each answered; how often a busy machine let almost a second pass between two of them."""
    silences, last = 0, time.monotonic()
    while not until():
        await client.call("typing", channel="user:alice")
        await asyncio.sleep(0.2)
        silences += time.monotonic() - last > 0.8
        last = time.monotonic()
    return silences
