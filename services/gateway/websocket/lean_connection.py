"""A connection as callbacks on its transport: no task, no queue, no timer, and no byte kept while it is quiet."""
# ruff: noqa: D102 - interface.py documents what both connections do

from __future__ import annotations

import asyncio
import time
from collections.abc import MutableSet
from functools import partial
from typing import Any

from services.gateway.websocket import frames as framing
from services.gateway.websocket.callbacks import tell
from services.gateway.websocket.frames import Parser, Violation
from services.gateway.websocket.interface import CLOSE_TIMEOUT, MAX_BUFFERED, Receiver
from services.gateway.websocket.slicer import SLICE, Pace
from services.gateway.websocket.sweep import Sweep

STEP = 64 * 1024
"""Bytes after which the time is looked at: libuv reads four times as many at once, and hands one connection megabytes in
a row."""

_VANISHED = (1006, "")
_PING = framing.ping_frame()


class _Nobody:
    """Receives for a connection that is over, so that nothing more reaches its session and nothing keeps it alive."""

    __slots__ = ()

    def received_text(self, text: bytes) -> None: ...
    def received_binary(self, data: bytes) -> None: ...
    def received_pong(self) -> None: ...
    def stalled(self) -> None: ...
    def writable(self) -> None: ...
    def closed(self, code: int, reason: str, clean: bool) -> None: ...  # noqa: FBT001


_NOBODY: Receiver = _Nobody()


