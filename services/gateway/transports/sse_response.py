"""An SSE response as a connection: what a session writes is sent as one chunked body."""
# ruff: noqa: D102 - interface.py documents what a connection does

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import structlog
from starlette.types import Message, Receive, Scope, Send

from services.gateway.websocket import CLOSE_TIMEOUT, Receiver

MAX_BUFFERED = 64 * 1024
"""Bytes that wait to be sent above which the receiver is `stalled`."""

log = structlog.get_logger(__name__)


class EventStream:
    """Satisfies `interface.Connection` as long as the response runs; nothing is ever received.

    `code` and `reason` say why the session has closed it, for the response that takes its place.
    """

    def __init__(self, address: str, headers: dict[str, str]) -> None:
        self.address = address
        self.closing = False
        self.code = 0
        self.reason = ""
        self.last_received = asyncio.get_running_loop().time()
        self._headers = headers
        self._receiver: Receiver | None = None
        self._chunks: deque[bytes | memoryview] = deque()
        self._buffered = 0
        self._stalled = False
        self._patience = CLOSE_TIMEOUT
        self._limit: asyncio.Timeout | None = None
        self._wake = asyncio.Event()

    def start(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def send_frame(self, frame: bytes) -> None:
        if self.closing:
            return
        self._chunks.append(frame)
        self._buffered += len(frame)
        self._wake.set()
        if self._buffered > MAX_BUFFERED and not self._stalled and self._receiver is not None:
            self._stalled = True
            self._call(self._receiver.stalled)

    def send_text(self, payload: bytes) -> None:
        self.send_frame(payload)

    def send_binary(self, payload: bytes) -> None:
        self.send_frame(payload)

    def ping(self) -> None: ...

    def close(
        self,
        code: int,
        reason: str = "",
        *,
        patience: float = CLOSE_TIMEOUT,
    ) -> None:
        if self.closing:
            return
        self.closing = True
        self.code, self.reason = code, reason
        self._patience = patience
        self._wake.set()
        if self._limit is not None:
            self._end_soon(self._limit)

    def abort(self) -> None:
        self._chunks.clear()
        self.close(1006)

    def buffered(self) -> int:
        return self._buffered

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    async def respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the session or the reader ends it."""
        del scope
        leaving = asyncio.create_task(_client_left(receive))
        writing = asyncio.create_task(self._write(send))
        try:
            await asyncio.wait((leaving, writing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.closing = True
            for task in (leaving, writing):
                task.cancel()
            await asyncio.gather(leaving, writing, return_exceptions=True)
            receiver, self._receiver = self._receiver, None
            if receiver is not None:
                self._call(receiver.closed, 1006, "", False)

    async def _write(self, send: Send) -> None:
        """Send the whole response; once it is closing, a client that does not read has `patience` seconds left."""
        headers = [(name.encode(), value.encode()) for name, value in self._headers.items()]
        try:
            async with asyncio.timeout(None) as self._limit:
                if self.closing:
                    self._end_soon(self._limit)
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                while not self.closing:
                    await self._wake.wait()
                    self._wake.clear()
                    await self._flush(send)
                await self._flush(send)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._limit = None

    def _end_soon(self, limit: asyncio.Timeout) -> None:
        limit.reschedule(asyncio.get_running_loop().time() + self._patience)

    async def _flush(self, send: Send) -> None:
        while self._chunks:
            body = self._next()
            await send({"type": "http.response.body", "body": body, "more_body": True})
            self._buffered -= len(body)
        if self._stalled and self._receiver is not None and not self.closing:
            self._stalled = False
            self._call(self._receiver.writable)

    def _next(self) -> bytes:
        """At most as much as is buffered anyway: what follows stays here, where it is counted, until the reader has read."""
        chunks: list[bytes | memoryview] = []
        room = MAX_BUFFERED
        while self._chunks and room > 0:
            chunk = self._chunks.popleft()
            if len(chunk) > room:
                view = memoryview(chunk)
                self._chunks.appendleft(view[room:])
                chunk = view[:room]
            chunks.append(chunk)
            room -= len(chunk)
        return b"".join(chunks)

    def _call(self, callback: Callable[..., None], *arguments: object) -> None:
        try:
            callback(*arguments)
        except Exception:
            log.exception("stream_receiver_failed")
            self.closing = True
            self._wake.set()


async def _client_left(receive: Receive) -> None:
    message: Message = {"type": ""}
    while message["type"] != "http.disconnect":
        message = await receive()
