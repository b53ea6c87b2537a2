"""Handshakes that are answered before ASGI: let in at once, or left to the application."""

from __future__ import annotations

import queue
import socket
import time
from functools import partial

import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

from services.gateway.websocket import frames as framing
from services.gateway.websocket.fast_accept import Welcome
from services.gateway.websocket.protocol import LeanProtocol
from services.gateway.websocket.sniff import Door as AtTheDoor
from services.kernel.http.http_protocol import HttpProtocol
from tests.support.uvicorn_server import serving
from tests.support.websocket_peer import Peer


class Receiver:
    """Greets if it is told to, and says back what it hears."""

    def __init__(self, connection, told, greeting):
        self.connection = connection
        self.told = told
        if greeting:
            connection.send_text(greeting)

    def received_text(self, text):
        self.connection.send_text(text)

    def received_binary(self, data): ...
    def received_pong(self): ...
    def stalled(self): ...
    def writable(self): ...

    def closed(self, code, reason, clean):
        self.told.put((code, clean))


class Door:
    """A front whose answer the test chooses; remembers whom it was asked about."""

    def __init__(self):
        self.asked = queue.Queue()
        self.told = queue.Queue()
        self.greeting = b""
        self.options = {}

    def __call__(self, request, client):
        self.asked.put((request.target, client))
        return self.answer(request)

    def answer(self, request):
        del request
        return Welcome(
            lambda connection: Receiver(connection, self.told, self.greeting),
            **{"max_bytes": 1000, "greets": bool(self.greeting), **self.options},
        )


async def _app(websocket):
    await websocket.accept()
    await websocket.send_text(f"app {websocket.client.host}")
    await websocket.close(1000)


@pytest.fixture(params=[HttpProtocol, AtTheDoor])
def door(request):
    """With and without the door, which brings handshakes that uvicorn has not seen."""
    door = Door()
    app = Starlette(routes=[WebSocketRoute("/{rest:path}", _app)])
    trusted = {"proxy_headers": True, "forwarded_allow_ips": "127.0.0.1"}
    ws = partial(LeanProtocol, front=door)
    with serving(app, ws=ws, http=request.param, **trusted) as server:
        door.port = server.port
        yield door


def test_a_client_is_let_in_without_the_application(door):
    door.options = {"subprotocol": "a.v1"}
    with Peer(door.port, "/ws?x=1", subprotocols=["a.v1"]) as peer:
        assert peer.answer.subprotocol == "a.v1"
        peer.text("hello")
        assert peer.message() == "hello"
        peer.text("x" * 1001)
        assert peer.closing()[0] == 1009
    assert door.asked.get(timeout=5) == (b"/ws?x=1", "127.0.0.1")
    assert door.told.get(timeout=5) == (1009, False)


def test_what_it_has_no_answer_for_is_the_applications(door):
    door.answer = lambda _: None
    with Peer(door.port) as peer:
        assert peer.message() == "app 127.0.0.1"


@pytest.mark.parametrize(
    "forwarded", [["9.9.9.9, 8.8.8.8"], ["8.8.8.8, 127.0.0.1"], ["9.9.9.9", "8.8.8.8:99"], [""]]
)
def test_both_see_the_same_client_behind_a_trusted_proxy(door, forwarded):
    door.answer = lambda _: None
    with Peer(door.port, headers=[("X-Forwarded-For", value) for value in forwarded]) as peer:
        assert peer.message() == f"app {door.asked.get(timeout=5)[1]}"


def test_an_error_of_it_is_answered_with_500_and_the_next_one_is_served(door):
    good = door.answer
    door.answer = lambda _: 1 / 0
    with Peer(door.port) as peer:
        assert peer.status == 500
    door.answer = good
    with Peer(door.port) as peer:
        assert peer.accepted


def test_a_receiver_that_cannot_be_made_ends_its_connection_alone(door):
    door.answer = lambda _: Welcome(lambda _: 1 / 0, max_bytes=10)
    with Peer(door.port) as peer:
        assert peer.accepted
        assert peer.closing()[0] == 1011


REQUEST = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def test_a_greeting_comes_with_the_answer_in_one_piece(door):
    door.greeting = b"welcome"
    with socket.create_connection(("127.0.0.1", door.port), timeout=5) as client:
        client.sendall(REQUEST)
        answer = client.recv(65536)
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert answer.endswith(b"\r\n\r\n" + framing.text_frame(b"welcome"))


def test_an_answer_whose_greeting_is_late_goes_ahead(door):
    door.options = {"greets": True}
    began = time.monotonic()
    with Peer(door.port) as peer:
        assert peer.accepted
        assert time.monotonic() - began < 1
        peer.text("hello")
        assert peer.message() == "hello"


def test_a_client_that_goes_while_the_answer_waits_is_told_of(door):
    door.options = {"greets": True}
    with socket.create_connection(("127.0.0.1", door.port), timeout=5) as client:
        client.sendall(REQUEST)
    assert door.told.get(timeout=5) == (1006, False)
    with Peer(door.port) as peer:
        assert peer.accepted


def test_a_close_while_the_answer_waits_comes_behind_it(door):
    class Closing(Receiver):
        def __init__(self, connection):
            super().__init__(connection, door.told, b"")
            connection.close(4003, "no")

    door.answer = lambda _: Welcome(Closing, max_bytes=10, greets=True)
    with Peer(door.port) as peer:
        assert peer.accepted
        assert peer.closing() == (4003, "no")


def test_two_hundred_who_come_at_once_are_all_let_in(door):
    door.greeting = b"welcome"
    clients = [socket.create_connection(("127.0.0.1", door.port), timeout=10) for _ in range(200)]
    try:
        for client in clients:
            client.sendall(REQUEST)
        for client in clients:
            assert client.recv(65536).endswith(framing.text_frame(b"welcome"))
    finally:
        for client in clients:
            client.close()
    assert [door.told.get(timeout=5) for _ in clients] == [(1006, False)] * 200
