"""Free ports of this machine, such that two processes that choose at the same time never choose the same one.

A process claims blocks of ports until it ends: between choosing a port and listening on it, which takes a service seconds,
nobody else can choose it. A claim is a name in Linux's abstract socket namespace (unix(7)): taken at once or not at all, seen
by exactly those who share the ports, and given back however the process ends. Elsewhere nothing is claimed.
"""

from __future__ import annotations

import random
import socket
import sys
from collections.abc import Iterator

BLOCK = 16
# Below the range from which Linux takes the ports of outgoing connections (32768 and up), so that no such connection
# can take a chosen port before its service listens.
_STARTS = range(12_000, 32_000, BLOCK)


def claim(what: str) -> socket.socket | None:
    """Hold the name `what` until the socket is closed; None when another process holds it, or this one does."""
    held = socket.socket(socket.AF_UNIX)
    if sys.platform == "linux":
        try:
            held.bind(f"\0openline.{what}")
        except OSError:
            held.close()
            return None
    return held


def free_block() -> int:
    """The first of `BLOCK` ports in a row on which nobody listens and which nobody else gets from here.

    Raises RuntimeError when there is none.
    """
    for start in random.sample(_STARTS, len(_STARTS)):
        held = claim(f"ports.{start}")
        if held is None:
            continue
        if all(map(is_free, range(start, start + BLOCK))):
            held.detach()  # held from here on until the process ends
            return start
        held.close()
    raise RuntimeError(f"no {BLOCK} free ports in a row are left from 12000 to 31999")


def free_port() -> int:
    """A port on which nobody listens and which nobody else gets from here. Raises RuntimeError when there is none."""
    return next(_ports)


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether this process could listen on the port now."""
    return obstacle(port, host) is None


def obstacle(port: int, host: str) -> OSError | None:
    """What keeps this process from listening on the port now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            return error
    return None


def _endless() -> Iterator[int]:
    while True:
        start = free_block()
        yield from filter(is_free, range(start, start + BLOCK))


_ports = _endless()
