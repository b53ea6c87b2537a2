"""A connection's life on a real server: handshake, acceptance, backpressure, and every way in which it can end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import queue
import socket
import time
import weakref
from functools import partial

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import WebSocketRoute
from wsproto.events import CloseConnection, Ping, Pong

from services.gateway.websocket import (
    Acceptance,
    HandshakeSniffer,
    WebSocketProtocol,
    frames,
    protocol,
)
from services.gateway.websocket import connection as connection_module
from services.gateway.websocket.slicer import SLICE
from services.kernel.http.http_protocol import HttpProtocol
from tests.support.uvicorn_server import HEAD, serving
from tests.support.waiting import wait_until
from tests.support.websocket_peer import Peer, frame

pytestmark = pytest.mark.server

MAX_BYTES = 1 << 20


class Recorder:
    """A receiver that writes down what it gets, for another thread to wait on."""

    def __init__(self, connection, calls, *, raises=False):
        self.connection = connection
        self.calls = calls
        self.raises = raises

    def received_text(self, text):
        self.calls.put(("text", text))
        if self.raises:
            raise ValueError("a bug in a session")

    def received_binary(self, data):
        self.calls.put(("binary", data))

    def received_pong(self):
        self.calls.put(("pong",))

    def stalled(self):
        self.calls.put(("stalled",))

    def writable(self):
        self.calls.put(("writable",))

    def shutdown(self):
        self.connection.close(4100, "3")

    def closed(self, code, reason, clean):
        self.calls.put(("closed", code, reason, clean))


class Slow(Recorder):
    """Takes its time for each message, and writes down the loop's turns as well."""

    def __init__(self, connection, calls, *, pauses=False):
        super().__init__(connection, calls)
        self.pauses = pauses

    def received_text(self, text):
        if self.pauses:
            self.connection.pause_reading()
        time.sleep(2 * SLICE)
        super().received_text(text)
        asyncio.get_running_loop().call_soon(self.calls.put, ("turn",))


class Stage:
    """A server whose endpoint the test chooses; remembers loop, connections and what receivers got."""

    def __init__(self):
        self.calls = queue.Queue()
        self.connections = queue.Queue()
        self.receiver = Recorder
        self.options = {}
        self.endpoint = self.accept
        self.app = Starlette(routes=[WebSocketRoute("/{rest:path}", self._route)])

    async def _route(self, websocket):
        self.loop = asyncio.get_running_loop()
        await self.endpoint(websocket)

    async def accept(self, websocket, **options):
        Acceptance(self.make, max_bytes=MAX_BYTES, **options).complete(websocket.scope)

    def make(self, connection):
        self.connections.put(connection)
        return self.receiver(connection, self.calls, **self.options)

    def call(self, function, *args):
        """Run a function on the server's loop and wait for its result."""

        async def run():
            return function(*args)

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(30)

    def got(self):
        return self.calls.get(timeout=30)

    def silent(self):
        """Nothing more came; a round trip through the loop lets it come."""
        self.call(lambda: None)
        return self.calls.empty()


@pytest.fixture
def stage():
    stage = Stage()
    with serving(
        stage.app, ws=WebSocketProtocol, http=partial(HandshakeSniffer, http=HttpProtocol, **HEAD)
    ) as server:
        stage.port, stage.server = server.port, server
        yield stage


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(connection_module, "CLOSE_TIMEOUT", 0.1)
    monkeypatch.setattr(protocol, "CLOSE_TIMEOUT", 0.1)


# Handshake


