"""`/ws/echo`: every message comes back unchanged, without a token; for conformance suites and first steps."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.support.people import People


def echo(people: People, **options: Any) -> Any:
    return connect(
        people.ws(path="/ws/echo"), compression=None, proxy=None, max_size=2**24, **options
    )


async def said(socket: ClientConnection, message: str | bytes) -> str | bytes:
    await socket.send(message)
    async with asyncio.timeout(20):
        return await socket.recv()


async def test_text_and_binary_messages_come_back_unchanged(people: People) -> None:
    async with echo(people) as socket:
        for message in ("", "hello", "ü\u2028\x00", '{"type":"ping"}', b"", b"\x00\xff"):
            assert await said(socket, message) == message
        assert await said(socket, "x" * 65_536) == "x" * 65_536
        async with asyncio.timeout(20):
            await (await socket.ping(b"life"))


async def test_fragments_come_back_as_one_message(people: People) -> None:
    async with echo(people) as socket:
        await socket.send(["a", "b", "ü"])
        assert await socket.recv() == "abü"


async def test_more_than_64_kib_ends_with_1009(people: People) -> None:
    async with echo(people) as socket:
        await socket.send(b"x" * 65_537)
        with contextlib.suppress(ConnectionClosed):
            await socket.recv()
        assert socket.close_code == 1009


async def test_a_close_is_answered_with_its_code(people: People) -> None:
    for code in (1000, 1001, 3000, 4999):
        async with echo(people) as socket:
            await socket.close(code)
            assert socket.close_code == code
