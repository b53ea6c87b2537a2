"""Is it up yet? One question for HTTP services and one for Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit


def http(url: str) -> Callable[[], Awaitable[bool]]:
    """Whether GET of the URL answers 200 within 2 s."""

    async def ready() -> bool:
        parts = urlsplit(url)
        request = f"GET {parts.path} HTTP/1.0\r\nHost: {parts.netloc}\r\n\r\n".encode()
        answer = await _ask(parts.hostname or "", parts.port or 80, request)
        return answer.split(b" ")[1:2] == [b"200"]

    return ready


def redis(port: int) -> Callable[[], Awaitable[bool]]:
    """Whether a Redis on loopback answers PING within 2 s (it says LOADING while it reads its files)."""

    async def ready() -> bool:
        return (await _ask("127.0.0.1", port, b"PING\r\n")).startswith(b"+PONG")

    return ready


async def _ask(host: str, port: int, request: bytes) -> bytes:
    try:
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(request)
                return await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return b""
