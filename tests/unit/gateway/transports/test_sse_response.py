"""An SSE response as a connection: what is written leaves in order, who does not read is noticed and let go."""

from __future__ import annotations

import asyncio

import pytest

from services.gateway.transports.sse_response import MAX_BUFFERED, EventStream
from tests.support.waiting import until


class Reader:
    """The two halves of an ASGI call. While `reads` is not set its `send` does not return."""

    def __init__(self):
        self.messages = []
        self.reads = asyncio.Event()
        self.reads.set()
        self.left = asyncio.Event()
        self.fails = False

    async def send(self, message):
        if self.fails:
            raise OSError("gone")
        await self.reads.wait()
        self.messages.append(message)

    async def receive(self):
        await self.left.wait()
        return {"type": "http.disconnect"}

    @property
    def body(self):
        return b"".join(message.get("body", b"") for message in self.messages)


class Session:
    def __init__(self):
        self.told = []
        self.raises = False

    def stalled(self):
        self.told.append("stalled")
        if self.raises:
            raise ValueError("a bug")

    def writable(self):
        self.told.append("writable")

    def closed(self, code, reason, clean):
        self.told.append(("closed", code, clean))


@pytest.fixture
async def reader():
    return Reader()


@pytest.fixture
async def session():
    return Session()


@pytest.fixture
async def stream(session):
    stream = EventStream("192.0.2.7", {"content-type": "text/event-stream"})
    stream.start(session)
    return stream


async def test_what_is_written_leaves_in_order_until_it_is_closed(stream, reader, session):
    stream.send_text(b"a")
    response = asyncio.create_task(stream.respond({}, reader.receive, reader.send))
    await until(lambda: reader.body == b"a")
    stream.send_binary(b"b")
    stream.send_frame(b"c")
    stream.ping()
    stream.pause_reading()
    stream.resume_reading()
    stream.close(4004)
    stream.close(4005)
    stream.send_frame(b"too late")
    await response
    start = reader.messages[0]
    assert (start["status"], start["headers"]) == (200, [(b"content-type", b"text/event-stream")])
    assert reader.body == b"abc"
    assert reader.messages[-1]["more_body"] is False
    assert session.told == [("closed", 1006, False)]
    assert stream.buffered() == 0


async def test_a_stream_that_was_closed_before_it_began_ends_at_once(stream, reader):
    stream.send_frame(b"problem")
    stream.close(4003)
    await stream.respond({}, reader.receive, reader.send)
    assert reader.body == b"problem"


async def test_who_leaves_is_told_to_the_session(stream, reader, session):
    response = asyncio.create_task(stream.respond({}, reader.receive, reader.send))
    await until(lambda: reader.messages)
    reader.left.set()
    await response
    assert session.told == [("closed", 1006, False)]
    assert stream.closing


async def test_who_has_gone_before_the_first_byte_is_told_to_the_session(stream, reader, session):
    reader.fails = True
    await stream.respond({}, reader.receive, reader.send)
    assert session.told == [("closed", 1006, False)]


async def test_a_cancelled_response_is_told_to_the_session(stream, reader, session):
    reader.reads.clear()
    response = asyncio.create_task(stream.respond({}, reader.receive, reader.send))
    await asyncio.sleep(0)
    response.cancel()
    with pytest.raises(asyncio.CancelledError):
        await response
    assert session.told == [("closed", 1006, False)]


async def test_a_reader_that_does_not_read_is_stalled_and_writable_when_it_has(
    stream, reader, session
):
    response = asyncio.create_task(stream.respond({}, reader.receive, reader.send))
    await until(lambda: reader.messages)
    reader.reads.clear()
    stream.send_frame(b"x" * MAX_BUFFERED)
    assert session.told == []
    stream.send_frame(b"x")
    stream.send_frame(b"x")
    assert session.told == ["stalled"]
    assert stream.buffered() == MAX_BUFFERED + 2
    reader.reads.set()
    await until(lambda: session.told == ["stalled", "writable"])
    stream.close(4100)
    await response


async def test_a_reader_that_does_not_read_holds_a_closed_stream_only_so_long(
    stream, reader, session
):
    response = asyncio.create_task(stream.respond({}, reader.receive, reader.send))
    await until(lambda: reader.messages)
    reader.reads.clear()
    stream.send_frame(b"x")
    await asyncio.sleep(0.01)
    stream.close(4101, patience=0.01)
    await asyncio.wait_for(response, 5)
    assert session.told == [("closed", 1006, False)]


async def test_abort_drops_what_waits(stream, reader):
    stream.send_frame(b"x")
    stream.abort()
    await stream.respond({}, reader.receive, reader.send)
    assert reader.body == b""


async def test_a_bug_in_the_session_ends_its_stream_alone(stream, reader, session):
    session.raises = True
    response = asyncio.create_task(stream.respond({}, reader.receive, reader.send))
    stream.send_frame(b"x" * (MAX_BUFFERED + 1))
    await response
    assert stream.closing


async def test_without_a_session_nothing_is_told(reader):
    stream = EventStream("192.0.2.7", {})
    stream.send_frame(b"x" * (MAX_BUFFERED + 1))
    stream.close(1000)
    await stream.respond({}, reader.receive, reader.send)
    assert len(reader.body) == MAX_BUFFERED + 1
