"""Head and body of an answer leave as one write, and nothing waits for what does not come."""

from __future__ import annotations

import asyncio
import socket
from functools import partial

import pytest

from services.kernel.http.http_protocol import HttpProtocol
from services.kernel.http.joined_writes import SMALL, JoinedWrites
from tests.support.uvicorn_server import serving


class Recording(asyncio.Transport):
    """Remembers writes."""

    def __init__(self):
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.writes = []
        self.closed = False

    def write(self, data):
        self.writes.append(bytes(data))

    def close(self):
        self.closed = True

    def is_closing(self):
        return self.closed


@pytest.fixture
async def transport():
    return Recording()


@pytest.fixture
async def joined(transport):
    return JoinedWrites(transport, asyncio.get_running_loop())


async def test_two_writes_of_one_turn_leave_as_one(transport, joined):
    joined.write(b"head ")
    joined.write(b"body")
    assert transport.writes == [b"head body"]
    await asyncio.sleep(0)
    assert transport.writes == [b"head body"]


async def test_a_single_write_leaves_with_the_turn(transport, joined):
    joined.write(b"head ")
    assert transport.writes == []
    await asyncio.sleep(0)
    assert transport.writes == [b"head "]
    joined.write(b"body")
    await asyncio.sleep(0)
    assert transport.writes == [b"head ", b"body"]


async def test_many_writes_keep_their_order(transport, joined):
    for number in range(5):
        joined.write(b"%d" % number)
    await asyncio.sleep(0)
    assert b"".join(transport.writes) == b"01234"


async def test_a_large_body_is_not_copied(transport, joined):
    joined.write(b"head ")
    joined.write(b"x" * (SMALL + 1))
    assert transport.writes == [b"head ", b"x" * (SMALL + 1)]


async def test_closing_writes_what_was_held_and_later_nothing(transport, joined):
    joined.write(b"head")
    joined.close()
    assert (transport.writes, transport.closed) == ([b"head"], True)
    joined.write(b"late")
    await asyncio.sleep(0)
    assert transport.writes == [b"head"]


@pytest.mark.parametrize("status", [b"401 Unauthorized", b"503 Service Unavailable"])
async def test_a_refusal_and_its_end_wait_while_the_body_of_the_request_is_due(
    transport, joined, status
):
    joined.body_due = True
    joined.write(b"HTTP/1.1 " + status)
    joined.write(b" no")
    joined.close()
    await asyncio.sleep(0)
    assert (transport.writes, transport.closed) == ([], False)
    joined.release()
    assert (transport.writes, transport.closed) == ([b"HTTP/1.1 " + status + b" no"], True)


async def test_no_other_answer_waits_for_the_body_of_its_request(transport, joined):
    joined.body_due = True
    joined.write(b"HTTP/1.1 200 OK ")
    joined.write(b"HTTP/1.1 4")
    assert transport.writes == [b"HTTP/1.1 200 OK HTTP/1.1 4"]
    joined.release()
    assert len(transport.writes) == 1


async def test_all_else_is_the_transport_s(transport, joined):
    assert joined.get_extra_info("peername") == ("127.0.0.1", 1)
    assert not joined.is_closing()


async def streaming(scope, receive, send):
    """A head, and each part of the body when the client has asked for it by sending a byte of its own."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for part in (b"one", b"two"):
        await receive()
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


@pytest.mark.server
def test_the_head_of_a_stream_does_not_wait_for_its_body():
    with (
        serving(streaming, ws="none", http=partial(HttpProtocol)) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=60) as client,
    ):
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n")
        answer = client.makefile("rb")
        assert answer.readline() == b"HTTP/1.1 200 OK\r\n"
        while answer.readline() != b"\r\n":
            pass
        client.sendall(b"1")
        assert [answer.readline(), answer.readline()] == [b"3\r\n", b"one\r\n"]
        client.sendall(b"2")
        assert [answer.readline(), answer.readline()] == [b"3\r\n", b"two\r\n"]
        assert [answer.readline(), answer.readline()] == [b"0\r\n", b"\r\n"]
