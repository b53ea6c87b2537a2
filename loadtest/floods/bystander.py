"""One client that says little and measures how long its answers take."""

from __future__ import annotations

import json
import socket
import time
from dataclasses import dataclass
from typing import Any, Self

from loadtest.bench import frames

_EVERY = 0.025
"""Seconds between two pings: fewer than the 50 commands a second that a connection may send, or they are refused."""

_PATIENCE = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trips:
    """Round trips in milliseconds; `lost`: the connection ended meanwhile, which counts as the longest of all."""

    times: list[float]
    lost: str = ""

    def quantile(self, part: float) -> float:
        """The time that this part of the round trips did not exceed."""
        ordered = sorted(self.times)
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


class Bystander:
    """A connection of its own user; a context manager."""

    def __init__(self, host: str, port: int, token: str) -> None:
        self._socket = socket.create_connection((host, port), timeout=_PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""
        self._socket.sendall(frames.request(f"/ws?token={token}", f"{host}:{port}"))
        while b"\r\n\r\n" not in self._rest:
            self._rest += self._receive()
        self._rest = self._rest.partition(b"\r\n\r\n")[2]
        self._until("connected")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def measure(self, seconds: float) -> Trips:
        """Ping and wait for the answer, again and again for so long."""
        times: list[float] = []
        end = time.monotonic() + seconds
        ping = frames.client(frames.TEXT, b'{"type":"ping"}')
        while (began := time.monotonic()) < end or not times:
            try:
                self._socket.sendall(ping)
                self._until("pong")
            except (OSError, EOFError) as error:
                times.append((time.monotonic() - began) * 1000)
                return Trips(times=times, lost=str(error) or type(error).__name__)
            times.append((time.monotonic() - began) * 1000)
            time.sleep(_EVERY)
        return Trips(times=times)

    def _receive(self) -> bytes:
        data = self._socket.recv(1 << 16)
        if not data:
            raise EOFError("the server hung up")
        return data

    def _until(self, kind: str) -> dict[str, Any]:
        while True:
            events, self._rest = frames.split(self._rest)
            for opcode, payload in events:
                if opcode == frames.CLOSE:
                    raise EOFError(f"closed with {int.from_bytes(payload[:2], 'big')}")
                if opcode == frames.TEXT:
                    event: dict[str, Any] = json.loads(payload)
                    if event["type"] == kind:
                        return event
                    if event["type"] == "error":
                        raise EOFError(f"refused: {event['code']}")
            self._rest += self._receive()
