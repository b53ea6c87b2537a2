"""Receives for an ASGI application that did not take the connection over: messages wait until it asks for them."""
# ruff: noqa: D102 - interface.py documents what a receiver gets

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from services.gateway.websocket.interface import Connection

MAX_WAITING = 4
"""Messages above which the peer is not read from; those of the read at hand still come in."""


class Inbox:
    """A receiver with the two calls of an ASGI server: `receive`, and `drained` to wait until sending makes sense."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._waiting: deque[dict[str, Any]] = deque()
        self._arrived = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()

    async def receive(self) -> dict[str, Any]:
        """The next websocket.receive; once the connection is over, websocket.disconnect however often asked."""
        await self._arrived.wait()
        message = self._waiting[0]
        if message["type"] != "websocket.disconnect":
            self._waiting.popleft()
            if not self._waiting:
                self._arrived.clear()
                self._connection.resume_reading()
        return message

    async def drained(self) -> None:
        """Returns when the write buffer has room, or the connection is over."""
        await self._drained.wait()

    def received_text(self, text: bytes) -> None:
        self._put({"type": "websocket.receive", "text": text.decode()})

    def received_binary(self, data: bytes) -> None:
        self._put({"type": "websocket.receive", "bytes": data})

    def received_pong(self) -> None: ...

    def stalled(self) -> None:
        self._drained.clear()

    def writable(self) -> None:
        self._drained.set()

    def closed(self, code: int, reason: str, clean: bool) -> None:  # noqa: ARG002, FBT001 - ASGI has no word for it
        self._drained.set()
        self._put({"type": "websocket.disconnect", "code": code, "reason": reason})

    def _put(self, message: dict[str, Any]) -> None:
        self._waiting.append(message)
        self._arrived.set()
        if len(self._waiting) > MAX_WAITING:
            self._connection.pause_reading()
