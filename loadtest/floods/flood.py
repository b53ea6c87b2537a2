"""One flood: connections that send the same bytes for as long as they may, from a process of their own."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvloop

_AGAIN = 0.02
"""Seconds before a connection that ended is opened again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flood:
    """`service`: gateway, auth, publisher or front_door; the front door stands before all of them.

    Each of `connections` sends `opening`, reads until `awaited` came, then sends `block` again and again, `pause` seconds
    apart. `reads` False: nothing is read after that. `once`: it hangs up when the first answer to a block is there.
    """

    name: str
    service: str = "gateway"
    opening: bytes = b""
    awaited: bytes = b""
    block: bytes = b""
    pause: float = 0.0
    connections: int = 4
    reads: bool = True
    once: bool = False


@contextmanager
def flooding(flood: Flood, host: str, port: int) -> Iterator[None]:
    """The flood runs until the context ends."""
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_run, args=(flood, host, port), daemon=True)
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


def _run(flood: Flood, host: str, port: int) -> None:
    uvloop.run(_all(flood, host, port))


async def _all(flood: Flood, host: str, port: int) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(flood.connections):
            group.create_task(_again_and_again(flood, host, port))


async def _again_and_again(flood: Flood, host: str, port: int) -> None:
    while True:
        # Whatever the server does with it: refuse, close or cut off.
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            await _one(flood, host, port)
        await asyncio.sleep(_AGAIN)


async def _one(flood: Flood, host: str, port: int) -> None:
    reader, writer = await asyncio.open_connection(host, port, limit=1 << 20)
    try:
        writer.write(flood.opening)
        if flood.awaited:
            await reader.readuntil(flood.awaited)
        if flood.once:
            writer.write(flood.block)
            await reader.read(1 << 16)
            return
        reading = asyncio.ensure_future(_read(reader, forever=not flood.reads))
        writing = asyncio.ensure_future(_write(flood, writer))
        done, left = await asyncio.wait({reading, writing}, return_when=asyncio.FIRST_COMPLETED)
        for task in left:
            task.cancel()
        await asyncio.gather(*done, *left, return_exceptions=True)
    finally:
        writer.transport.abort()


async def _write(flood: Flood, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(flood.block)
        await writer.drain()
        await asyncio.sleep(flood.pause)


async def _read(reader: asyncio.StreamReader, *, forever: bool) -> None:
    if forever:
        await asyncio.Event().wait()
    while await reader.read(1 << 20):
        pass
