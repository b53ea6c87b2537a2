"""The opening handshake as a uvicorn `ws=` class: runs the ASGI app until it accepts, then steps out of the way."""
# ruff: noqa: D102 - asyncio and ASGI document these calls

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import structlog
from uvicorn.config import Config
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl
from uvicorn.server import ServerState

from services.gateway.websocket import handshake
from services.gateway.websocket.cork import Cork, Corks
from services.gateway.websocket.fast_accept import Front, Welcome
from services.gateway.websocket.handshake import Refusal, Request
from services.gateway.websocket.inbox import Inbox
from services.gateway.websocket.interface import CLOSE_TIMEOUT
from services.gateway.websocket.lean_connection import LeanConnection
from services.gateway.websocket.slicer import Pace
from services.gateway.websocket.sweep import Sweep

EXTENSION = "openline.connection"
"""The ASGI scope extension that hands the connection over; its `take` is for `connection.take` alone."""

HANDSHAKE_TIMEOUT = 15.0
"""Seconds that the app has to accept or refuse; the client gets 503 then."""

_log = structlog.get_logger(__name__)


class _Shared:
    """What all connections of a server have in common."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.sweep = Sweep(loop)
        self.pace = Pace(loop)
        self.corks = Corks(loop)


_servers: WeakKeyDictionary[ServerState, _Shared] = WeakKeyDictionary()


class LeanProtocol(asyncio.Protocol):
    """uvicorn, or the door, makes one for each upgrade request and drops it when the app returns.

    After `websocket.accept` the transport belongs to a LeanConnection. The app takes it (`connection.take`) or goes on
    with plain ASGI messages. Not taken, it closes with 1000 when the app returns and with 1011 when it raises.
    A `front`, if there is one, is asked before the app.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        front: Front | None = None,
    ) -> None:
        self._config = config
        self._server_state = server_state
        self._app_state = app_state
        self._loop = _loop or asyncio.get_running_loop()
        self._front = front
        self._shared = _servers.get(server_state) or _servers.setdefault(
            server_state, _Shared(self._loop)
        )
        self._sweep = self._shared.sweep
        self._transport: asyncio.Transport
        self._request: Request
        self._task: asyncio.Task[None] | None = None
        self._asked = False
        self._early = b""
        self._connected = False
        self._answered = False
        self._gone = asyncio.Event()
        self._denial: tuple[int, handshake.Headers, bytearray] | None = None
        self._connection: LeanConnection | None = None
        self._inbox: Inbox | None = None
        self._taken = False

    # What uvicorn and the transport call

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's is no subclass of asyncio.Transport's
        self._server_state.connections.add(self)  # type: ignore[arg-type]  # uvicorn lists its own classes

    def data_received(self, data: bytes) -> None:
        """The request, whole, as uvicorn puts it together again; whatever comes next is for the connection."""
        if self._asked:
            self._early += data
            self._transport.pause_reading()
            return
        self._wait(partial(self._read, data))

    def ask(self, request: Request) -> None:
        """The request, parsed already, in place of its bytes."""
        self._request = request
        self._wait(self._open)

    def eof_received(self) -> None:
        """The transport closes by itself; `connection_lost` follows."""

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why it went changes nothing
        self._forget()
        self._answered = True
        self._gone.set()

    def shutdown(self) -> None:
        """The server stops (uvicorn calls this on each of its connections)."""
        self._refuse(Refusal(503, "the server restarts"))

    def expire(self) -> None:
        """The app neither accepted nor refused in time, or the peer does not read its refusal."""
        if self._transport.is_closing():
            self._transport.abort()
        else:
            self._refuse(Refusal(503, "the handshake took too long"))
        if self._task is not None:
            self._task.cancel()

    # What the app calls

    async def receive(self) -> dict[str, Any]:
        if not self._connected:
            self._connected = True
            return {"type": "websocket.connect"}
        if self._connection is None:
            await self._gone.wait()
            return {"type": "websocket.disconnect", "code": 1006, "reason": ""}
        return await self._plain(self._connection).receive()

    async def send(self, message: dict[str, Any]) -> None:
        if self._connection is not None:
            await self._send_plain(self._connection, message)
        elif self._gone.is_set():
            raise OSError("the client is gone")
        else:
            self._answer(message)

    def take(self, *, address: str, max_bytes: int, max_buffered: int) -> LeanConnection:
        """Hand over the accepted connection; sizes in bytes. Raises RuntimeError before accept and the second time."""
        connection = self._connection
        if connection is None or self._taken or self._inbox is not None:
            raise RuntimeError("only an accepted connection can be taken, and only once")
        self._taken = True
        connection.configure(address=address, max_bytes=max_bytes, max_buffered=max_buffered)
        return connection

    # Letting in at once

    def _wait(self, work: Callable[[], None]) -> None:
        """Come to it later: uvicorn makes us the transport's protocol only after it has told us of the request."""
        self._asked = True
        self._sweep.add(self, seconds=HANDSHAKE_TIMEOUT)
        self._shared.pace.add(work)

    def _read(self, data: bytes) -> None:
        try:
            self._request = handshake.parse(data)
        except Refusal as refusal:
            self._refuse(refusal)
        else:
            self._open()

    def _open(self) -> None:
        """The handshake's turn has come."""
        if self._answered:
            return  # the client has gone, or nobody had time for it
        try:
            if self._front is not None and contextvars.copy_context().run(
                self._ask_front, self._front
            ):
                return
            scope = self._scope(self._request)
        except Refusal as refusal:
            self._refuse(refusal)
        except Exception:  # noqa: BLE001 - whatever it is, the client must not wait for its end
            _log.exception("handshake_accept_failed")
            self._end(1011, "internal error")
        else:
            self._task = self._loop.create_task(self._run(scope))
            self._server_state.tasks.add(self._task)
            self._task.add_done_callback(self._server_state.tasks.discard)

    def _ask_front(self, front: Front) -> bool:
        if self._config.root_path:
            return False  # ASGI knows what of the target is ours
        client = self._client()
        welcome = front(self._request, client)
        if welcome is not None:
            self._welcome(welcome, client)
        return welcome is not None

    def _welcome(self, welcome: Welcome, client: str) -> None:
        answer = handshake.accept(
            self._request,
            subprotocol=welcome.subprotocol,
            headers=self._server_state.default_headers,
        )
        connection = self._hand_over()
        connection.configure(address=client, max_bytes=welcome.max_bytes)
        if welcome.greets:
            self._shared.corks.add(Cork(connection, self._transport, answer))
        else:
            self._transport.write(answer)
        connection.start(welcome.receiver(connection))

    def _client(self) -> str:
        """The client's address, as uvicorn's proxy headers have it."""
        address = get_remote_addr(self._transport)
        host = address[0] if address else ""
        if not self._config.proxy_headers:
            return host
        trusted = self._config.loaded_app.trusted_hosts
        if host not in trusted:
            return host
        forwarded = self._request.joined.get(b"x-forwarded-for")
        if forwarded is None:
            return host
        return trusted.get_trusted_client_address(forwarded.decode("latin1"))[0] or host

    # Running the app

    def _scope(self, request: Request) -> dict[str, Any]:
        config, transport = self._config, self._transport
        return handshake.scope(request, root_path=config.root_path, state=self._app_state) | {
            "asgi": {"version": config.asgi_version, "spec_version": "2.4"},
            "scheme": "wss" if is_ssl(transport) else "ws",
            "server": get_local_addr(transport),
            "client": get_remote_addr(transport),
            "extensions": {"websocket.http.response": {}, EXTENSION: {"take": self.take}},
        }

    async def _run(self, scope: dict[str, Any]) -> None:
        try:
            await self._config.loaded_app(scope, self.receive, self.send)
        except asyncio.CancelledError:
            self._end(1012, "the server restarts")
            raise
        except Exception as error:  # noqa: BLE001 - an app's error must not reach the loop
            if not (self._gone.is_set() and isinstance(error, OSError)):
                _log.exception("handshake_app_failed")
            self._end(1011, "internal error")
        else:
            self._end(1000, "")

    def _end(self, code: int, reason: str) -> None:
        """The app is done: finish what it left open."""
        if self._connection is None:
            self._refuse(Refusal(500, "Internal Server Error"))
        elif not self._taken:
            self._connection.close(code, reason)

    # Answering the handshake

    def _answer(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if self._denial is not None and kind == "websocket.http.response.body":
            self._deny(*self._denial, message)
        elif self._answered or self._denial is not None:
            raise RuntimeError(f"{kind!r} was sent after the handshake's answer")
        elif kind == "websocket.accept":
            self._accept(message)
        elif kind == "websocket.close":
            self._refuse(Refusal(403, "Forbidden"))
        elif kind == "websocket.http.response.start":
            self._denial = message["status"], list(message.get("headers", ())), bytearray()
        else:
            raise RuntimeError(f"{kind!r} was sent before websocket.accept")

    def _accept(self, message: dict[str, Any]) -> None:
        headers = [*self._server_state.default_headers, *message.get("headers", ())]
        subprotocol = message.get("subprotocol")
        answer = handshake.accept(self._request, subprotocol=subprotocol, headers=headers)
        self._transport.write(answer)
        self._hand_over()

    def _hand_over(self) -> LeanConnection:
        """The transport's new protocol."""
        self._answered = True
        self._forget()
        connection = self._connection = LeanConnection(
            self._transport,
            sweep=self._sweep,
            pace=self._shared.pace,
            connections=self._server_state.connections,
            max_bytes=self._config.ws_max_size,
            early=self._early,
        )
        self._transport.set_protocol(connection)
        return connection

    def _deny(
        self, status: int, headers: handshake.Headers, body: bytearray, message: dict[str, Any]
    ) -> None:
        """Any HTTP answer of the app's (ASGI extension websocket.http.response); sent when its body is whole."""
        body += message.get("body", b"")
        if message.get("more_body", False) or self._answered:
            return
        kept = [(name, value) for name, value in headers if name.lower() != b"content-length"]
        kept += self._server_state.default_headers
        length = (b"content-length", str(len(body)).encode())
        self._hang_up(handshake.response(status, [*kept, length, (b"connection", b"close")]) + body)

    def _refuse(self, refusal: Refusal) -> None:
        if not self._answered:
            self._hang_up(handshake.refuse(refusal, self._server_state.default_headers))

    def _hang_up(self, answer: bytes) -> None:
        self._answered = True
        self._gone.set()
        self._transport.write(answer)
        self._transport.close()
        self._sweep.add(self, seconds=CLOSE_TIMEOUT)

    def _forget(self) -> None:
        """The server and the sweep lose sight of the handshake."""
        self._server_state.connections.discard(self)
        self._sweep.discard(self)

    # Plain ASGI, for an app that did not take the connection

    def _plain(self, connection: LeanConnection) -> Inbox:
        if self._taken:
            raise RuntimeError("the connection was taken over; ASGI messages have no place in it")
        if self._inbox is None:
            self._inbox = Inbox(connection)
            connection.start(self._inbox)
        return self._inbox

    async def _send_plain(self, connection: LeanConnection, message: dict[str, Any]) -> None:
        inbox = self._plain(connection)
        if message["type"] == "websocket.close":
            connection.close(message.get("code", 1000), message.get("reason") or "")
            return
        if message["type"] != "websocket.send":
            raise RuntimeError(f"{message['type']!r} was sent after websocket.accept")
        await inbox.drained()
        if connection.closing:
            raise OSError("the connection is closed")
        data, text = message.get("bytes"), message.get("text")
        if data is not None:
            connection.send_binary(data)
        else:
            connection.send_text((text or "").encode())
