"""A connection on plain ASGI messages, for servers without the lean class and for tests without a server."""
# ruff: noqa: D102 - interface.py documents what both connections do

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from services.gateway.websocket import frames as framing
from services.gateway.websocket.callbacks import tell
from services.gateway.websocket.interface import CLOSE_TIMEOUT, MAX_BUFFERED, Receiver

_VANISHED = (1006, "")


class AsgiConnection:
    """Satisfies `interface.Connection` on an accepted Starlette WebSocket, as long as `run` is awaited.

    `max_bytes` limits a received message, `max_buffered` is the mark above which the receiver is stalled.
    """

    def __init__(
        self, websocket: WebSocket, *, max_bytes: int, max_buffered: int = MAX_BUFFERED
    ) -> None:
        self.address = websocket.client.host if websocket.client else ""
        self.closing = False
        self._loop = asyncio.get_running_loop()
        self.last_received = self._loop.time()
        self._websocket = websocket
        self._max_bytes = max_bytes
        self._max_buffered = max_buffered
        self._receiver: Receiver | None = None
        self._outgoing: deque[framing.Event] = deque()
        self._buffered = 0
        self._stalled = False
        self._farewell: tuple[int, str] | None = None
        self._wake = asyncio.Event()
        self._reading = asyncio.Event()
        self._reading.set()
        self._over = asyncio.Event()

    async def run(self) -> None:
        """Carry messages both ways until the connection is over; `start` comes first."""
        reader = asyncio.create_task(self._read())
        writer = asyncio.create_task(self._write())
        try:
            await self._over.wait()
        finally:
            self.closing = True
            reader.cancel()
            writer.cancel()
            await asyncio.gather(reader, writer, return_exceptions=True)
            self._leave(*(self._farewell or _VANISHED), clean=False)

    # What a session uses

    def start(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def send_frame(self, frame: bytes) -> None:
        if self.closing:
            return
        for opcode, payload in framing.split_frames(frame):
            if opcode == framing.CLOSE:
                self.close(*framing.close_reason(payload))
            elif opcode in (framing.TEXT, framing.BINARY):
                self._put(opcode, payload)

    def send_text(self, payload: bytes) -> None:
        self._put(framing.TEXT, payload)

    def send_binary(self, payload: bytes) -> None:
        self._put(framing.BINARY, payload)

    def ping(self) -> None:
        self.last_received = self._loop.time()

    def close(self, code: int, reason: str = "", *, patience: float = CLOSE_TIMEOUT) -> None:
        if not self.closing:
            self.closing = True
            self._farewell = (code, reason)
            self._wake.set()
            self._reading.set()
            # Beneath a peer that does not read, the server's `send` may never return.
            self._loop.call_later(patience, self._over.set)

    def abort(self) -> None:
        self.closing = True
        self._over.set()

    def buffered(self) -> int:
        return self._buffered

    def pause_reading(self) -> None:
        self._reading.clear()

    def resume_reading(self) -> None:
        self._reading.set()

    def shutdown(self) -> None:
        """The server stops; for whoever owns it, since plain ASGI does not tell."""
        drain = getattr(self._receiver, "shutdown", None)
        if drain is not None:
            tell(self, drain)
        else:
            self.close(1012, "the server restarts")

    # Receiving

    async def _read(self) -> None:
        try:
            while True:
                await self._reading.wait()
                message = await self._websocket.receive()
                self.last_received = self._loop.time()
                if message["type"] == "websocket.disconnect":
                    self._peer_left(message.get("code", 1005), message.get("reason") or "")
                    break
                if not self.closing:
                    self._received(message)
        except (WebSocketDisconnect, RuntimeError, OSError):
            self._peer_left(*_VANISHED)

    def _received(self, message: Any) -> None:
        receiver = self._receiver
        assert receiver is not None
        text, data = message.get("text"), message.get("bytes")
        try:
            payload = text.encode() if text is not None else data
        except UnicodeEncodeError:
            self.close(1007, "a text message must be valid UTF-8")
            return
        if len(payload) > self._max_bytes:
            self.close(1009, f"a message may have at most {self._max_bytes} bytes")
        elif text is not None:
            tell(self, receiver.received_text, payload)
        else:
            tell(self, receiver.received_binary, payload)

    def _peer_left(self, code: int, reason: str) -> None:
        self.closing = True
        clean = code != _VANISHED[0]
        self._leave(*(self._farewell or (code, reason)), clean=clean)
        self._over.set()

    # Sending

    def _put(self, opcode: int, payload: bytes) -> None:
        if self.closing:
            return
        self._outgoing.append((opcode, payload))
        self._buffered += len(payload)
        self._wake.set()
        if self._buffered > self._max_buffered and not self._stalled:
            self._stalled = True
            if self._receiver is not None:
                tell(self, self._receiver.stalled)

    async def _write(self) -> None:
        try:
            while self._farewell is None:
                await self._wake.wait()
                self._wake.clear()
                await self._flush()
            await self._flush()
            code, reason = self._farewell
            await self._websocket.close(code, framing.cut(reason))
        except (WebSocketDisconnect, RuntimeError, OSError):
            self._over.set()

    async def _flush(self) -> None:
        while self._outgoing:
            opcode, payload = self._outgoing.popleft()
            if opcode == framing.TEXT:
                await self._websocket.send_text(payload.decode())
            else:
                await self._websocket.send_bytes(payload)
            self._buffered -= len(payload)
            if self._stalled and self._buffered <= self._max_buffered // 4:
                self._stalled = False
                if self._receiver is not None and not self.closing:
                    tell(self, self._receiver.writable)

    def _leave(self, code: int, reason: str, *, clean: bool) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            tell(self, receiver.closed, code, reason, clean)
