"""One connection, from dialling to its end. It owns its socket and its tasks: nothing of it reaches the next one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
    WebSocketException,
)
from websockets.typing import Subprotocol

from openline import codes
from openline.buffer import Crowd
from openline.codes import End
from openline.heartbeat import Due, Heartbeat
from openline.protocol import Codec, Frame

GREETING_SECONDS = 10.0
"""For all of it: dialling, the handshake, the first message."""

_LOG = logging.getLogger("openline.websocket")
# Below that websockets logs the frames, and the first one has the token.
_LOG.setLevel(logging.INFO)

CLOSING_SECONDS = 0.5
MAX_BYTES = 64 * 1024 * 1024
"""A page of 500 stored messages may be large."""

READ_AHEAD = 512
"""Frames that may wait between the socket and us: fewer would pause and resume it at each read."""


class Handler(Protocol):
    """Who is told of what comes."""

    def received(self, line: Line, frame: Frame, now: float) -> None:
        """A frame."""

    def is_awaited(self) -> bool:
        """Whether somebody waits for an answer."""


@dataclass(frozen=True, slots=True)
class Dial:
    """Where to connect, and how. `proxy`: True takes what the environment names."""

    url: str
    codec: Codec
    probe: float
    ssl: ssl.SSLContext | None = None
    proxy: str | Literal[True] | None = True


class Line:
    """A connection. `run` lasts as long as it does."""

    def __init__(self, dial: Dial, handler: Handler, crowd: Crowd) -> None:
        self._dial = dial
        self._handler = handler
        self._crowd = crowd
        self._loop = asyncio.get_running_loop()
        self._out: deque[str | bytes] = deque()
        self._wake = asyncio.Event()
        self._socket: ClientConnection | None = None
        self._heartbeat: Heartbeat | None = None
        self._abort_reason = ""
        self._greeted_at: float | None = None
        self.greeted = asyncio.Event()
        self.retired = False

    # ----------------------------------------------------------------------------------------- what others do

    def send(self, frame: Frame) -> None:
        """See Wire."""
        self.send_encoded(self._dial.codec.encode(frame))

    def send_encoded(self, frame: str | bytes) -> None:
        """See Wire."""
        self._out.append(frame)
        self._wake.set()

    def restart(self, reason: str) -> None:
        """See Wire."""
        self._abort_reason = reason
        if self._socket is not None:
            self._socket.transport.abort()

    def greet(self, ping: float) -> None:
        """The server has said `connected`; it pings after so many seconds of silence."""
        now = self._greeted_at = self._loop.time()
        self._heartbeat = Heartbeat(now, probe=self._dial.probe, server_ping=ping)
        self.greeted.set()
        self._wake.set()

    def retire(self) -> None:
        """Another connection has taken over: what still comes here has come there."""
        self.retired = True

    # ------------------------------------------------------------------------------------------------ its life

    async def run(self, flight: Callable[[], Iterable[Frame]]) -> End:
        """Dial, send the first commands, and read until it ends."""
        try:
            async with asyncio.timeout(GREETING_SECONDS):
                self._socket = await self._open()
        except InvalidStatus as refused:
            response = refused.response
            return codes.after_status(response.status_code, response.headers.get("Retry-After"))
        except TimeoutError:
            return self._end(f"no connection within {GREETING_SECONDS:g} s")
        except (OSError, InvalidHandshake, WebSocketException) as error:
            return self._end(f"no connection: {error}")
        writer = asyncio.create_task(self._write(), name="openline-writer")
        try:
            for frame in flight():
                self.send(frame)
            return await self._read(self._socket)
        finally:
            # Whoever cancels may do so twice: the loop's end cancels us, and so does who waits for us.
            try:
                writer.cancel()
                await asyncio.gather(writer, return_exceptions=True)
            finally:
                await self._close(self._socket)

    async def _open(self) -> ClientConnection:
        dial = self._dial
        arguments: dict[str, Any] = {"ssl": dial.ssl} if dial.ssl is not None else {}
        return await connect(
            dial.url,
            subprotocols=[Subprotocol(dial.codec.subprotocol)],
            compression=None,  # costs more than it saves on messages of this size
            proxy=dial.proxy,
            logger=_LOG,
            open_timeout=None,
            ping_interval=None,  # the server asks, and so does our heartbeat
            close_timeout=CLOSING_SECONDS,
            max_size=MAX_BYTES,
            max_queue=READ_AHEAD,
            **arguments,
        )

    async def _read(self, socket: ClientConnection) -> End:
        decode, received, clock = self._dial.codec.decode, self._handler.received, self._loop.time
        crowd = self._crowd
        try:
            while True:
                text = await socket.recv()
                if self.retired:
                    continue
                now = clock()
                if self._heartbeat is not None:
                    self._heartbeat.heard(now)
                received(self, decode(text), now)
                if crowd.full:
                    await self._hold()
        except ConnectionClosed as closed:
            return self._ended(closed)
        except (ValueError, KeyError, TypeError) as error:
            return self._end(f"a frame could not be read: {error!r}")

    async def _hold(self) -> None:
        """Read nothing while a buffer is full; we live all the same."""
        if not self._crowd.stops(awaited=self._handler.is_awaited()):
            return
        self._beat(held=True)
        while self._crowd.stops(awaited=self._handler.is_awaited()):
            await self._crowd.changed()
        self._beat(held=False)

    def _beat(self, *, held: bool) -> None:
        if self._heartbeat is not None:
            self._heartbeat.hold(self._loop.time(), held=held)
            self._wake.set()

    async def _write(self) -> None:
        socket = self._socket
        assert socket is not None
        greet_by = self._loop.time() + GREETING_SECONDS
        with contextlib.suppress(ConnectionClosed):
            while True:
                self._wake.clear()
                while self._out:
                    await socket.send(self._out.popleft())
                now = self._loop.time()
                beat = self._heartbeat
                if beat is None and now >= greet_by:
                    return self.restart(f"no greeting within {GREETING_SECONDS:g} s")
                if beat is not None and not self._look(beat, now):
                    return self.restart("the server is silent")
                until = greet_by if beat is None else beat.next
                if not self._out:
                    await self._sleep(until)

    async def _sleep(self, until: float) -> None:
        """Wait until then, or until there is something to send."""
        timer = self._loop.call_at(until, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            timer.cancel()

    def _look(self, heartbeat: Heartbeat, now: float) -> bool:
        """Do what the heartbeat asks for; false when the connection is dead."""
        match heartbeat.due(now):
            case Due.DEAD:
                return False
            case Due.PING:
                self.send({"type": "ping"})
            case Due.ALIVE:
                self.send({"type": "pong"})
            case Due.NOTHING:
                pass
        return True

    def _ended(self, closed: ConnectionClosed) -> End:
        frame = closed.rcvd
        if frame is None or self._abort_reason:
            if closed.sent is not None and not self._abort_reason:
                return codes.after_close(
                    closed.sent.code, closed.sent.reason, online_for=self._lived
                )
            return self._end(self._abort_reason or "the connection broke")
        return codes.after_close(frame.code, frame.reason, online_for=self._lived)

    def _end(self, reason: str) -> End:
        return End(codes.Next.RETURN, reason, online_for=self._lived)

    @property
    def _lived(self) -> float:
        return 0.0 if self._greeted_at is None else self._loop.time() - self._greeted_at

    async def _close(self, socket: ClientConnection) -> None:
        """Say goodbye, but not for long."""
        try:
            with contextlib.suppress(TimeoutError, OSError):
                async with asyncio.timeout(CLOSING_SECONDS):
                    await socket.close(codes.NORMAL)
        finally:
            socket.transport.abort()
            await asyncio.sleep(0)  # lets the transport tell its protocol
