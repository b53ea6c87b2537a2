"""Handshakes that are answered before ASGI: accepted at once, or left to the application."""

from __future__ import annotations

import asyncio
import queue
import socket
from functools import partial

import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

from services.gateway.websocket import Acceptance, HandshakeSniffer, WebSocketProtocol, frames
from services.kernel.http.http_protocol import HttpProtocol
from tests.support.uvicorn_server import HEAD, serving
from tests.support.websocket_peer import Peer

pytestmark = pytest.mark.server


class Receiver:
    """Greets if it is told to, and says back what it hears."""

    def __init__(self, connection, closed, greeting):
        self.connection = connection
        self.closes = closed
        if greeting:
            connection.send_text(greeting)

    def received_text(self, text):
        self.connection.send_text(text)

    def received_binary(self, data): ...
    def received_pong(self): ...
    def stalled(self): ...
    def writable(self): ...
    def shutdown(self): ...

    def closed(self, code, reason, clean):
        self.closes.put((code, clean))


class Gate:
    """A fast accept whose decision the test chooses; remembers what it was asked, and whom it let in."""

    def __init__(self):
        self.asked = queue.Queue()
        self.addresses = queue.Queue()
        self.closed = queue.Queue()
        self.greeting = b""
        self.subprotocol = None
        self.greets = False

    def __call__(self, request):
        self.asked.put(request.target)
        return self.decide(request)

    def decide(self, request):
        del request
        return Acceptance(
            self.receiver, max_bytes=1000, subprotocol=self.subprotocol, greets=self.greets
        )

    def receiver(self, connection):
        self.addresses.put(connection.address)
        return Receiver(connection, self.closed, self.greeting)


async def _app(websocket):
    def say_addresses(connection):
        connection.send_text(f"{websocket.client.host} {connection.address}".encode())
        connection.close(1000)

    Acceptance(say_addresses, max_bytes=1000).complete(websocket.scope)


@pytest.fixture(params=[HttpProtocol, partial(HandshakeSniffer, http=HttpProtocol, **HEAD)])
def gate(request):
    """With and without the sniffer, which brings handshakes that uvicorn has not seen."""
    gate = Gate()
    app = Starlette(routes=[WebSocketRoute("/{rest:path}", _app)])
    trusted = {"proxy_headers": True, "forwarded_allow_ips": "127.0.0.1"}
    ws = partial(WebSocketProtocol, fast_accept=gate)
    with serving(app, ws=ws, http=request.param, **trusted) as server:
        gate.port = server.port
        yield gate


def test_a_client_is_accepted_without_the_application(gate):
    gate.subprotocol = "a.v1"
    with Peer(gate.port, "/ws?x=1", subprotocols=["a.v1"]) as peer:
        assert peer.answer.subprotocol == "a.v1"
        peer.text("hello")
        assert peer.message() == "hello"
        peer.text("x" * 1001)
        assert peer.closing()[0] == 1009
    assert gate.asked.get(timeout=30) == b"/ws?x=1"
    assert gate.addresses.get(timeout=30) == "127.0.0.1"
    assert gate.closed.get(timeout=30) == (1009, False)


def test_what_it_leaves_open_the_application_decides(gate):
    gate.decide = lambda _: None
    with Peer(gate.port) as peer:
        assert peer.message() == "127.0.0.1 127.0.0.1"


FORWARDED = [["9.9.9.9, 8.8.8.8"], ["8.8.8.8, 127.0.0.1"], ["9.9.9.9", "8.8.8.8:99"], [""]]


@pytest.mark.parametrize("forwarded", FORWARDED)
def test_the_address_behind_a_trusted_proxy_is_the_one_that_asgi_has(gate, forwarded):
    headers = [("X-Forwarded-For", value) for value in forwarded]
    with Peer(gate.port, headers=headers):
        fast = gate.addresses.get(timeout=30)
    gate.decide = lambda _: None
    with Peer(gate.port, headers=headers) as peer:
        assert peer.message() == f"{fast} {fast}"


def test_an_error_of_it_is_answered_with_500_and_the_next_one_is_served(gate):
    good = gate.decide
    gate.decide = lambda _: 1 / 0
    with Peer(gate.port) as peer:
        assert peer.status == 500
    gate.decide = good
    with Peer(gate.port) as peer:
        assert peer.accepted


def test_a_subprotocol_that_was_not_offered_is_answered_with_500(gate):
    gate.subprotocol = "never.offered"
    with Peer(gate.port) as peer:
        assert peer.status == 500


def test_a_receiver_that_cannot_be_made_ends_its_connection_alone(gate):
    gate.receiver = lambda _: 1 / 0
    with Peer(gate.port) as peer:
        assert peer.accepted
        assert peer.closing()[0] == 1011


REQUEST = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def test_what_is_sent_at_once_leaves_with_an_answer_that_waits_for_it(gate):
    gate.greeting = b"welcome"
    gate.greets = True
    with socket.create_connection(("127.0.0.1", gate.port), timeout=30) as client:
        client.sendall(REQUEST)
        answer = client.recv(65536)
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert answer.endswith(b"\r\n\r\n" + frames.text_frame(b"welcome"))


def test_what_is_sent_a_little_later_leaves_with_an_answer_that_waits_for_it(gate):
    class Late(Receiver):
        def __init__(self, connection, closed, greeting):
            super().__init__(connection, closed, b"")
            asyncio.get_running_loop().call_later(0.002, connection.send_text, b"welcome")

    gate.receiver = lambda connection: Late(connection, gate.closed, b"")
    gate.greets = True
    with socket.create_connection(("127.0.0.1", gate.port), timeout=30) as client:
        client.sendall(REQUEST)
        answer = client.recv(65536)
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert answer.endswith(b"\r\n\r\n" + frames.text_frame(b"welcome"))


def test_an_answer_whose_greeting_does_not_come_goes_ahead(gate):
    gate.greets = True
    with Peer(gate.port) as peer:
        assert peer.accepted
        peer.text("hello")
        assert peer.message() == "hello"


def test_a_client_that_goes_while_its_answer_waits_ends(gate):
    gate.greets = True
    with socket.create_connection(("127.0.0.1", gate.port), timeout=30) as client:
        client.sendall(REQUEST)
    assert gate.closed.get(timeout=30) == (1006, False)


@pytest.mark.parametrize("greets", [False, True])
def test_a_close_instead_of_a_receiver_comes_behind_the_answer(gate, greets):
    gate.greets = greets
    gate.receiver = lambda connection: connection.close(4003, "no")
    with Peer(gate.port) as peer:
        assert peer.accepted
        assert peer.closing() == (4003, "no")


def _received(client, end):
    """Whether what the client receives ends so; answer and message may come in two pieces."""
    data = b""
    while not data.endswith(end) and (piece := client.recv(65536)):
        data += piece
    return data.endswith(end)


def test_two_hundred_clients_at_once_are_all_accepted(gate):
    gate.greeting = b"welcome"
    clients = [socket.create_connection(("127.0.0.1", gate.port), timeout=30) for _ in range(200)]
    try:
        for client in clients:
            client.sendall(REQUEST)
        for client in clients:
            assert _received(client, b"\r\n\r\n" + frames.text_frame(b"welcome"))
    finally:
        for client in clients:
            client.close()
    assert [gate.closed.get(timeout=30) for _ in clients] == [(1006, False)] * 200
