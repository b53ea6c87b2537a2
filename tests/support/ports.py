"""Ports for what tests start, so that tests that run at the same time never choose the same one.

A process takes blocks of ports and holds a lock on each until it ends; between choosing a port and listening on it,
which takes a service seconds, nobody else can choose it. The blocks lie below the range of outgoing connections.
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

SIZE = 16
_STARTS = range(12_000, 32_000, SIZE)
_LOCKS = Path(tempfile.gettempdir()) / f"openline-ports-{os.getuid()}"
_held: list[int] = []


def free_block() -> int:
    """The first of `SIZE` ports in a row that nobody listens on and that no other process of tests gets."""
    _LOCKS.mkdir(exist_ok=True)
    for start in random.sample(_STARTS, len(_STARTS)):
        lock = os.open(_LOCKS / str(start), os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        _held.append(lock)
        if all(map(_is_free, range(start, start + SIZE))):
            return start
    raise RuntimeError("no free block of ports is left between 12000 and 32000")


def free_port() -> int:
    """A TCP port on loopback that nobody listens on and that nobody else gets."""
    return next(_ports)


def _endless() -> Iterator[int]:
    while True:
        start = free_block()
        yield from filter(_is_free, range(start, start + SIZE))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


_ports = _endless()
