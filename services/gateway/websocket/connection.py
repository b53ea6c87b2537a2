"""A connection as callbacks on its transport: no task, no queue, no timer, and no byte kept while it is quiet."""
# ruff: noqa: D102 - interface.py documents what a connection does

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, MutableSet
from functools import partial
from typing import Any

import structlog

from services.gateway.websocket import frames
from services.gateway.websocket.byte_rate import LARGE, ByteRate
from services.gateway.websocket.frame_rate import PATIENCE, FrameRate
from services.gateway.websocket.frames import Parser, Violation
from services.gateway.websocket.interface import (
    CLOSE_TIMEOUT,
    MAX_BUFFERED,
    Connection,
    Receiver,
)
from services.gateway.websocket.slicer import Slicer

QUIET = 1.0
"""Seconds of silence after which a peer that broke the protocol has sent what it had on the way."""

_ABNORMAL = (1006, "")
_PING = frames.ping_frame()

log = structlog.get_logger(__name__)


class Shared:
    """What all connections of a server share.

    `connections` is the server's set of open ones, `frame_rate` the frames and `byte_rate` the bytes a second that each may
    send (0 = any number).
    """

    __slots__ = ("byte_rate", "connections", "frame_rate", "loop", "slicer", "time")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connections: MutableSet[Any],
        *,
        frame_rate: float = 0,
        byte_rate: float = 0,
    ) -> None:
        self.byte_rate = ByteRate(byte_rate, call_later=loop.call_later)
        self.connections = connections
        self.frame_rate = FrameRate(frame_rate, call_later=loop.call_later)
        self.loop = loop
        self.slicer = Slicer(loop)
        self.time = loop.time


class _Nobody:
    """Receives for a connection that is over, so that nothing more reaches its session and nothing keeps it alive."""

    __slots__ = ()

    def received_text(self, text: bytes) -> None: ...
    def received_binary(self, data: bytes) -> None: ...
    def received_pong(self) -> None: ...
    def stalled(self) -> None: ...
    def writable(self) -> None: ...
    def shutdown(self) -> None: ...
    def closed(self, code: int, reason: str, clean: bool) -> None: ...  # noqa: FBT001


_NOBODY: Receiver = _Nobody()


