"""Plain clients in one process, none of a package: native in JSON and MessagePack, a room at its URL, SSE of several
channels, and a back end that publishes by HTTP with and without a key. They are told and keep what crowd.py does.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

from loadtest.chaos.crowd import Obedient, Rounds, obey
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
        self._rounds = Rounds()
        self._readers = [
            _KINDS[number % len(_KINDS)](told, number, mint) for number in range(told["clients"])
        ]
        self._visitors = [Native(told, number, mint, name="visitor") for number in range(2)]
        self._publishers = [
            HttpPublisher(told, number, keyed=number % 2 == 0)
            for number in range(told["publishers"])
        ]
        self._tasks: list[asyncio.Task[None]] = []

    async def come(self) -> None:
        """Connect."""
        for reader in self._readers:
            self._tasks.append(asyncio.create_task(reader.live()))

    async def _visit(self, visitor: Native, going: Callable[[], bool]) -> None:
        """Come and go, by a close and without a word."""
        while going():
            visitor.forget()
            there = asyncio.create_task(visitor.live())
            await self._rounds.pause(random.uniform(*_VISITS))  # noqa: S311 - a pause
            await visitor.go(there)
            await self._rounds.pause(random.uniform(*_VISITS))  # noqa: S311 - a pause

    async def go(self) -> None:
        """End all."""
        self._rounds.end()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for publisher in self._publishers:
            await publisher.close()

    def answer(self, word: str) -> dict[str, Any]:
        """Carry out one word."""
        if word == "start":
            going = self._rounds.begin()
            works = [publisher.publish(going) for publisher in self._publishers]
            works += [self._visit(visitor, going) for visitor in self._visitors]
            self._tasks += [asyncio.create_task(work) for work in works]
        elif word == "stop":
            self._rounds.end()
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
