"""The end of tasks that talk to a server."""

from __future__ import annotations

import asyncio
from typing import Any

AGAIN = 0.1
"""Seconds until a task that has not ended is cancelled once more."""


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel the tasks until they have ended.

    redis-py can lose a cancellation while it connects, as seen with TLS on a busy machine: the task would go on, read what
    never comes, and be waited for without end.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=AGAIN)
