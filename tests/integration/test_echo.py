"""/ws/echo on real servers, on uvloop and on asyncio's own loop."""

from __future__ import annotations

import threading
from functools import partial

import pytest
from starlette.applications import Starlette
from wsproto.events import AcceptConnection, Message

from services.gateway.node.quota import Quota
from services.gateway.transports.echo import echo_route
from services.gateway.websocket import WebSocketProtocol
from services.kernel.domain.limits import Limits
from tests.support.uvicorn_server import serving
from tests.support.websocket_peer import Peer

MAX_BYTES = 1 << 20


def application(max_bytes=MAX_BYTES, *, quota=None):
    return Starlette(routes=[echo_route(max_bytes, quota=quota or Quota(Limits()))])


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_text_and_binary_come_back_unchanged_on_either_loop(loop):
    with (
        serving(application(), ws=WebSocketProtocol, loop=loop) as server,
        Peer(server.port) as peer,
    ):
        peer.text("hé")
        peer.send(Message(data=b"\x00\xff"))
        peer.send(Message(data=b"x" * MAX_BYTES))
        assert [peer.message() for _ in range(3)] == ["hé", b"\x00\xff", b"x" * MAX_BYTES]
        peer.send(Message(data=b"x" * (MAX_BYTES + 1)))
        assert peer.closing()[0] == 1009


def test_the_frame_rate_does_not_bind_it():
    hurried = partial(WebSocketProtocol, frame_rate=10)
    with serving(application(), ws=hurried) as server, Peer(server.port) as peer:
        for number in range(100):
            peer.text(str(number))
        assert [peer.message() for _ in range(100)] == [str(number) for number in range(100)]


def test_a_limit_of_zero_switches_it_off_and_says_so():
    with serving(application(0), ws=WebSocketProtocol) as server, Peer(server.port) as peer:
        code, reason = peer.closing()
        assert code == 4000
        assert "OPENLINE_ECHO_MAX_BYTES" in reason


def test_it_agrees_to_any_subprotocol_since_a_browser_wants_one_of_its_offer():
    with (
        serving(application(), ws=WebSocketProtocol) as server,
        Peer(server.port, subprotocols=["other.v9", "chat"]) as peer,
    ):
        assert isinstance(peer.answer, AcceptConnection)
        assert peer.answer.subprotocol == "other.v9"


def test_a_client_over_the_address_limit_reads_why_and_its_place_is_given_back():
    quota = Quota(Limits(connections_per_address=1))
    with serving(application(quota=quota), ws=WebSocketProtocol) as server:
        with Peer(server.port) as first, Peer(server.port) as second:
            code, reason = second.closing()
            assert (code, reason.partition(";")[0]) == (
                4104,
                "an address has at most 1 connections",
            )
            first.text("first")
            assert first.message() == "first"
            first.close()
            first.ended()
        with Peer(server.port) as third:
            third.text("third")
            assert third.message() == "third"


def test_a_client_that_does_not_read_is_not_read_from():
    """What the server holds for it is bounded, and every byte comes back once it reads."""
    total = 40 << 20
    message = b"x" * (1 << 16)
    with (
        serving(application(), ws=WebSocketProtocol) as server,
        Peer(server.port, receive_buffer=8192, timeout=30) as peer,
    ):
        sent = []

        def send():
            for _ in range(total // len(message)):
                peer.send(Message(data=message))
                sent.append(1)

        thread = threading.Thread(target=send)
        thread.start()
        progress = -1
        while progress != len(sent):
            progress = len(sent)
            thread.join(0.3)
        assert thread.is_alive(), "the server took everything"
        (connection,) = server.server_state.connections
        assert connection.buffered() < 1 << 20
        for _ in range(total // len(message)):
            assert peer.message() == message
        thread.join(10)
