"""Waiting for what has nothing to signal with."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


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
