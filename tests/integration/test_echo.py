"""/ws/echo on real servers: lean, on asyncio's own loop, and on the test client's plain ASGI messages."""

from __future__ import annotations

import queue
import threading
import warnings

import pytest
from starlette.applications import Starlette
from starlette.websockets import WebSocketDisconnect
from wsproto.events import Message

from services.gateway.transports.echo import echo_route
from services.gateway.websocket.protocol import LeanProtocol
from tests.support.uvicorn_server import serving
from tests.support.websocket_peer import Peer

MAX_BYTES = 1 << 20


def application(max_bytes=MAX_BYTES, **options):
    return Starlette(routes=[echo_route(max_bytes, **options)])


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_text_and_binary_come_back_unchanged_on_either_loop(loop):
    with serving(application(), ws=LeanProtocol, loop=loop) as server, Peer(server.port) as peer:
        peer.text("hé")
        peer.send(Message(data=b"\x00\xff"))
        peer.send(Message(data=b"x" * MAX_BYTES))
        assert [peer.message() for _ in range(3)] == ["hé", b"\x00\xff", b"x" * MAX_BYTES]
        peer.send(Message(data=b"x" * (MAX_BYTES + 1)))
        assert peer.closing()[0] == 1009


def test_on_plain_asgi_messages():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it would prefer another HTTP client
        from starlette.testclient import TestClient  # noqa: PLC0415
    with TestClient(application()) as client, client.websocket_connect("/ws/echo") as websocket:
        websocket.send_text("hé")
        websocket.send_bytes(b"\xff")
        assert websocket.receive_text() == "hé"
        assert websocket.receive_bytes() == b"\xff"
        websocket.send_bytes(b"x" * (MAX_BYTES + 1))
        with pytest.raises(WebSocketDisconnect) as caught:
            websocket.receive_text()
        assert caught.value.code == 1009


def test_a_limit_of_zero_switches_it_off():
    with serving(application(0), ws=LeanProtocol) as server, Peer(server.port) as peer:
        assert peer.status == 404


def test_a_client_over_the_address_limit_reads_why_and_a_place_is_given_back():
    free = {"127.0.0.1": 1}
    released = queue.Queue()

    def admit(address):
        if not free[address]:
            return None
        free[address] -= 1

        def release():
            free[address] += 1
            released.put(address)

        return release

    with serving(application(admit=admit), ws=LeanProtocol) as server:
        with Peer(server.port) as first, Peer(server.port) as second:
            assert second.closing() == (4006, "too many connections from this address")
            first.text("first")
            assert first.message() == "first"
            first.close()
        assert released.get(timeout=10) == "127.0.0.1"
        with Peer(server.port) as third:
            third.text("third")
            assert third.message() == "third"


def test_a_client_that_does_not_read_is_not_read_from():
    """What the server holds for it is bounded, and every byte comes back once it reads."""
    total = 40 << 20
    message = b"x" * (1 << 16)
    with (
        serving(application(), ws=LeanProtocol) as server,
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