class LeanConnection(asyncio.Protocol):
    """Satisfies `interface.Connection` on an accepted transport; `connections` is the server's set of open ones.

    Until `start` what arrives is kept as raw bytes, one read at most. After a violation the peer is told and its bytes
    are thrown away until it leaves: closing at once would reset the connection, and the peer would never read why.
    """

    __slots__ = (
        "_connections",
        "_early",
        "_farewell",
        "_pace",
        "_parser",
        "_paused",
        "_pong",
        "_receiver",
        "_stalled",
        "_sweep",
        "_transport",
        "address",
        "closing",
        "last_received",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        *,
        sweep: Sweep,
        pace: Pace,
        connections: MutableSet[Any],
        max_bytes: int,
        early: bytes = b"",
    ) -> None:
        self.address = ""
        self.closing = False
        self.last_received: float = sweep.time()
        self._transport = transport
        self._sweep = sweep
        self._pace = pace
        self._connections = connections
        self._parser = Parser(max_bytes)
        self._receiver: Receiver | None = None
        self._early = early
        self._farewell: tuple[int, str] | None = None
        self._paused = False
        self._pong: bytes | None = None
        self._stalled = False
        connections.add(self)

    def configure(self, *, address: str, max_bytes: int, max_buffered: int = MAX_BUFFERED) -> None:
        """What only the endpoint knows; sizes in bytes. Before `start`."""
        self.address = address
        self._parser.limit = max_bytes
        if not self._transport.is_closing():
            self._transport.set_write_buffer_limits(high=max_buffered)

    def reach(self, transport: asyncio.Transport) -> None:
        """Write to this transport from now on: the one that it has, or what stands in for it."""
        self._transport = transport

    # What a session uses

    def start(self, receiver: Receiver) -> None:
        if self._receiver is not None:
            tell(self, receiver.closed, *(self._farewell or _VANISHED), False)
            return
        self._receiver = receiver
        self._go_on()
        if self._transport.is_closing():
            self._leave(*(self._farewell or _VANISHED), clean=False)

    def send_frame(self, frame: bytes) -> None:
        if not self.closing:
            self._transport.write(frame)

    def send_text(self, payload: bytes) -> None:
        self.send_frame(framing.text_frame(payload))

    def send_binary(self, payload: bytes) -> None:
        self.send_frame(framing.binary_frame(payload))

    def ping(self) -> None:
        self.send_frame(_PING)

    def close(self, code: int, reason: str = "", *, patience: float = CLOSE_TIMEOUT) -> None:
        if self.closing:
            return
        self._farewell = (code, reason)
        self._transport.write(framing.close_frame(code, reason))
        self.closing = True
        self._sweep.add(self, seconds=patience)
        if self._receiver is None:
            self.start(_NOBODY)
        self.resume_reading()

    def abort(self) -> None:
        self.closing = True
        self._transport.abort()

    def buffered(self) -> int:
        return self._transport.get_write_buffer_size()

    def pause_reading(self) -> None:
        if not self.closing:
            self._paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._paused = False
        if not self._transport.is_closing():
            self._transport.resume_reading()

    # What the transport calls

    def data_received(self, data: bytes) -> None:
        self.last_received = self._sweep.time()
        if self._receiver is None or self._early:
            self._early += data
            self._transport.pause_reading()
        else:
            self._take(data)

    def pause_writing(self) -> None:
        self._stalled = True
        if self._receiver is not None and not self.closing:
            tell(self, self._receiver.stalled)

    def resume_writing(self) -> None:
        self._stalled = False
        pong, self._pong = self._pong, None
        if pong is not None:
            self.send_frame(pong)
        if self._receiver is not None and not self.closing:
            tell(self, self._receiver.writable)

    def eof_received(self) -> None:
        """The peer left without a close frame, or after it; the transport closes when its buffer is empty."""
        self.closing = True
        self._sweep.add(self, seconds=CLOSE_TIMEOUT)
        self._pace.add(self._vanish)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why it went changes nothing
        self._sweep.discard(self)
        self.closing = True
        # Only then does the server forget it: it must not stop before sessions have heard of their end.
        self._pace.add(self._lost)

    # What the server and the sweep call

    def shutdown(self) -> None:
        """The server stops (uvicorn calls this on each of its connections)."""
        drain = getattr(self._receiver, "shutdown", None)
        if drain is not None:
            tell(self, drain)
        else:
            self.close(1012, "the server restarts")

    def expire(self) -> None:
        """The peer did not answer our close frame, or does not read what is left for it."""
        self._transport.abort()

    # Within

    def _receive(self, data: bytes) -> None:
        parser = self._parser
        if parser.finished:
            return
        for opcode, payload in parser.receive_data(data):
            if opcode == framing.CLOSE:
                self._peer_closes(*framing.close_reason(payload))
            elif not self.closing:
                self._dispatch(opcode, payload)
        if parser.violation is not None:
            self._fail(parser.violation)

    def _take(self, data: bytes) -> None:
        """Receive as much as a slice of a turn has time for; the rest, and what would be read next, waits for the next."""
        until = time.perf_counter() + SLICE
        for end in range(STEP, len(data) + STEP, STEP):
            self._receive(data[end - STEP : end])
            if time.perf_counter() >= until and not self._transport.is_closing():
                self._early = data[end:]
                self._transport.pause_reading()
                self._pace.add(self._go_on)
                break

    def _go_on(self) -> None:
        early, self._early = self._early, b""
        self._take(early)
        if not self._early and not self._paused:
            self.resume_reading()

    def _dispatch(self, opcode: int, payload: bytes) -> None:
        receiver = self._receiver
        assert receiver is not None
        if opcode == framing.TEXT:
            tell(self, receiver.received_text, payload)
        elif opcode == framing.BINARY:
            tell(self, receiver.received_binary, payload)
        elif opcode == framing.PONG:
            tell(self, receiver.received_pong)
        else:
            self._answer_ping(payload)

    def _answer_ping(self, payload: bytes) -> None:
        """Pong; to a peer that pings without reading only the newest, or its pongs would fill our memory."""
        pong = framing.pong_frame(payload)
        if self._stalled:
            self._pong = pong
        else:
            self._transport.write(pong)

    def _vanish(self) -> None:
        self._leave(*(self._farewell or _VANISHED), clean=False)

    def _lost(self) -> None:
        self._vanish()
        self._connections.discard(self)

    def _peer_closes(self, code: int, reason: str) -> None:
        if self._farewell is not None:
            code, reason = self._farewell
        else:
            self.send_frame(framing.close_frame(code))
            self.closing = True
        self._pace.add(partial(self._leave, code, reason, clean=True))
        self._hang_up()

    def _fail(self, violation: Violation) -> None:
        """Fail the connection (RFC 6455 section 7.1.7)."""
        said = self.closing
        self.send_frame(framing.close_frame(violation.code, violation.reason))
        self.closing = True
        self._leave(violation.code, violation.reason, clean=False)
        if said or not self._transport.can_write_eof():
            self._hang_up()
        elif not self._transport.is_closing():
            self._transport.write_eof()
            self._sweep.add(self, seconds=CLOSE_TIMEOUT)
            self.resume_reading()

    def _hang_up(self) -> None:
        """Close the transport once its buffer is empty, or abort it later."""
        if not self._transport.is_closing():
            self._sweep.add(self, seconds=CLOSE_TIMEOUT)
            self._transport.close()

    def _leave(self, code: int, reason: str, *, clean: bool) -> None:
        receiver = self._receiver
        if receiver is not None:
            self._receiver = _NOBODY
            tell(self, receiver.closed, code, reason, clean)