def answer(port, request):
    """What the server says to raw request bytes, up to its end of the stream or the end of the headers of a 101."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(request)
        data = b""
        while not (data.startswith(b"HTTP/1.1 101") and b"\r\n\r\n" in data):
            chunk = client.recv(65536)
            if not chunk:
                break
            data += chunk
    return data


def request(**changes):
    headers = {
        "Host": "x",
        "Upgrade": "websocket",
        "Connection": "keep-alive, Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
    }
    headers |= {name.replace("_", "-"): value for name, value in changes.items() if name != "line"}
    lines = [changes.get("line", "GET /ws HTTP/1.1")]
    lines += [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join([*lines, "", ""]).encode()


def test_the_sample_handshake_of_the_rfc(stage):
    data = answer(stage.port, request())
    assert data.startswith(b"HTTP/1.1 101 ")
    assert b"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in data


def test_a_handshake_that_waited_too_long_for_its_turn_is_refused_and_counted(stage, monkeypatch):
    refused = queue.Queue()
    defaults = WebSocketProtocol.__init__.__kwdefaults__
    monkeypatch.setitem(defaults, "crowded", lambda: refused.put("crowded"))
    assert answer(stage.port, request()).startswith(b"HTTP/1.1 101 ")
    monkeypatch.setattr(protocol, "QUEUE_SECONDS", -1)
    data = answer(stage.port, request())
    assert data.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 2\r\n" in data
    assert (refused.get(timeout=30), refused.empty()) == ("crowded", True)
    monkeypatch.setitem(defaults, "crowded", None)
    assert answer(stage.port, request()).startswith(b"HTTP/1.1 503 ")


def test_no_extension_is_ever_agreed(stage):
    data = answer(stage.port, request(Sec_WebSocket_Extensions="permessage-deflate"))
    assert data.startswith(b"HTTP/1.1 101 ")
    assert b"sec-websocket-extensions" not in data.lower()


def test_another_version_is_answered_with_426_and_ours(stage):
    data = answer(stage.port, request(Sec_WebSocket_Version="8"))
    assert data.startswith(b"HTTP/1.1 426 ")
    assert b"sec-websocket-version: 13\r\n" in data


@pytest.mark.parametrize(
    "changes",
    [
        {"Sec_WebSocket_Key": "short"},
        {"Sec_WebSocket_Key": "AAAA"},
        {"Sec_WebSocket_Key": None},
        {"Host": None},
        {"line": "POST /ws HTTP/1.1"},
        {"line": "GET http:// HTTP/1.1"},
    ],
)
def test_an_invalid_handshake_is_answered_with_400(stage, changes):
    assert answer(stage.port, request(**changes)).startswith(b"HTTP/1.1 400 ")


def test_an_empty_subprotocol_header_offers_nothing(stage):
    assert answer(stage.port, request(Sec_WebSocket_Protocol="")).startswith(b"HTTP/1.1 101 ")


def test_the_app_chooses_a_subprotocol(stage):
    async def endpoint(websocket):
        assert websocket.scope["subprotocols"] == ["a.v1", "b.v1"]
        await stage.accept(websocket, subprotocol="b.v1")

    stage.endpoint = endpoint
    with Peer(stage.port, subprotocols=["a.v1", "b.v1"]) as peer:
        assert peer.answer.subprotocol == "b.v1"


def test_the_scope_says_what_asgi_asks_for(stage):
    async def endpoint(websocket):
        scope = websocket.scope
        stage.calls.put({key: scope[key] for key in ("path", "raw_path", "query_string", "scheme")})
        stage.calls.put((scope["client"], scope["server"], dict(scope["headers"])[b"x-a"]))
        await websocket.close()

    stage.endpoint = endpoint
    with Peer(stage.port, "/r%C3%A4um?a=%20b", headers=[("x-a", "1")]) as peer:
        client = peer.socket.getsockname()
    assert stage.got() == {
        "path": "/räum",
        "raw_path": b"/r%C3%A4um",
        "query_string": b"a=%20b",
        "scheme": "ws",
    }
    assert stage.got() == (client, ("127.0.0.1", stage.port), b"1")


def test_the_address_is_the_one_a_trusted_proxy_names(stage):
    with Peer(stage.port, headers=[("x-forwarded-for", "192.0.2.7")]):
        assert stage.connections.get(timeout=30).address == "192.0.2.7"


def test_a_denial_is_any_http_answer(stage):
    async def endpoint(websocket):
        await websocket.send_denial_response(
            JSONResponse({"code": "unauthorized"}, 401, {"www-authenticate": "Bearer"})
        )

    stage.endpoint = endpoint
    with Peer(stage.port) as peer:
        assert peer.status == 401
        assert (b"www-authenticate", b"Bearer") in peer.answer.headers
        assert peer.body() == b'{"code":"unauthorized"}'
        peer.ended()
    wait_until(lambda: not stage.server.server_state.connections)


def test_a_close_before_accept_is_403(stage):
    stage.endpoint = lambda websocket: websocket.close(4001)
    with Peer(stage.port) as peer:
        assert peer.status == 403


@pytest.mark.parametrize("ending", ["raise", "return", "subprotocol"])
def test_an_app_that_fails_before_accept_is_500(stage, ending):
    async def endpoint(websocket):
        if ending == "raise":
            raise ValueError("a bug")
        if ending == "subprotocol":
            await stage.accept(websocket, subprotocol="never.offered")

    stage.endpoint = endpoint
    with Peer(stage.port) as peer:
        assert peer.status == 500


def test_a_handshake_that_takes_too_long_is_503(stage, quick, monkeypatch):
    monkeypatch.setitem(WebSocketProtocol.__init__.__kwdefaults__, "handshake_seconds", 0.1)
    stage.endpoint = lambda _: asyncio.sleep(60)
    with Peer(stage.port) as peer:
        assert peer.status == 503
    wait_until(lambda: not stage.server.server_state.tasks)


def test_a_client_that_gives_up_during_the_handshake_leaves_nothing(stage):
    async def endpoint(websocket):
        await websocket.receive()
        stage.calls.put("waiting")
        assert (await websocket.receive())["type"] == "websocket.disconnect"
        stage.calls.put("gone")

    stage.endpoint = endpoint
    with socket.create_connection(("127.0.0.1", stage.port)) as client:
        client.sendall(request())
        assert stage.got() == "waiting"
    assert stage.got() == "gone"
    wait_until(
        lambda: not (stage.server.server_state.connections or stage.server.server_state.tasks)
    )


def test_a_denial_may_come_in_pieces_and_ends_with_them(stage):
    async def endpoint(websocket):
        await websocket.receive()
        start = {"type": "websocket.http.response.start", "status": 429, "headers": []}
        await websocket.send(start)
        body = {"type": "websocket.http.response.body", "body": b"slow "}
        await websocket.send(body | {"more_body": True})
        await websocket.send(body | {"body": b"down"})
        await stage.accept(websocket)  # too late: nothing happens
        stage.calls.put("too late")

    stage.endpoint = endpoint
    with Peer(stage.port) as peer:
        assert (peer.status, peer.body()) == (429, b"slow down")
        assert stage.got() == "too late"


@pytest.mark.parametrize(
    "kinds",
    [
        ["websocket.send"],
        ["websocket.accept"],
        ["websocket.http.response.body"],
        ["websocket.http.response.start", "websocket.accept"],
    ],
)
def test_messages_out_of_turn_are_the_apps_error(stage, kinds):
    async def endpoint(websocket):
        for kind in kinds:
            await websocket._send({"type": kind, "status": 401})

    stage.endpoint = endpoint
    with Peer(stage.port) as peer:
        assert peer.status == 500


def test_an_app_cancelled_by_the_stopping_server_answers_503(stage):
    async def endpoint(_):
        stage.calls.put(asyncio.current_task())
        await asyncio.sleep(60)

    stage.endpoint = endpoint
    with socket.create_connection(("127.0.0.1", stage.port), timeout=30) as client:
        client.sendall(request())
        stage.call(stage.got().cancel)
        assert client.recv(100).startswith(b"HTTP/1.1 503 ")


def test_an_app_on_another_server_is_told_what_to_serve_it_with():
    with pytest.raises(RuntimeError, match="ws=WebSocketProtocol"):
        Acceptance(lambda _: None, max_bytes=1).complete({"type": "websocket"})


# Acceptance


def test_after_the_acceptance_no_task_and_no_uvicorn_object_is_left(stage):
    with Peer(stage.port) as peer:
        connection = stage.connections.get(timeout=30)
        wait_until(lambda: not stage.server.server_state.tasks)
        gc.collect()
        assert not [
            item
            for item in gc.get_objects()
            if type(item) in (HandshakeSniffer, HttpProtocol, WebSocketProtocol)
        ]
        assert stage.server.server_state.connections == {connection}
        assert connection._cut_off is None
        peer.text("still here")
        assert stage.got() == ("text", b"still here")


def test_a_connection_and_its_receiver_are_freed_when_it_is_over(stage):
    with Peer(stage.port):
        receiver = weakref.ref(stage.connections.get(timeout=30)._receiver)
    assert stage.got() == ("closed", 1006, "", False)
    wait_until(lambda: gc.collect() >= 0 and receiver() is None)


def test_nagle_is_off(stage):
    with Peer(stage.port):
        transport = stage.connections.get(timeout=30)._transport
        sock = transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_what_arrives_before_the_answer_is_delivered_in_order(stage):
    go = asyncio.Event()

    async def endpoint(websocket):
        stage.calls.put("running")
        await go.wait()
        await stage.accept(websocket)

    stage.endpoint = endpoint
    with socket.create_connection(("127.0.0.1", stage.port), timeout=30) as client:
        client.sendall(request())
        assert stage.got() == "running"
        client.sendall(frame(1, b"early"))
        time.sleep(0.05)
        stage.call(go.set)
        assert stage.got() == ("text", b"early")
        client.sendall(frame(1, b"and more"))
        assert stage.got() == ("text", b"and more")


def test_a_connection_that_is_closed_while_its_receiver_is_made_ends(stage):
    class Closing(Recorder):
        def __init__(self, connection, calls):
            super().__init__(connection, calls)
            connection.close(4006, "full")

    stage.receiver = Closing
    with Peer(stage.port) as peer:
        assert peer.closing() == (4006, "full")
    assert stage.got() == ("closed", 4006, "full", False)
    assert stage.silent()
    wait_until(lambda: not stage.server.server_state.connections)


def test_a_client_that_leaves_before_the_answer_gets_no_receiver(stage):
    go = asyncio.Event()

    async def endpoint(websocket):
        stage.calls.put("running")
        await go.wait()
        await stage.accept(websocket)
        stage.calls.put("done")

    stage.endpoint = endpoint
    with socket.create_connection(("127.0.0.1", stage.port), timeout=30) as client:
        client.sendall(request())
        assert stage.got() == "running"
    wait_until(lambda: not stage.server.server_state.connections)
    stage.call(go.set)
    assert stage.got() == "done"
    assert stage.connections.empty()


def test_completing_a_handshake_twice_is_refused(stage):
    async def endpoint(websocket):
        await stage.accept(websocket)
        with pytest.raises(RuntimeError, match="answered already"):
            await stage.accept(websocket)
        with pytest.raises(RuntimeError, match="after the handshake's answer"):
            await websocket.close()
        stage.calls.put("refused")

    stage.endpoint = endpoint
    with Peer(stage.port):
        assert stage.got() == "refused"


def test_an_app_that_fails_after_the_answer_leaves_the_connection_alone(stage):
    async def endpoint(websocket):
        await stage.accept(websocket)
        raise ValueError("a bug")

    stage.endpoint = endpoint
    with Peer(stage.port) as peer:
        wait_until(lambda: not stage.server.server_state.tasks)
        peer.text("still here")
        assert stage.got() == ("text", b"still here")


def test_messages_go_both_ways(stage):
    with Peer(stage.port) as peer:
        connection = stage.connections.get(timeout=30)
        peer.raw(frame(1, b"text") + frame(2, b"\xff") + frame(10))
        assert [stage.got() for _ in range(3)] == [
            ("text", b"text"),
            ("binary", b"\xff"),
            ("pong",),
        ]
        stage.call(connection.send_text, b"a")
        stage.call(connection.send_binary, b"\xfe")
        stage.call(connection.send_frame, frames.text_frame(b"x") + frames.text_frame(b"y"))
        assert [peer.message() for _ in range(4)] == ["a", b"\xfe", "x", "y"]
        stage.call(connection.ping)
        assert peer.event(Ping)


# Backpressure


def test_a_peer_that_does_not_read_stalls_and_drains(stage):
    with Peer(stage.port, receive_buffer=4096) as peer:
        connection = stage.connections.get(timeout=30)
        sent = 0
        while stage.calls.empty():
            stage.call(connection.send_binary, b"x" * 100_000)
            sent += 1
        assert stage.got() == ("stalled",)
        assert stage.call(connection.buffered) > 64 * 1024
        for _ in range(sent):
            assert len(peer.message()) == 100_000
        assert stage.got() == ("writable",)
        assert stage.call(connection.buffered) == 0


def test_pings_of_a_peer_that_does_not_read_cost_one_pong(stage):
    with Peer(stage.port, receive_buffer=4096) as peer:
        connection = stage.connections.get(timeout=30)
        while stage.calls.empty():
            stage.call(connection.send_binary, b"x" * 100_000)
        before = stage.call(connection.buffered)
        peer.raw(b"".join(frame(9, b"%05d" % i) for i in range(10_000)), frame(1, b"done"))
        assert stage.got() == ("stalled",)
        assert stage.got() == ("text", b"done")
        assert stage.call(connection.buffered) <= before
        assert bytes(peer.event(Pong).payload) == b"09999"


def test_a_paused_connection_reads_on_when_resumed(stage):
    with Peer(stage.port) as peer:
        connection = stage.connections.get(timeout=30)
        stage.call(connection.pause_reading)
        peer.text("later")
        time.sleep(0.05)
        assert stage.silent()
        stage.call(connection.resume_reading)
        assert stage.got() == ("text", b"later")


def test_a_peer_whose_messages_are_costly_lets_others_have_their_turns(stage):
    stage.receiver = Slow
    in_a_turn = [0]
    with Peer(stage.port) as peer:
        peer.raw(frame(1, b"x" * 65_000) * 64, frame(8, b"\x03\xe8"))
        while (got := stage.got())[0] != "closed":
            if got == ("turn",):
                in_a_turn.append(0)
            else:
                in_a_turn[-1] += 1
    # uvloop reads 256,000 bytes at once, and would do so 32 times in a row.
    assert (sum(in_a_turn), max(in_a_turn) <= 2) == (64, True)
    assert got == ("closed", 1000, "", True)


def test_what_is_costly_is_not_read_on_while_it_is_paused(stage):
    stage.receiver, stage.options = Slow, {"pauses": True}
    with Peer(stage.port) as peer:
        connection = stage.connections.get(timeout=30)
        peer.text("now")
        assert [stage.got(), stage.got()] == [("text", b"now"), ("turn",)]
        peer.text("later")
        time.sleep(0.05)
        assert stage.silent()
        stage.call(connection.resume_reading)
        assert stage.got() == ("text", b"later")


# Endings


def test_the_peer_closes(stage):
    with Peer(stage.port) as peer:
        peer.raw(frame(8, b"\x0f\xa0bye"))
        assert stage.got() == ("closed", 4000, "bye", True)
        assert peer.closing()[0] == 4000
    wait_until(lambda: not stage.server.server_state.connections)
    assert stage.silent()


def test_the_peer_vanishes(stage):
    with Peer(stage.port):
        connection = stage.connections.get(timeout=30)
    assert stage.got() == ("closed", 1006, "", False)
    for call in (connection.ping, connection.abort, connection.resume_reading, connection.buffered):
        stage.call(call)
    stage.call(connection.send_text, b"nobody")
    stage.call(connection.close, 1000)
    assert connection.closing
    assert stage.silent()


def test_the_server_closes_and_the_peer_answers(stage):
    with Peer(stage.port) as peer:
        connection = stage.connections.get(timeout=30)
        stage.call(connection.send_text, b"last")
        stage.call(connection.close, 4101, "slow")
        stage.call(connection.close, 1000)
        stage.call(connection.send_text, b"too late")
        peer.raw(frame(1, b"ignored"))
        assert peer.message() == "last"
        assert peer.closing() == (4101, "slow")
    assert stage.got() == ("closed", 4101, "slow", True)
    assert stage.silent()


def test_a_peer_that_does_not_answer_a_close_is_cut_off(stage):
    with Peer(stage.port) as peer:
        connection = stage.connections.get(timeout=30)
        stage.call(partial(connection.close, 4102, patience=0.1))
        assert stage.got() == ("closed", 4102, "", False)
        peer.ended()
    assert not stage.server.server_state.connections
    assert connection._cut_off is None


def test_a_peer_that_reads_nothing_is_cut_off_after_its_own_close(stage, quick):
    with Peer(stage.port, receive_buffer=4096) as peer:
        connection = stage.connections.get(timeout=30)
        while stage.calls.empty():
            stage.call(connection.send_binary, b"x" * 100_000)
        peer.raw(frame(8, b"\x03\xe8"))
        assert [stage.got(), stage.got()] == [("stalled",), ("closed", 1000, "", True)]
        wait_until(lambda: not stage.server.server_state.connections)


def test_an_abort_drops_the_connection(stage):
    with Peer(stage.port) as peer:
        stage.call(stage.connections.get(timeout=30).abort)
        peer.ended()
    assert stage.got() == ("closed", 1006, "", False)


def test_a_violation_tells_both_sides_why(stage):
    with Peer(stage.port) as peer:
        peer.raw(frame(1, b"good") + frame(3), frame(1, b"x" * 100_000))
        assert stage.got() == ("text", b"good")
        code, reason, clean = stage.got()[1:]
        assert (code, clean) == (1002, False)
        assert peer.closing() == (1002, reason)
    wait_until(lambda: not stage.server.server_state.connections)
    assert stage.silent()


def test_a_violator_may_send_to_its_end(stage):
    """nginx would close its client's connection as soon as one side of ours closes, and the close frame might be lost."""
    with Peer(stage.port) as peer:
        began = time.monotonic()
        peer.raw(frame(3))
        assert peer.event(CloseConnection).code == 1002
        peer.ended()
        assert time.monotonic() - began > connection_module.QUIET / 2


