"""The opening handshake as a uvicorn `ws=` class: asks whether to let the client in, answers, steps out of the way."""
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

from services.gateway.websocket import handshake
from services.gateway.websocket.coalescing import FirstWrite
from services.gateway.websocket.connection import Shared, WebSocketConnection
from services.gateway.websocket.fast_accept import EXTENSION, Acceptance, FastAccept
from services.gateway.websocket.handshake import Refusal, Request
from services.gateway.websocket.interface import CLOSE_TIMEOUT
from services.gateway.websocket.uvicorn_names import (
    ServerState,
    client_address,
    get_local_addr,
    get_remote_addr,
    is_ssl,
)

QUEUE_SECONDS = 2.0
"""That a handshake waits for its turn: beyond that its client is better off elsewhere, or later."""

log = structlog.get_logger(__name__)

_servers: WeakKeyDictionary[ServerState, Shared] = WeakKeyDictionary()


class WebSocketProtocol(asyncio.Protocol):
    """uvicorn, or the sniffer, makes one for each upgrade request; it is dropped when the handshake was answered.

    `fast_accept`, if there is one, is asked first. Where it has no answer the ASGI application runs: its route calls
    `Acceptance.complete`, or sends an HTTP answer (ASGI extension websocket.http.response). The transport then belongs to
    a WebSocketConnection. The ASGI messages for an open WebSocket are not supported.

    `crowded` is called for each handshake that is refused since too many wait for their turn.
    `handshake_seconds`: in which the application has to accept or refuse; the client gets 503 then. `frame_rate` and
    `byte_rate`: frames and bytes that a connection may send in a second, 0 = any number; all connections of a server have
    those of its first handshake.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        fast_accept: FastAccept | None = None,
        crowded: Callable[[], None] | None = None,
        handshake_seconds: float = 15.0,
        frame_rate: float = 0,
        byte_rate: float = 0,
    ) -> None:
        self._config = config
        self._server_state = server_state
        self._app_state = app_state
        self._loop = _loop or asyncio.get_running_loop()
        self._fast_accept = fast_accept
        self._crowded = crowded
        self._handshake_seconds = handshake_seconds
        self._shared = _servers.get(server_state) or _servers.setdefault(
            server_state,
            Shared(
                self._loop,
                server_state.connections,
                frame_rate=frame_rate,
                byte_rate=byte_rate,
            ),
        )
        self._transport: asyncio.Transport
        self._request: Request
        self._task: asyncio.Task[None] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._early = b""
        self._connected = False
        self._answered = False
        self._gone = asyncio.Event()
        self._denial: tuple[int, handshake.Headers, bytearray] | None = None

    # What uvicorn, the sniffer and the transport call

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's is no subclass of asyncio.Transport's
        self._server_state.connections.add(self)  # type: ignore[arg-type]  # uvicorn lists its own classes

    def data_received(self, data: bytes) -> None:
        """The request, whole, as uvicorn puts it together again; whatever comes next is for the connection."""
        if self._deadline is not None:
            self._early += data
            self._transport.pause_reading()
            return
        self._wait(partial(self._parse, data))

    def begin(
        self,
        data: bytes,
        *,
        read: Callable[[bytes], Request | None],
        give_back: Callable[[bytes], None],
    ) -> None:
        """The request, whole. `read` takes it apart when it has its turn; where it is none for us `give_back` gets the bytes."""
        self._wait(partial(self._begin, data, read, give_back))

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
        """The application neither accepted nor refused in time, or the peer does not read its refusal."""
        if self._transport.is_closing():
            self._transport.abort()
        else:
            self._refuse(Refusal(503, "the handshake took too long"))
        if self._task is not None:
            self._task.cancel()

    # Deciding

    def _wait(self, work: Callable[[], None]) -> None:
        """Decide later: uvicorn makes us the transport's protocol only after it has handed the request over."""
        self._expire_in(self._handshake_seconds)
        self._shared.slicer.add(partial(self._take_turn, work, self._shared.slicer.clock()))

    def _take_turn(self, work: Callable[[], None], came: float) -> None:
        """Decide now; or refuse, which costs little, so that a queue that is too long is soon a short one."""
        if self._shared.slicer.clock() - came <= QUEUE_SECONDS:
            work()
        elif not self._answered:
            if self._crowded is not None:
                self._crowded()
            headers = [(b"retry-after", b"2")]
            message = "more clients come than can be let in; come back in 2 to 10 seconds"
            self._refuse(Refusal(503, message, headers=headers))

    def _begin(
        self,
        data: bytes,
        read: Callable[[bytes], Request | None],
        give_back: Callable[[bytes], None],
    ) -> None:
        if self._answered:
            return  # the client has gone, or waited too long
        request = read(data)
        if request is not None:
            self._request = request
            self._decide()
            return
        self._answered = True
        self._forget()
        give_back(data + self._early)
        if self._early:
            self._transport.resume_reading()

    def _parse(self, data: bytes) -> None:
        try:
            self._request = handshake.parse(data)
        except Refusal as refusal:
            self._refuse(refusal)
        else:
            self._decide()

    def _decide(self) -> None:
        """Accept at once, or run the application."""
        if self._answered:
            return  # the client has gone, or waited too long
        try:
            if contextvars.copy_context().run(self._accepted_fast):
                return
            scope = self._scope(self._request)
        except Refusal as refusal:
            self._refuse(refusal)
        except Exception:
            log.exception("handshake_accept_failed")
            self._refuse(Refusal(500, "Internal Server Error"))
        else:
            self._task = self._loop.create_task(self._run(scope))
            self._server_state.tasks.add(self._task)
            self._task.add_done_callback(self._server_state.tasks.discard)

    def _accepted_fast(self) -> bool:
        # Only ASGI knows which part of the target is ours when there is a root path.
        if self._fast_accept is None or self._config.root_path:
            return False
        acceptance = self._fast_accept(self._request)
        if acceptance is not None:
            self._accept(acceptance)
        return acceptance is not None

    def _accept(self, acceptance: Acceptance) -> None:
        """Answer 101; the transport's protocol is the connection from now on."""
        if self._gone.is_set():
            return
        if self._answered:
            raise RuntimeError("the handshake was answered already")
        state = self._server_state
        answer = handshake.accept(
            self._request, subprotocol=acceptance.subprotocol, headers=state.default_headers
        )
        self._answered = True
        self._forget()
        connection = WebSocketConnection(
            self._transport,
            self._shared,
            address=client_address(self._config, self._transport, self._request.joined),
            max_bytes=acceptance.max_bytes,
            early=self._early,
        )
        self._transport.set_protocol(connection)
        if acceptance.any_frame_rate:
            self._shared.frame_rate.exempt(connection)
        if acceptance.greets:
            FirstWrite(connection, self._transport, answer, call_later=self._loop.call_later)
        else:
            self._transport.write(answer)
        connection.start(acceptance.receiver)

    # Running the application

    def _scope(self, request: Request) -> dict[str, Any]:
        config, transport = self._config, self._transport
        return handshake.scope(request, root_path=config.root_path, state=self._app_state) | {
            "asgi": {"version": config.asgi_version, "spec_version": "2.4"},
            "scheme": "wss" if is_ssl(transport) else "ws",
            "server": get_local_addr(transport),
            "client": get_remote_addr(transport),
            "extensions": {"websocket.http.response": {}, EXTENSION: {"accept": self._accept}},
        }

    async def _run(self, scope: dict[str, Any]) -> None:
        try:
            await self._config.loaded_app(scope, self.receive, self.send)
        except asyncio.CancelledError:
            self._refuse(Refusal(503, "the server restarts"))
            raise
        except Exception as error:  # an application's error must not reach the loop
            if not (self._gone.is_set() and isinstance(error, OSError)):
                log.exception("handshake_app_failed")
        self._refuse(Refusal(500, "Internal Server Error"))  # unless it has answered

    async def receive(self) -> dict[str, Any]:
        """ASGI: the connect, then nothing until the client goes."""
        if not self._connected:
            self._connected = True
            return {"type": "websocket.connect"}
        await self._gone.wait()
        return {"type": "websocket.disconnect", "code": 1006, "reason": ""}

    async def send(self, message: dict[str, Any]) -> None:
        """ASGI: a refusal, whole or in pieces."""
        kind = message["type"]
        if self._gone.is_set():
            raise OSError("the client is gone")
        if self._denial is not None and kind == "websocket.http.response.body":
            self._deny(*self._denial, message)
        elif self._answered or self._denial is not None:
            raise RuntimeError(f"{kind!r} was sent after the handshake's answer")
        elif kind == "websocket.close":
            self._refuse(Refusal(403, "Forbidden"))
        elif kind == "websocket.http.response.start":
            self._denial = message["status"], list(message.get("headers", ())), bytearray()
        else:
            raise RuntimeError(f"{kind!r} is not supported; accept with Acceptance.complete(scope)")

    # Refusing

    def _deny(
        self, status: int, headers: handshake.Headers, body: bytearray, message: dict[str, Any]
    ) -> None:
        """Any HTTP answer of the application's; sent when its body is whole."""
        body += message.get("body", b"")
        if message.get("more_body", False) or self._answered:
            return
        kept = [(name, value) for name, value in headers if name.lower() != b"content-length"]
        kept += self._server_state.default_headers
        length = (b"content-length", str(len(body)).encode())
        self._hang_up(handshake.response(status, [*kept, length, (b"connection", b"close")]) + body)

    def _refuse(self, refusal: Refusal) -> None:
        """Answer with a refusal, unless there is an answer already."""
        if not self._answered:
            self._hang_up(handshake.refuse(refusal, self._server_state.default_headers))

    def _hang_up(self, answer: bytes) -> None:
        self._answered = True
        self._gone.set()
        self._transport.write(answer)
        self._transport.close()
        self._expire_in(CLOSE_TIMEOUT)

    def _expire_in(self, seconds: float) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self._loop.call_later(seconds, self.expire)

    def _forget(self) -> None:
        """The server and the loop lose sight of the handshake."""
        self._server_state.connections.discard(self)
        if self._deadline is not None:
            self._deadline.cancel()