class WebSocketConnection(asyncio.Protocol):
    """Satisfies `interface.Connection` on a transport whose handshake was accepted; `start` comes next.

    After a violation the peer gets a close frame and its bytes are thrown away until it leaves: closing at once would
    reset the connection, and the peer would never read why. `early`: bytes that came before the handshake's answer. While
    bytes of it wait, for that or for their turn, the transport reads no more.
    """

    __slots__ = (
        "_cut_off",
        "_early",
        "_farewell",
        "_parser",
        "_paused",
        "_pong",
        "_receiver",
        "_shared",
        "_stalled",
        "_transport",
        "address",
        "closing",
        "last_received",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        shared: Shared,
        *,
        address: str,
        max_bytes: int,
        early: bytes = b"",
    ) -> None:
        self.address = address
        self.closing = False
        self.last_received: float = shared.time()
        self._transport = transport
        self._shared = shared
        self._parser = Parser(max_bytes)
        self._receiver = _NOBODY
        self._early = early
        self._farewell: tuple[int, str] | None = None
        self._paused = False
        self._pong: bytes | None = None
        self._stalled = False
        self._cut_off: asyncio.TimerHandle | None = None  # set while the peer has a deadline
        shared.connections.add(self)
        transport.set_write_buffer_limits(high=MAX_BUFFERED)

    def start(self, make: Callable[[Connection], Receiver | None]) -> None:
        """Begin to receive, with what `make` returns for this connection; None when it has closed it."""
        try:
            receiver = make(self)
        except Exception:  # whatever it is, the server and the other connections go on
            log.exception("receiver_failed", address=self.address)
            self.close(1011, "internal error")
        else:
            self._receive_for(receiver or _NOBODY)
        if self._early:
            self._go_on()

    def write_to(self, transport: asyncio.Transport) -> None:
        """Write to this transport from now on: the connection's own, or what stands in for it."""
        self._transport = transport

    # What a session uses

    def send_frame(self, frame: bytes) -> None:
        if not self.closing:
            self._transport.write(frame)

    def send_text(self, payload: bytes) -> None:
        self.send_frame(frames.text_frame(payload))

    def send_binary(self, payload: bytes) -> None:
        self.send_frame(frames.binary_frame(payload))

    def ping(self) -> None:
        self.send_frame(_PING)

    def close(self, code: int, reason: str = "", *, patience: float = CLOSE_TIMEOUT) -> None:
        if self.closing:
            return
        self._farewell = (code, reason)
        self._transport.write(frames.close_frame(code, reason))
        self.closing = True
        self._cut_off_in(patience)
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
        if self._early or self._transport.is_closing() or self._shared.byte_rate.is_waiting(self):
            return
        self._transport.resume_reading()

    # What the transport and the server call

    def data_received(self, data: bytes) -> None:
        self.last_received = self._shared.time()
        size = len(data)
        if size >= LARGE and self._shared.byte_rate.count(self, size, self._read_on):
            self._transport.pause_reading()
        if self._early:
            self._early += data
            self._transport.pause_reading()
        elif self._shared.slicer.has_time():
            self._read(data)
        elif not self._parser.finished:
            self._keep(data)

    def pause_writing(self) -> None:
        self._stalled = True
        if not self.closing:
            self._call(self._receiver.stalled)

    def resume_writing(self) -> None:
        self._stalled = False
        pong, self._pong = self._pong, None
        if pong is not None:
            self.send_frame(pong)
        if not self.closing:
            self._call(self._receiver.writable)

    def eof_received(self) -> bool:
        """The peer left without a close frame, or after it. The transport closes later, once its buffer is empty.

        Not here: where a front door ends ten thousand connections, the loop comes to nothing else before it has read all
        their ends, and to close a socket costs twice as much as to read that.
        """
        self.closing = True
        self._shared.slicer.add(self._left)
        return True

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why it went changes nothing
        self._cancel_cut_off()
        self.closing = True
        self._shared.frame_rate.forget(self)
        self._shared.byte_rate.forget(self)
        self._shared.slicer.add(self._lost)

    def shutdown(self) -> None:
        """The server stops (uvicorn calls this on each of its connections)."""
        self._call(self._receiver.shutdown)

    # Reading

    def _read(self, data: bytes) -> None:
        """Take frames until the turn, or this second, has no more for this connection; the rest waits."""
        slicer, rate, parser = self._shared.slicer, self._shared.frame_rate, self._parser
        if parser.finished:
            return
        until = slicer.until()
        # Of what comes behind our close frame only the peer's is looked for: it must not wait for seconds.
        left = math.inf if self.closing else rate.left(self)
        taken = -int(parser.is_inside)  # the frame that goes on was counted
        data, position = parser.joined(data), 0
        while position < len(data) and taken < left and not parser.finished:
            event, position = parser.parse(data, position)
            taken += 1
            if event is not None:
                self._handle(*event)
            if position < len(data) and slicer.clock() >= until:
                break
        rate.count(self, taken)
        if parser.violation is not None:
            self._fail(parser.violation)
        elif position < len(data) and not parser.finished and not self._transport.is_closing():
            self._keep(data[position:], within_rate=taken < left)

    def _keep(self, data: bytes, *, within_rate: bool = True) -> None:
        """Read this when it is this connection's turn again, or in the next second."""
        rate = self._shared.frame_rate
        self._early = data
        self._transport.pause_reading()
        if within_rate:
            self._line_up()
        elif not rate.hold(self, self._line_up):
            self._early, self._parser.finished = b"", True
            reason = f"more than {rate.rate:g} frames a second for {PATIENCE} s; send fewer"
            self._fail(Violation(1008, reason))

    def _line_up(self) -> None:
        shared = self._shared
        shared.slicer.add_reading(self._go_on, busy=shared.frame_rate.is_busy(self))

    def _go_on(self) -> None:
        early, self._early = self._early, b""
        self._read(early)
        self._read_on()

    def _read_on(self) -> None:
        if not self._paused:
            self.resume_reading()

    def _handle(self, opcode: int, payload: bytes) -> None:
        if opcode == frames.CLOSE:
            self._peer_closes(*frames.close_reason(payload))
        elif not self.closing:
            self._dispatch(opcode, payload)

    def _dispatch(self, opcode: int, payload: bytes) -> None:
        receiver = self._receiver
        if opcode == frames.TEXT:
            self._call(receiver.received_text, payload)
        elif opcode == frames.BINARY:
            self._call(receiver.received_binary, payload)
        elif opcode == frames.PONG:
            self._call(receiver.received_pong)
        else:
            self._answer_ping(payload)

    def _answer_ping(self, payload: bytes) -> None:
        """Send a pong. A peer that pings without reading gets only the newest, or its pongs would fill our memory."""
        pong = frames.pong_frame(payload)
        if self._stalled:
            self._pong = pong
        else:
            self._transport.write(pong)

    # The receiver

    def _receive_for(self, receiver: Receiver) -> None:
        if self.closing:  # while it was made
            self._call(receiver.closed, *(self._farewell or _ABNORMAL), False)
        else:
            self._receiver = receiver

    def _call(self, callback: Callable[..., None], *args: object) -> None:
        try:
            callback(*args)
        except Exception:  # whatever it is, the server and the other connections go on
            log.exception("receiver_failed", address=self.address)
            self.close(1011, "internal error")

    def _leave(self, code: int, reason: str, *, clean: bool) -> None:
        receiver, self._receiver = self._receiver, _NOBODY
        self._call(receiver.closed, code, reason, clean)

    # The end

    def _peer_closes(self, code: int, reason: str) -> None:
        if self._farewell is not None:
            code, reason = self._farewell
        else:
            self.send_frame(frames.close_frame(code))
            self.closing = True
        self._shared.slicer.add(partial(self._leave, code, reason, clean=True))
        self._hang_up()

    def _fail(self, violation: Violation) -> None:
        """Fail the connection (RFC 6455 section 7.1.7)."""
        was_closing = self.closing
        self.send_frame(frames.close_frame(violation.code, violation.reason))
        self.closing = True
        self._leave(violation.code, violation.reason, clean=False)
        if was_closing:
            self._hang_up()
        elif not self._transport.is_closing():
            self._linger_until(self._shared.time() + CLOSE_TIMEOUT)
            self.resume_reading()

    def _linger_until(self, end: float) -> None:
        """Close when the peer has been silent for a moment, or at this time.

        Not sooner, and not one side alone either: nginx closes its client's connection when we close a side of ours, and
        what it has not read of that client then resets it, so that the close frame is lost.
        """
        self._cancel_cut_off()
        self._cut_off = self._shared.loop.call_later(QUIET, self._is_quiet, end)

    def _is_quiet(self, end: float) -> None:
        now = self._shared.time()
        if now >= end or now - self.last_received >= QUIET / 2:
            self._hang_up()
        else:
            self._linger_until(end)

    def _hang_up(self) -> None:
        """Close the transport once its buffer is empty, or abort it later."""
        if not self._transport.is_closing():
            self._cut_off_in(CLOSE_TIMEOUT)
            self._transport.close()

    def _left(self) -> None:
        self._hang_up()
        self._vanished()

    def _vanished(self) -> None:
        self._leave(*(self._farewell or _ABNORMAL), clean=False)

    def _lost(self) -> None:
        self._vanished()
        # Last: the server must not stop before sessions have learned of their end.
        self._shared.connections.discard(self)

    def _cut_off_in(self, seconds: float) -> None:
        """Abort unless the peer answers our close frame, and reads what is left for it, within `seconds` from now."""
        self._cancel_cut_off()
        self._cut_off = self._shared.loop.call_later(seconds, self._transport.abort)

    def _cancel_cut_off(self) -> None:
        if self._cut_off is not None:
            self._cut_off.cancel()
            self._cut_off = None
