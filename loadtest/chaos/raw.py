"""Plain clients in one process, none of a package: native in JSON and MessagePack, a room at its URL, SSE of several
channels, and a back end that publishes by HTTP with and without a key. They are told and keep what crowd.py does.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

from loadtest.chaos.crowd import Obedient, obey
from loadtest.chaos.raw_http import HttpPublisher, Stream
from loadtest.chaos.raw_reader import Reader
from loadtest.chaos.raw_sockets import Native, Packed, Room
from openline import AsyncPublisher

_KINDS: tuple[type[Reader], ...] = (Native, Packed, Room, Stream)
_VISITS = (1.0, 6.0)


class Crowd:
    """All of them, and the words that they obey, of which `slow` and `fast` are theirs alone: whether every second one
    does not read.
    """

    def __init__(self, told: dict[str, Any], mint: AsyncPublisher) -> None:
        self._told = told
        self._publishing = False
        self._readers = [
            _KINDS[number % len(_KINDS)](told, number, mint) for number in range(told["clients"])
        ]
        self._visitors = [Native(told, number, mint, name="visitor") for number in range(2)]
        self._publishers = [
            HttpPublisher(told, number, keyed=number % 2 == 0)
            for number in range(told["publishers"])
        ]
        self._visiting = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def come(self) -> None:
        """Connect. Visitors come and go, by a close and without a word."""
        for reader in self._readers:
            self._tasks.append(asyncio.create_task(reader.live()))
        for visitor in self._visitors:
            self._tasks.append(asyncio.create_task(self._visit(visitor)))

    async def _visit(self, visitor: Native) -> None:
        await self._visiting.wait()
        while self._publishing:
            visitor.forget()
            there = asyncio.create_task(visitor.live())
            await asyncio.sleep(random.uniform(*_VISITS))  # noqa: S311 - a pause
            await visitor.go(there)
            await asyncio.sleep(random.uniform(*_VISITS))  # noqa: S311 - a pause

    async def go(self) -> None:
        """End all."""
        self._publishing = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for publisher in self._publishers:
            await publisher.close()

    def answer(self, word: str) -> dict[str, Any]:
        """Carry out one word."""
        if word == "start":
            self._publishing = True
            self._visiting.set()
            for publisher in self._publishers:
                publish = publisher.publish(lambda: self._publishing)
                self._tasks.append(asyncio.create_task(publish))
        elif word == "stop":
            self._publishing = False
        elif word in ("slow", "fast"):
            for reader in self._readers[::2]:
                reader.reading = word == "fast"
        elif word == "look":
            return self._look()
        elif word == "report":
            publishers = [publisher.report() for publisher in self._publishers]
            return {"clients": [*(reader.report() for reader in self._readers), *publishers]}
        return {}

    def _look(self) -> dict[str, Any]:
        gone = not any(visitor.is_connected for visitor in self._visitors)
        return {
            "live": sum(reader.is_live() for reader in self._readers) if gone else 0,
            "waiting": sum(len(publisher.waiting) for publisher in self._publishers),
            "positions": [reader.look() for reader in self._readers],
            "nodes": [],
        }


_: type[Obedient] = Crowd


if __name__ == "__main__":
    asyncio.run(obey(Crowd))
