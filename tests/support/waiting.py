"""Waiting for what has nothing to signal with."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from pathlib import Path


async def until(condition: Callable[[], object]) -> None:
    """Let the loop run until `condition()` holds. Raises TimeoutError after 30 s."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - what is waited for has nothing to signal with
            await asyncio.sleep(0.001)


def wait_until(condition: Callable[[], object], *, timeout: float = 30) -> None:
    """Wait until the condition holds. Raises AssertionError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout} s"
        time.sleep(0.02)


def wait_read(client: socket.socket) -> None:
    """Wait until the server, on this machine and at an IPv4 address, has read all that a client has sent so far."""
    ends = client.getpeername()[1], client.getsockname()[1]
    wait_until(lambda: _unread(*ends) == 0)


def _unread(port: int, of: int) -> int | None:
    for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]:
        local, remote, _, queues = line.split()[1:5]
        if (int(local.partition(":")[2], 16), int(remote.partition(":")[2], 16)) == (port, of):
            return int(queues.partition(":")[2], 16)
    return None
