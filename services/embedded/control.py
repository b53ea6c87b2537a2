"""What a test tells the server through its standard input, one JSON object a line; its end ends the server.

Each order `{"id", "verb", ...}` is answered on standard output by `{"id", "result"}` or `{"id", "error"}`.
"""

from __future__ import annotations

import asyncio
import io
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from services.gateway.node.drain import move
from services.gateway.node.node import Node
from services.kernel.broker.port import Broker
from services.kernel.domain.codes import OpenlineError

DRAIN_SECONDS = 1.0
LONGEST = 65_536
"""Bytes of an order."""

TOO_LONG = {"id": None, "error": f"an order has at most {LONGEST} bytes; this one was not read"}


class Control:
    """Takes over this process' standard input and output; whatever else writes goes to standard error from now on."""

    def __init__(self) -> None:
        self._out = io.FileIO(os.dup(1), "wb")
        sys.stdout = sys.stderr

    def say(self, message: Mapping[str, Any]) -> None:
        """One line to whoever started us. That it is gone shows at standard input."""
        try:
            self._out.write(msgspec.json.encode(message) + b"\n")
        except BrokenPipeError:
            return

    async def follow(self, orders: Orders) -> None:
        """Carry out what is read, in order, until standard input ends."""
        reader = asyncio.StreamReader(limit=LONGEST)
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while (line := await _next(reader)) != b"":
            self.say(TOO_LONG if line is None else await answer(orders, line))


class Orders:
    """The orders themselves: to the gateway's connections, and to the store."""

    def __init__(self, node: Node, broker: Broker) -> None:
        self._node = node
        self._broker = broker
        self.verbs: dict[str, Callable[..., Awaitable[Any]]] = {
            "drop": self.drop,
            "lose": self.lose,
            "drain": self.drain,
        }

    async def drop(self, user: str | None = None) -> int:
        """Cut connections without a word, those of one user or all; how many."""
        found = [
            session for session in self._node.sessions() if user is None or session.user == user
        ]
        for session in found:
            session.connection.abort()
        return len(found)

    async def lose(self, channel: str) -> None:
        """Lose what a channel holds: a new epoch, so that its listeners are told."""
        await self._broker.drop(channel)

    async def drain(self, seconds: float = DRAIN_SECONDS) -> int:
        """Begin to move every client within `seconds`, as before a restart; how many."""
        sessions = self._node.sessions()
        # Whoever asks may have to run a client meanwhile.
        self._node.spawn(move(sessions, seconds, drained=self._node.metrics.drained))
        return len(sessions)


async def answer(orders: Orders, line: bytes) -> dict[str, Any]:
    """What is said to one order. An order that is wrong is answered with what is right."""
    number = None
    try:
        order = msgspec.json.decode(line, type=dict[str, Any])
        number = order.pop("id", None)
        verb = order.pop("verb", None)
        if verb not in orders.verbs:
            raise ValueError(f"verb is one of {', '.join(orders.verbs)}, not {verb!r}")
        return {"id": number, "result": await orders.verbs[verb](**order)}
    except (OpenlineError, TypeError, ValueError) as error:
        return {"id": number, "error": str(error)}


async def _next(reader: asyncio.StreamReader) -> bytes | None:
    """The next line, empty at the end; None for one beyond LONGEST, which has been passed over."""
    passed = False
    while True:
        try:
            line = await reader.readuntil()
        except asyncio.IncompleteReadError as end:
            return b"" if passed else end.partial
        except asyncio.LimitOverrunError as beyond:
            await reader.readexactly(beyond.consumed)
            passed = True
        else:
            return None if passed else line
