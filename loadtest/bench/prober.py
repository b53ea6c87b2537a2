"""A connection that pings all the time: how long the other side's event loop is busy with something else."""

from __future__ import annotations

import socket
import time
from typing import Self

from loadtest.bench import frames

_STEP = 0.002
_PING = frames.client(frames.TEXT, b'{"type":"ping"}')


class Prober:
    """Pings when the one before is answered, every 2 ms at most. Times in milliseconds, from ping to pong."""

    def __init__(self, host: str, port: int, path: str) -> None:
        self._socket = socket.create_connection((host, port), 10)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(frames.request(path, f"{host}:{port}"))
        self._buffer = b""
        self._running = True
        self._times: list[float] = [0.0]
        self._until(b'"type":"connected"')

    def run(self) -> None:
        """Until stopped."""
        while self._running:
            began = time.perf_counter()
            self._socket.sendall(_PING)
            self._until(b'"type":"pong"')
            took = time.perf_counter() - began
            self._times.append(took * 1000)
            time.sleep(max(0.0, _STEP - took))

    def stop(self) -> None:
        """Ask no more."""
        self._running = False

    @property
    def longest_ms(self) -> float:
        """The longest answer."""
        return max(self._times)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _until(self, mark: bytes) -> None:
        while mark not in self._buffer:
            data = self._socket.recv(65_536)
            if not data:
                raise OSError("the server closed the prober's connection")
            self._buffer += data
        self._buffer = self._buffer.partition(mark)[2]
