"""The sniffer: a whole handshake skips the HTTP parser, everything else gets from it what it always got."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from contextlib import ExitStack
from functools import partial

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute

from services.gateway.websocket import Acceptance, HandshakeSniffer, WebSocketProtocol, handshake
from services.gateway.websocket.slicer import SLICE
from services.gateway.websocket.uvicorn_names import ServerState
from services.kernel.http.http_protocol import HttpProtocol
from tests.support.uvicorn_server import HEAD, serving
from tests.support.waiting import wait_until
from tests.support.websocket_peer import Peer

pytestmark = pytest.mark.server


class Noted(HttpProtocol):
    """Notes that it was made."""

    made = 0

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        Noted.made += 1


SNIFFER = partial(HandshakeSniffer, http=Noted, **HEAD)


async def _socket(websocket):
    def say_path(connection):
        connection.send_text(websocket.url.path.encode())
        connection.close(1000)

    Acceptance(say_path, max_bytes=1000).complete(websocket.scope)


async def _page(request):
    return PlainTextResponse(f"{request.method} {request.url.path} {await request.body()!r}")


def _application():
    pages = Route("/{rest:path}", _page, methods=["GET", "POST"])
    return Starlette(routes=[WebSocketRoute("/{rest:path}", _socket), pages])


@pytest.fixture(scope="module")
def servers():
    """The same application behind a sniffer and without one."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(serving(_application(), ws=WebSocketProtocol, http=http))
            for http in (SNIFFER, HttpProtocol)
        ]


@pytest.fixture
def server(servers):
    return servers[0]


@pytest.fixture
def parsers(monkeypatch):
    """How many HTTP parsers the sniffer has made."""
    monkeypatch.setattr(Noted, "made", 0)
    return lambda: Noted.made


