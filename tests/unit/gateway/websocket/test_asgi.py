"""The twin on plain ASGI messages: the same calls and callbacks without a lean server."""

from __future__ import annotations

import asyncio

import pytest
from starlette.websockets import WebSocket

from services.gateway.websocket import frames as framing
from services.gateway.websocket.connection import serve

SCOPE = {"type": "websocket", "client": ("192.0.2.1", 1), "headers": [], "path": "/"}


class Server:
    """An ASGI server's side: what the client sends goes in, what the app sends comes out; sending can be held up."""

    def __init__(self):
        self.incoming = asyncio.Queue()
        self.sent = []
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.receivers = []

    async def receive(self):
        return await self.incoming.get()

    async def send(self, message):
        await self.flowing.wait()
        self.sent.append(message)

    def text(self, text):
        self.incoming.put_nowait({"type": "websocket.receive", "text": text})

    def leave(self, code=1001, reason=""):
        self.incoming.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})

    async def run(self, receiver, **options):
        self.incoming.put_nowait({"type": "websocket.connect"})
        websocket = WebSocket(SCOPE, self.receive, self.send)
        await websocket.accept()
        self.sent.clear()

        def make(connection):
            self.receivers.append(receiver(connection))
            return self.receivers[0]

        await serve(websocket, make, **{"max_bytes": 100, **options})


class Recorder:
    def __init__(self, connection):
        self.connection = connection
        self.calls = []

    def received_text(self, text):
        self.calls.append(("text", text))

    def received_binary(self, data):
        self.calls.append(("binary", data))

    def received_pong(self): ...

    def stalled(self):
        self.calls.append("stalled")

    def writable(self):
        self.calls.append("writable")

    def closed(self, code, reason, clean):
        self.calls.append(("closed", code, reason, clean))


class Draining(Recorder):
    def shutdown(self):
        self.connection.close(4100, "5")


class Failing(Recorder):
    def received_text(self, text):
        raise ValueError("a bug in a session")


@pytest.fixture
async def server():
    return Server()


@pytest.fixture
async def start(server):
    tasks = []

    async def start(receiver=Recorder, **options):
        tasks.append(asyncio.create_task(server.run(receiver, **options)))
        await turns()
        return server.receivers[0], tasks[0]

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def turns():
    for _ in range(20):
        await asyncio.sleep(0)


async def test_messages_go_both_ways(server, start):
    receiver, _ = await start()
    server.text("hé")
    server.incoming.put_nowait({"type": "websocket.receive", "bytes": b"\xff"})
    connection = receiver.connection
    connection.send_text("ü".encode())
    connection.send_binary(b"\xfe")
    connection.send_frame(
        framing.text_frame(b"a") + framing.ping_frame() + framing.binary_frame(b"b" * 200)
    )
    await turns()
    assert receiver.calls == [("text", "hé".encode()), ("binary", b"\xff")]
    assert [message.get("text") or message.get("bytes") for message in server.sent] == [
        "ü",
        b"\xfe",
        "a",
        b"b" * 200,
    ]
    assert connection.address == "192.0.2.1"
    assert connection.buffered() == 0


async def test_a_ready_made_close_frame_closes(server, start):
    receiver, _ = await start()
    receiver.connection.send_frame(framing.text_frame(b"a") + framing.close_frame(4004, "x"))
    await turns()
    assert [message["type"] for message in server.sent] == ["websocket.send", "websocket.close"]
    assert (server.sent[1]["code"], server.sent[1]["reason"]) == (4004, "x")


async def test_the_peer_leaves(server, start):
    receiver, task = await start()
    server.leave(4000, "bye")
    await task
    assert receiver.calls == [("closed", 4000, "bye", True)]
    receiver.connection.send_text(b"nobody")
    receiver.connection.close(1000)
    assert receiver.connection.closing


async def test_the_peer_vanishes(server, start):
    receiver, task = await start()
    server.leave(1006)
    await task
    assert receiver.calls == [("closed", 1006, "", False)]


async def test_the_server_closes_behind_what_is_buffered(server, start):
    receiver, task = await start()
    receiver.connection.send_text(b"last")
    receiver.connection.close(4101, "é" * 100)
    receiver.connection.close(1000)
    server.text("ignored")
    await turns()
    assert server.sent[0]["text"] == "last"
    assert (server.sent[1]["code"], server.sent[1]["reason"]) == (4101, "é" * 61)
    server.leave(1005)
    await task
    assert receiver.calls == [("closed", 4101, "é" * 100, True)]


async def test_a_peer_that_does_not_answer_is_given_up(server, start):
    server.flowing.clear()
    task = asyncio.create_task(server.run(Recorder))
    server.flowing.set()
    await turns()
    server.flowing.clear()
    receiver = server.receivers[0]
    receiver.connection.send_text(b"stuck")
    await turns()
    receiver.connection.close(4102, patience=0.02)
    await asyncio.wait_for(task, 5)
    assert receiver.calls == [("closed", 4102, "", False)]


async def test_an_abort_ends_it_at_once(start):
    receiver, task = await start()
    receiver.connection.abort()
    await task
    assert receiver.calls == [("closed", 1006, "", False)]


async def test_a_cancelled_endpoint_still_closes_its_receiver(start):
    receiver, task = await start()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert receiver.calls == [("closed", 1006, "", False)]


async def test_a_server_that_fails_to_send_is_a_peer_that_vanished(server, start):
    receiver, task = await start()

    async def broken(_):
        raise OSError("gone")

    server.send = broken
    websocket = receiver.connection._websocket
    websocket._send = broken
    receiver.connection.send_text(b"x")
    await task
    assert receiver.calls == [("closed", 1006, "", False)]


async def test_a_slow_peer_stalls_and_drains(server, start):
    receiver, _ = await start(max_buffered=100)
    server.flowing.clear()
    for _ in range(4):
        receiver.connection.send_binary(b"x" * 40)
    assert receiver.calls == ["stalled"]
    assert receiver.connection.buffered() == 160
    server.flowing.set()
    await turns()
    assert receiver.calls == ["stalled", "writable"]
    assert receiver.connection.buffered() == 0


async def test_a_paused_connection_takes_no_more_messages(server, start):
    receiver, _ = await start()
    receiver.connection.pause_reading()
    server.text("first was asked for already")
    server.text("second")
    await turns()
    assert len(receiver.calls) == 1
    receiver.connection.resume_reading()
    await turns()
    assert len(receiver.calls) == 2


@pytest.mark.parametrize(("text", "code"), [("x" * 101, 1009), ("\ud800", 1007)])
async def test_what_may_not_come_in_closes(server, start, text, code):
    receiver, _ = await start()
    server.text(text)
    await turns()
    assert receiver.calls == []
    assert server.sent[-1]["code"] == code


async def test_a_receiver_that_raises_is_closed_with_1011(server, start):
    receiver, task = await start(Failing)
    server.text("boom")
    await turns()
    assert server.sent[-1]["code"] == 1011
    server.leave(1005)
    await task
    assert receiver.calls == [("closed", 1011, "internal error", True)]


async def test_a_ping_counts_as_life(start):
    receiver, _ = await start()
    receiver.connection.last_received = 0
    receiver.connection.ping()
    assert receiver.connection.last_received > 0


@pytest.mark.parametrize(("receiver", "code"), [(Recorder, 1012), (Draining, 4100)])
async def test_the_end_of_the_server(server, start, receiver, code):
    receiver, _ = await start(receiver)
    receiver.connection.shutdown()
    await turns()
    assert server.sent[-1]["code"] == code
