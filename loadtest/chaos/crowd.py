"""Clients of the package `openline` in one process, which keep what they were told; told as crowd.mjs is, line for line."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

from openline import (
    AsyncPublisher,
    Channel,
    Client,
    Join,
    Leave,
    Lost,
    Message,
    OpenlineError,
    Recovered,
)
from openline.types import State

Entry = list[Any]
_BURST = 20
_LOOK = 0.05
_MUTED = 4
"""Every so manyth publish is not to be heard by who publishes it."""


def _now() -> int:
    return int(time.time() * 1000)


class Member:
    """One client: what it reads, what it has published, and what it was told."""

    def __init__(self, told: dict[str, Any], number: int, mint: AsyncPublisher) -> None:
        self.name = f"{told['name']}-{number}"
        every, each = told["channels"], told["each"]
        self.names = [every[(number * each + n) % len(every)] for n in range(each)]
        self.records: dict[str, list[Entry]] = {name: [] for name in self.names}
        self.sent: list[Entry] = []
        self.refused: list[Entry] = []
        self.away: list[tuple[int, int]] = []
        self.arrivals: list[int] = []
        self._count = 0
        self._connection: str | None = None
        self.waiting: dict[str, tuple[str, int]] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self.channels: dict[str, Channel[Any]] = {}
        self.client = Client(told["url"], token=lambda _why: mint.token(self.name, ttl=told["ttl"]))

    async def live(self) -> None:
        """Be there until cancelled."""
        async with self.client, asyncio.TaskGroup() as group:
            for name in self.names:
                group.create_task(self._listen(name))

    def watch(self) -> None:
        """Note when a connection has begun."""
        connection = self.client.connection
        if connection is not None and connection.connection != self._connection:
            self._connection = connection.connection
            self.arrivals.append(_now())

    async def _listen(self, name: str) -> None:
        record = self.records[name]
        left: int | None = None
        try:
            async with self.client.channel(name) as channel:
                assert channel.position is not None
                record.append(["start", channel.position.epoch, channel.position.offset])
                self.channels[name] = channel
                async for event in channel.events():
                    if isinstance(event, Message):
                        record.append(["got", event.offset, event.data["id"], _now()])
                    elif isinstance(event, Lost):
                        where = event.position
                        record.append(
                            ["lost", where.epoch, where.offset, event.began, event.reason, _now()]
                        )
                    elif isinstance(event, Recovered):
                        record.append(["recovered"])
                    elif isinstance(event, Join):
                        record.append(["join", event.connection, _now()])
                    elif isinstance(event, Leave):
                        record.append(["leave", event.connection, _now()])
                    elif isinstance(event, State) and event.state == "rejoining":
                        left = left or _now()
                        record.append(["rejoining"])
                    if left is not None and isinstance(event, Recovered | Lost):
                        self.away.append((left, _now()))
                        left = None
        except OpenlineError as error:
            record.append(["failed", error.code])

    async def publish(self, seconds: float, going: Callable[[], bool]) -> None:
        """Go on as long as told; the pauses differ."""
        while going():
            name = self.names[self._count % len(self.names)]
            key = f"{self.name}:{self._count}"
            self._count += 1
            task = asyncio.create_task(self._publish(name, key, echo=self._count % _MUTED != 0))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
            await asyncio.sleep(seconds * random.uniform(0.5, 1.5))  # noqa: S311 - a pause

    async def _publish(self, name: str, key: str, *, echo: bool) -> None:
        begun = _now()
        self.waiting[key] = (name, begun)
        try:
            done = await self.channels[name].publish({"id": key}, echo=echo)
        except OpenlineError as error:
            self.refused.append([name, key, error.code])
        else:
            self.sent.append([name, key, done.epoch, done.offset, echo, begun, _now()])
        del self.waiting[key]

    def look(self) -> list[Entry]:
        """Where it stands in each channel."""
        found = []
        for name in self.names:
            position = self.channels[name].position if name in self.channels else None
            found.append([name, position and position.epoch, position and position.offset])
        return found

    def is_live(self) -> bool:
        """Whether all that it reads stands."""
        live = [channel.state == "live" for channel in self.channels.values()]
        return self.client.connection is not None and len(live) == len(self.names) and all(live)

    def report(self) -> dict[str, Any]:
        """What the checker reads."""
        return {
            "name": self.name,
            "channels": self.records,
            "sent": self.sent,
            "refused": self.refused,
            "waiting": self.waiting,
            "away": self.away,
            "arrivals": self.arrivals,
        }


class Rounds:
    """Times in which there is something to be done, one after another."""

    def __init__(self) -> None:
        self._present = asyncio.Event()

    def begin(self) -> Callable[[], bool]:
        """A new one begins; whether it goes on."""
        self.end()
        present = self._present = asyncio.Event()
        return lambda: not present.is_set()

    def end(self) -> None:
        """It is over."""
        self._present.set()

    async def pause(self, seconds: float) -> None:
        """So many seconds, or until it is over."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._present.wait(), seconds)


class Crowd:
    """All of them, and the words that they obey."""

    def __init__(self, told: dict[str, Any], mint: AsyncPublisher) -> None:
        self._told = told
        self._rounds = Rounds()
        self._members = [Member(told, number, mint) for number in range(told["clients"])]
        self._tasks: list[asyncio.Task[None]] = []

    async def come(self) -> None:
        """As people come, not as one."""
        self._tasks.append(asyncio.create_task(self.watch()))
        for number, member in enumerate(self._members):
            self._tasks.append(asyncio.create_task(member.live()))
            if number % _BURST == _BURST - 1:
                await asyncio.sleep(0.1)

    async def watch(self) -> None:
        """See when connections begin, to 50 ms: one task for all, which costs little."""
        while True:
            for member in self._members:
                member.watch()
            await asyncio.sleep(_LOOK)

    async def go(self) -> None:
        """End all."""
        self._rounds.end()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def answer(self, word: str) -> dict[str, Any]:
        """Carry out one word."""
        if word == "start":
            going = self._rounds.begin()
            for member in self._members[: self._told["publishers"]]:
                publish = member.publish(self._told["every"] / 1000, going)
                self._tasks.append(asyncio.create_task(publish))
        elif word == "stop":
            self._rounds.end()
        elif word == "look":
            return self._look()
        elif word == "report":
            return {"clients": [member.report() for member in self._members]}
        return {}

    def _look(self) -> dict[str, Any]:
        connections = [member.client.connection for member in self._members]
        return {
            "live": sum(member.is_live() for member in self._members),
            "waiting": sum(len(member.waiting) for member in self._members),
            "positions": [member.look() for member in self._members],
            "nodes": [connection and connection.node for connection in connections],
        }


class Obedient(Protocol):
    """Clients of one process, and what they do when told a word."""

    async def come(self) -> None:
        """Connect."""

    async def go(self) -> None:
        """End all."""

    def answer(self, word: str) -> dict[str, Any]:
        """Carry out one word."""


async def obey(make: Callable[[dict[str, Any], AsyncPublisher], Obedient]) -> None:
    """Until the end of standard input."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    told = json.loads(await reader.readline())
    async with AsyncPublisher(told["url"], **told["login"]) as mint:
        crowd = make(told, mint)
        coming = asyncio.create_task(crowd.come())
        try:
            while line := await reader.readline():
                answer = json.dumps(crowd.answer(line.decode().strip()))
                sys.stdout.write(answer + "\n")
                sys.stdout.flush()
        finally:
            coming.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await coming
            await crowd.go()


if __name__ == "__main__":
    asyncio.run(obey(Crowd))