def head(line="GET /ws HTTP/1.1", **changes):
    """A handshake's bytes; a header that is None is left out, a list comes several times."""
    headers = {
        "Host": "x",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
    }
    headers |= {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [line]
    for name, value in headers.items():
        values = value if isinstance(value, list) else [value]
        lines += [f"{name}: {item}" for item in values if item is not None]
    return "\r\n".join([*lines, "", ""]).encode()


def answer(server, *pieces, patience=0.15, until=b""):
    """All that a server says to these bytes until it has been silent for so long, but for the time of day.

    It is not silent before it has said what `until` matches.
    """
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        for piece in pieces:
            client.sendall(piece)
            time.sleep(0.02)
        data = b""
        try:
            while True:
                client.settimeout(patience if re.search(until, data, re.DOTALL) else 30)
                if not (chunk := client.recv(65536)):
                    break
                data += chunk
        except (TimeoutError, ConnectionResetError):
            data += b"(silence)"
    return re.sub(rb"date: [^\r]+", b"date: now", data)


def test_a_whole_handshake_skips_the_http_parser(server, parsers):
    with Peer(server.port, "/ws/here") as peer:
        assert peer.message() == "/ws/here"
    assert not parsers()


@pytest.mark.parametrize(
    "connection", ["Upgrade", "upgrade", "keep-alive, Upgrade", "upgrade,keep-alive"]
)
def test_as_browsers_and_proxies_put_it(server, parsers, connection):
    said = answer(server, head(Connection=connection), until=b"\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 101 ")
    assert not parsers()


HANDSHAKE = head()
ODD = {
    "in two pieces": [HANDSHAKE[:40], HANDSHAKE[40:]],
    "in three pieces": [HANDSHAKE[:2], HANDSHAKE[2:-2], HANDSHAKE[-2:]],
    "with a frame behind it": [HANDSHAKE + b"\x81\x80\x00\x00\x00\x00"],
    "with another one behind it": [HANDSHAKE + HANDSHAKE],
    "twice": [HANDSHAKE, HANDSHAKE],
    "with a body": [head(Content_Length="2") + b"hi"],
    "with the length of a body": [head(Content_Length="2")],
    "with no body": [head(Content_Length="0")],
    "in chunks": [head(Transfer_Encoding="chunked")],
    "expecting": [head(Expect="100-continue")],
    "of HTTP/1.0": [head("GET /ws HTTP/1.0")],
    "of HTTP/2.0": [head("GET /ws HTTP/2.0")],
    "by POST": [head("POST /ws HTTP/1.1")],
    "by nonsense": [head("GOT /ws HTTP/1.1")],
    "of a whole address": [head("GET http://x/ws HTTP/1.1")],
    "of a path that is none": [head("GET ws HTTP/1.1")],
    "of an encoded path": [head("GET /w%73?a=%20 HTTP/1.1")],
    "without a host": [head(Host=None)],
    "without an upgrade": [head(Upgrade=None)],
    "of something else": [head(Upgrade="h2c")],
    "of one of two things": [head(Upgrade="websocket, h2c")],
    "of one of two lines": [head(Upgrade=["websocket", "h2c"])],
    "that does not upgrade": [head(Connection="keep-alive")],
    "that closes": [head(Connection="close")],
    "without a connection": [head(Connection=None)],
    "of an old version": [head(Sec_WebSocket_Version="8")],
    "without a version": [head(Sec_WebSocket_Version=None)],
    "without a key": [head(Sec_WebSocket_Key=None)],
    "with a bad key": [head(Sec_WebSocket_Key="x")],
    "with two keys": [head(Sec_WebSocket_Key=["dGhlIHNhbXBsZSBub25jZQ=="] * 2)],
    "with a header that has no name": [head().replace(b"Host: x", b": x")],
    "with a header of two lines": [head().replace(b"Host: x", b"Host: x\r\n y")],
    "with a bad header": [head().replace(b"Host: x", b"Ho st: x")],
    "with a zero in it": [head().replace(b"Host: x", b"Host: x\0")],
    "with lines that end early": [head().replace(b"\r\n", b"\n")],
    "of ten thousand bytes": [head("GET /ws?" + "x" * 10_000 + " HTTP/1.1")],
    "a page": [b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n"],
    "two pages": [b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n" * 2],
    "one page after the other": [b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n"] * 2,
    "a page, then a handshake": [b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n", HANDSHAKE],
    "a form": [b"POST /page HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"],
    "a form in pieces": [b"POST /page HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n", b"body"],
    "noise": [b"\x16\x03\x01\x02\x00\x01\x00"],
    "a word": [b"GET \r\n\r\n"],
    "a letter": [b"G"],
}


def test_a_request_for_a_page_does_reach_the_http_parser(server, parsers):
    assert b"200 OK" in answer(server, b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n", until=b"200 OK")
    assert parsers() == 1


@pytest.mark.parametrize("pieces", ODD.values(), ids=ODD.keys())
def test_everything_else_is_answered_as_without_a_sniffer(servers, pieces):
    for patience in (0.15, 1, 3):  # on a busy machine an answer may come after a moment of silence
        behind, without = (answer(server, *pieces, patience=patience) for server in servers)
        if behind == without:
            break
    assert behind == without


ALIVE = b"HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


def test_whether_it_lives_is_answered_without_a_parser_and_a_handshake_may_follow(server, parsers):
    said = answer(server, ALIVE, ALIVE, HANDSHAKE, until=b"HTTP/1.1 101 ")
    assert said.startswith(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n" * 2 + b"HTTP/1.1 101 ")
    assert not parsers()


def test_after_the_question_whether_it_lives_other_requests_reach_the_parser(server, parsers):
    page = b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n"
    assert answer(server, ALIVE, page, until=b"200 OK.*200 OK").count(b"200 OK") == 2
    assert parsers() == 1


@pytest.mark.parametrize(
    "odd",
    [
        ALIVE[:-2] + b"Connection: close\r\n\r\n",
        ALIVE[:-2] + b"Content-Length: 2\r\n\r\nhi",
        ALIVE + ALIVE,
        ALIVE[:-2],
        ALIVE.replace(b"1.1", b"1.0"),
    ],
)
def test_an_unusual_question_whether_it_lives_is_the_parsers(server, parsers, odd):
    answer(server, odd)
    wait_until(parsers)
    assert parsers() == 1


def test_who_says_nothing_is_counted_until_it_leaves(server):
    state = server.server_state
    with socket.create_connection(("127.0.0.1", server.port), timeout=30):
        wait_until(lambda: [type(item) for item in state.connections] == [HandshakeSniffer])
    wait_until(lambda: not state.connections)


def test_who_says_nothing_is_cut_off():
    hasty = partial(SNIFFER, head_seconds=0.1)
    with (
        serving(_application(), ws=WebSocketProtocol, http=hasty) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=30) as client,
    ):
        assert client.recv(1) == b""


@pytest.mark.parametrize("header", [b"x:\r\n" * 300, b"x: " + b"y" * 140_000 + b"\r\n"])
def test_a_handshake_that_is_too_large_is_refused(server, header):
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        client.sendall(head()[:-2] + header + b"\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("bound", [{"head_bytes": 100}, {"head_lines": 3}], ids=["bytes", "lines"])
def test_what_is_larger_than_the_server_was_told_is_left_to_the_parser(parsers, bound):
    small = partial(SNIFFER, **bound)
    with (
        serving(_application(), ws=WebSocketProtocol, http=small) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=30) as client,
    ):
        client.sendall(head())
        assert client.recv(65536).startswith(b"HTTP/1.1 101 ")
    assert parsers() == 1


def test_who_says_nothing_does_not_keep_the_server_from_stopping():
    # A server that waited for who is there would not stop within the patience of whoever has started it.
    patient = {"timeout_graceful_shutdown": 100}
    with ExitStack() as stack:
        with serving(_application(), ws=WebSocketProtocol, http=SNIFFER, **patient) as server:
            client = socket.create_connection(("127.0.0.1", server.port), timeout=30)
            stack.enter_context(client)
            wait_until(lambda: server.server_state.connections)
        assert client.recv(1) == b""


class Wire(asyncio.Transport):
    """Writes down what is written and whose it is; `paused` while it is not read."""

    def __init__(self):
        super().__init__()
        self.written = b""
        self.paused = False
        self.protocol = None

    def set_protocol(self, protocol):
        self.protocol = protocol

    def write(self, data):
        self.written += data

    def pause_reading(self):
        self.paused = True

    def resume_reading(self):
        self.paused = False

    def is_closing(self):
        return False

    def set_write_buffer_limits(self, high=None, low=None): ...


class Heard(asyncio.Protocol):
    """An HTTP class that only listens."""

    def __init__(self, **_options):
        self.data = b""

    def data_received(self, data):
        self.data += data


def sniffing(state):
    """A sniffer on a wire, whose handshakes are all let in."""

    def let_in(_request):
        return Acceptance(lambda _connection: None, max_bytes=100)

    config = uvicorn.Config(_application(), ws=partial(WebSocketProtocol, fast_accept=let_in))
    config.load()
    sniffer, wire = HandshakeSniffer(config, state, {}, http=Heard, **HEAD), Wire()
    sniffer.connection_made(wire)
    return sniffer, wire


async def test_handshakes_that_come_together_are_taken_apart_in_turns(monkeypatch):
    now, read = 0.0, handshake.parse
    state = ServerState()

    def parse(data):
        nonlocal now
        now += SLICE / 10
        return read(data)

    monkeypatch.setattr(handshake, "parse", parse)
    comers = [sniffing(state) for _ in range(100)]
    comers[0][0].data_received(head())
    comers[0][1].protocol._shared.slicer.clock = lambda: now
    for sniffer, _ in comers[1:]:
        sniffer.data_received(head())
    assert not now  # where the loop reads, nothing is taken apart
    longest = before = 0.0
    while not all(wire.written.startswith(b"HTTP/1.1 101") for _, wire in comers):
        await asyncio.sleep(0)
        longest, before = max(longest, now - before), now
        assert longest < 2 * SLICE
    assert now > 9 * SLICE


async def test_what_only_looks_like_a_handshake_is_given_back_whole():
    sniffer, wire = sniffing(ServerState())
    odd = head(**{"Sec-WebSocket-Version": "12"})
    sniffer.data_received(odd)
    waiting = wire.protocol
    waiting.data_received(b"GET /next")
    assert wire.paused
    for _ in range(3):
        await asyncio.sleep(0)
    assert wire.protocol.data == odd + b"GET /next"
    assert not wire.paused