def test_a_violator_that_sends_on_is_cut_off(stage, monkeypatch):
    monkeypatch.setattr(connection_module, "QUIET", 0.1)
    monkeypatch.setattr(connection_module, "CLOSE_TIMEOUT", 0.5)
    with Peer(stage.port) as peer:
        peer.raw(frame(3))

        def over():
            with contextlib.suppress(OSError):
                peer.raw(b"x")
            return not stage.server.server_state.connections

        wait_until(over)


def test_a_violator_that_stays_is_cut_off(stage, quick):
    with Peer(stage.port) as peer:
        peer.raw(frame(3))
        assert stage.got()[:2] == ("closed", 1002)
        wait_until(lambda: not stage.server.server_state.connections)


def test_a_violation_while_closing_hangs_up(stage):
    with Peer(stage.port) as peer:
        stage.call(stage.connections.get(timeout=30).close, 4100)
        peer.raw(frame(3))
        peer.ended()
    assert stage.got()[:2] == ("closed", 1002)


def test_a_receiver_that_raises_costs_only_its_own_connection(stage):
    stage.options = {"raises": True}
    with Peer(stage.port) as other, Peer(stage.port) as peer:
        peer.text("boom")
        assert peer.closing()[0] == 1011
        assert [stage.got(), stage.got()[:2]] == [("text", b"boom"), ("closed", 1011)]
        other.raw(frame(9, b"alive"))
        assert bytes(other.event(Pong).payload) == b"alive"


# The end of the server


def test_a_receiver_chooses_how_to_end_when_the_server_stops(stage):
    with Peer(stage.port) as peer:
        stage.connections.get(timeout=30)
        stage.server.should_exit = True
        assert peer.closing() == (4100, "3")
    assert stage.got() == ("closed", 4100, "3", True)


def test_a_handshake_that_runs_when_the_server_stops_is_503(stage):
    answered = asyncio.Event()

    async def endpoint(_):
        stage.calls.put("running")
        await answered.wait()

    stage.endpoint = endpoint
    with socket.create_connection(("127.0.0.1", stage.port), timeout=30) as client:
        client.sendall(request())
        assert stage.got() == "running"
        stage.server.should_exit = True
        assert client.recv(100).startswith(b"HTTP/1.1 503 ")
        stage.call(answered.set)
