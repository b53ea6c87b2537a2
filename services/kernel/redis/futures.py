"""Callbacks for whoever waits instead."""

from __future__ import annotations

import asyncio
from typing import TypeVar

T = TypeVar("T")


def settle(answer: asyncio.Future[T], result: T) -> None:
    """Give a result to whoever waits for it, unless it has given up and so cancelled its future."""
    if not answer.done():
        answer.set_result(result)
