"""Answers leave in one write, in their order, and before the connection is closed."""

from __future__ import annotations

import asyncio

import pytest

from services.kernel.ops.joined import JoinedProtocol, Joining
from tests.support.uvicorn_server import serving


class Transport:
    """Records what is called."""

    def __init__(self):
        self.calls = []
        self.closing = False

    def write(self, data):
        self.calls.append(data)

    def close(self):
        self.closing = True
        self.calls.append("close")

    def is_closing(self):
        return self.closing


async def test_what_one_turn_writes_leaves_together():
    transport = Transport()
    joining = Joining(transport, asyncio.get_running_loop())
    joining.write(b"head")
    joining.write(b"body")
    assert transport.calls == []
    await asyncio.sleep(0)
    joining.write(b"next")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert transport.calls == [b"headbody", b"next"]


async def test_a_close_leaves_nothing_behind_and_nothing_follows_it():
    transport = Transport()
    joining = Joining(transport, asyncio.get_running_loop())
    joining.write(b"last")
    joining.close()
    joining.write(b"lost")
    await asyncio.sleep(0)
    assert transport.calls == [b"last", "close"]
    assert joining.is_closing()


async def answer(scope, receive, send):
    """A streaming answer for /slow, the body's length for everything else."""
    if scope["path"] == "/slow":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for part in (b"one", b"two"):
            await send({"type": "http.response.body", "body": part, "more_body": True})
            await asyncio.sleep(0.05)
        await send({"type": "http.response.body", "body": b""})
        return
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message["body"])
        more = message["more_body"]
    body = b"%d" % size
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(params=["uvloop", "asyncio"])
def port(request):
    with serving(answer, ws="none", loop=request.param, http=JoinedProtocol) as server:
        yield server.port


async def talk(port, request):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    try:
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()


async def test_requests_in_a_row_are_answered_in_their_order(port):
    head = b"POST /%d HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%s\r\n"
    requests = [head % (n, n, b"Connection: close\r\n" * (n == 5)) + b"x" * n for n in range(1, 6)]
    answers = await talk(port, b"".join(requests))
    bodies = [part.rpartition(b"\r\n\r\n")[2] for part in answers.split(b"HTTP/1.1 200 OK")[1:]]
    assert bodies == [b"1", b"2", b"3", b"4", b"5"]


async def test_a_large_body_and_a_stream_come_whole(port):
    large = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3000000\r\n\r\n"
    assert (await talk(port, large + b"x" * 3_000_000)).endswith(b"\r\n\r\n3000000")
    slow = await talk(port, b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert slow.endswith(b"\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
