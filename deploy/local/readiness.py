"""Is it up yet? One question for HTTP services and one for Redis; and a call without a body."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit


def http(url: str) -> Callable[[], Awaitable[bool]]:
    """Whether GET of the URL answers 200 within 2 s."""

    async def ready() -> bool:
        return await _status("GET", url) == b"200"

    return ready


async def post(url: str) -> bool:
    """Whether POST of the URL, without a body, is accepted (202) within 2 s."""
    return await _status("POST", url) == b"202"


async def _status(method: str, url: str) -> bytes:
    parts = urlsplit(url)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    head = f"{method} {target} HTTP/1.0\r\nHost: {parts.netloc}\r\nContent-Length: 0\r\n\r\n"
    answer = await _ask(parts.hostname or "", parts.port or 80, head.encode())
    return b"".join(answer.split(b" ")[1:2])


def redis(port: int, password: str) -> Callable[[], Awaitable[bool]]:
    """Whether a Redis on loopback lets us in within 2 s, and has read its files: until then it says LOADING."""

    async def ready() -> bool:
        asked = f"AUTH {password}\r\nPING\r\n".encode()
        return await _ask("127.0.0.1", port, asked, lines=2) == b"+OK\r\n+PONG\r\n"

    return ready


async def _ask(host: str, port: int, request: bytes, *, lines: int = 1) -> bytes:
    try:
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(request)
                return b"".join([await reader.readline() for _ in range(lines)])
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return b""
