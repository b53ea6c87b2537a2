"""A session of the native protocol."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import gevent
from gevent.event import AsyncResult

from loadtest.bench import frames
from loadtest.swarm.chunks import Chunk, Other
from loadtest.swarm.crew import Crew
from loadtest.swarm.lasting import EndedError, Lasting
from loadtest.swarm.wire import Wire

_PATIENCE = 20.0
_NEW_TOKEN = range(4200, 4300)
_UNAUTHORIZED = 4001


class CallError(Exception):
    """A command was refused, or the connection ended before its answer."""


class Session(Lasting):
    """Subscribes to `channels` and recovers them whenever it comes back."""

    kind = "WS"

    def __init__(self, crew: Crew, *, row: str, sub: str, channels: Sequence[str]) -> None:
        super().__init__(crew, row=row, sub=sub)
        self._channels = channels
        self._ids = itertools.count(1)
        self._calls: dict[int, AsyncResult[dict[str, Any]]] = {}
        self._joining: dict[int, str] = {}
        self._wire: Wire | None = None

    def call(self, type: str, **fields: Any) -> dict[str, Any]:
        """Send a command and wait for its answer. Raises CallError."""
        if self._wire is None or not self.connected:
            raise CallError("not connected")
        number = next(self._ids)
        answer = self._calls[number] = AsyncResult()
        try:
            self._send(self._wire, {"type": type, "id": number, **fields})
            return dict(answer.get(timeout=_PATIENCE))
        except gevent.Timeout:
            raise CallError(f"no answer to {type} within {_PATIENCE:g} s") from None
        except OSError as error:
            raise CallError(str(error)) from None
        finally:
            self._calls.pop(number, None)

    # Lasting

    def _connect(self) -> Wire:
        self._wire = wire = Wire(f"{self._crew.backend.target.ws}/ws", token=self.token)
        self._joining = {next(self._ids): channel for channel in self._channels}
        for number, channel in self._joining.items():
            command: dict[str, Any] = {"type": "subscribe", "id": number, "channel": channel}
            if at := self.audit.continuity.at(channel):
                command["since"] = at._asdict()
            self._send(wire, command)
        return wire

    def _take(self, data: bytes) -> Chunk:
        return self._crew.frames.read(data)

    def _heard(self, other: Other) -> None:
        if other.opcode == frames.CLOSE:
            self._closed(other.content)
        if other.opcode == frames.PING:
            self._reply(frames.PONG, other.content)
        if other.opcode != frames.TEXT:
            return
        # Only what matters is decoded: a room's joins and leaves may be many.
        kind = other.content[9 : other.content.index(b'"', 9)]
        if kind == b"ping":
            self._reply(frames.TEXT, b'{"type":"pong"}')
        elif kind in (b"ack", b"error", b"connected", b"reset", b"reconnect"):
            self._told(json.loads(other.content))

    def _ended(self) -> None:
        self._wire = None
        for answer in self._calls.values():
            answer.set_exception(CallError("the connection ended"))

    # What the server says

    def _told(self, event: dict[str, Any]) -> None:
        number = event.get("id")
        if event["type"] == "connected":
            for channel, position in event["channels"].items():
                self.audit.subscribed({"channel": channel, **position})
        elif event["type"] == "reset":
            self.audit.reset(event)
        elif event["type"] == "reconnect":
            pause = random.random() * event["within"]  # noqa: S311 - jitter
            gevent.spawn_later(pause, self._move, self._wire)
        elif number in self._joining:
            self._subscribed(self._joining.pop(number), event)
        elif number in self._calls:
            self._answered(self._calls[number], event)

    def _subscribed(self, channel: str, event: dict[str, Any]) -> None:
        if event["type"] == "error":
            raise EndedError(f"no subscription to {channel.partition(':')[0]}: {event['message']}")
        self.audit.subscribed(event)
        if not self._joining:
            self._joined()

    def _answered(self, answer: AsyncResult[dict[str, Any]], event: dict[str, Any]) -> None:
        if event["type"] == "error":
            answer.set_exception(CallError(f"{event['code']}: {event['message']}"))
        else:
            answer.set(event)

    def _move(self, wire: Wire) -> None:
        if self._wire is wire:
            self.drop()

    def _closed(self, content: bytes) -> None:
        code = int.from_bytes(content[:2], "big") if content else 1005
        if code in _NEW_TOKEN or code == _UNAUTHORIZED:
            self.token = ""
        raise EndedError(f"{code} {content[2:].decode('utf-8', 'replace')}".strip())

    def _reply(self, opcode: int, content: bytes) -> None:
        # By a greenlet of its own: we are called by the loop and must not wait.
        gevent.spawn(_try, self._wire, frames.client(opcode, content))

    def _send(self, wire: Wire, command: dict[str, Any]) -> None:
        wire.send(json.dumps(command, separators=(",", ":")).encode())


def _try(wire: Wire | None, frame: bytes) -> None:
    if wire is not None:
        with suppress(OSError):  # whoever reads sees that it has ended
            wire.write(frame)
