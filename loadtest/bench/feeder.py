"""Publishes at an even rate, as fast as deliveries come back, or over many HTTP connections at once.

A process of its own: `python -m loadtest.bench.feeder`. Commands come as JSON lines on standard input and are answered
on standard output.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop

from loadtest.bench.feeds import Feed, FeedError, Item, open_feed
from loadtest.bench.payload import SIZE, body
from loadtest.bench.posts import USUAL, Poster

_STUCK = 20.0
"""Seconds without a delivery after which a flood gives up."""


class Feeder:
    """Each public method is one command."""

    def __init__(self) -> None:
        self._feed: Feed | None = None
        self._channels = 1
        self._connections = 1
        self._sent = 0

    async def open(self, command: dict[str, Any]) -> dict[str, Any]:
        """Connect: see `feeds`."""
        self._feed = await open_feed(command)
        self._channels = max(1, len(command.get("channels") or command.get("paths") or ()))
        if command["kind"] == "socket":
            self._channels = 1
        self._connections = command.get("connections", 1)
        return {}

    async def steady(self, command: dict[str, Any]) -> dict[str, Any]:
        """Publish `rate` messages a second for `seconds` in even steps, `together` at a time; what is late goes at once.

        A server that takes no more is given up 2 s after the end; `published` is what was offered.
        """
        total = int(command["rate"] * command["seconds"])
        loop = asyncio.get_running_loop()
        began, late = loop.time(), 0.0
        try:
            async with asyncio.timeout(command["seconds"] + 2):
                late = await self._steadily(command, total)
        except TimeoutError:
            late = float(loop.time() - began)
        return {"published": total, "seconds": loop.time() - began, "late_ms": late * 1000}

    async def _steadily(self, command: dict[str, Any], total: int) -> float:
        rate, together = command["rate"], command.get("together", 1)
        loop = asyncio.get_running_loop()
        began, sent, late = loop.time(), 0, 0.0
        while sent < total:
            ahead = began + sent / rate - loop.time()
            if ahead > 0:
                await asyncio.sleep(ahead)
            due = int((loop.time() - began) * rate) + 1 - sent
            late = max(late, (due - 1) / rate)
            count = min(total - sent, max(together, due // together * together))
            await self._send(count, command.get("size", SIZE))
            sent += count
        return late

    async def paced(self, command: dict[str, Any]) -> dict[str, Any]:
        """Publish `rate` messages a second for `seconds`, each at its time whether or not those before were answered.

        A server that takes no more is given up 2 s after the end; `published` is what was offered.
        """
        total = int(command["rate"] * command["seconds"])
        loop = asyncio.get_running_loop()
        began, late = loop.time(), 0.0
        try:
            async with asyncio.timeout(command["seconds"] + 2), asyncio.TaskGroup() as group:
                for number in range(total):
                    due = began + number / command["rate"]
                    if (ahead := due - loop.time()) > 0:
                        await asyncio.sleep(ahead)
                    late = max(late, loop.time() - due)
                    group.create_task(self._send(1, SIZE))
        except TimeoutError:
            late = float(loop.time() - began)
        return {"published": total, "seconds": loop.time() - began, "late_ms": late * 1000}

    async def saturate(self, command: dict[str, Any]) -> dict[str, Any]:
        """Publish for `seconds` on all connections of the feed at once, on each as soon as it was answered.

        A connection has channels of its own: no more of them are used than there are channels.
        """
        feed, loop = self._feed, asyncio.get_running_loop()
        assert feed is not None
        end, published = loop.time() + command["seconds"], 0

        async def one(first: int) -> None:
            nonlocal published
            # Channels stay on their connection: their order is kept.
            for number in itertools.count():
                for channel in range(first, self._channels, self._connections):
                    if loop.time() >= end:
                        return
                    await feed.send([Item(channel, body(number))])
                    published += 1

        await asyncio.gather(*map(one, range(min(self._connections, self._channels))))
        return {"published": published}

    async def flood(self, command: dict[str, Any]) -> dict[str, Any]:
        """Publish for `seconds`, `batch` at a time, whenever fewer than `outstanding` have not come back yet."""
        assert self._feed is not None
        watch = self._feed.watch
        assert watch is not None
        loop = asyncio.get_running_loop()
        end, sent, base = loop.time() + command["seconds"], 0, watch.seen
        while loop.time() < end:
            watch.moved.clear()
            if sent - (watch.seen - base) > command["outstanding"] - command["batch"]:
                await asyncio.wait_for(watch.moved.wait(), _STUCK)
            else:
                await self._send(command["batch"], command.get("size", SIZE))
                sent += command["batch"]
        return {"published": sent}

    async def load(self, command: dict[str, Any]) -> dict[str, Any]:
        """POST `body` to `path` for `seconds` over `connections` at once; how often each status was answered."""
        posters = self._posters(command)
        loop = asyncio.get_running_loop()
        end = loop.time() + command["seconds"]
        counted: Counter[int] = Counter()
        content = command["body"].encode()

        async def one(poster: Poster) -> None:
            while loop.time() < end:
                answer = await poster.post(command["path"], content)
                counted[answer.status] += 1

        await asyncio.gather(*map(one, posters))
        for poster in posters:
            poster.close()
        return {"answers": {str(status): count for status, count in counted.items()}}

    async def post(self, command: dict[str, Any]) -> dict[str, Any]:
        """POST each of `bodies` to `path` and give the answers' bodies."""
        posters = self._posters(command)
        bodies, answers = command["bodies"], [""] * len(command["bodies"])

        async def some(first: int, poster: Poster) -> None:
            for n in range(first, len(bodies), len(posters)):
                answer = await poster.post(command["path"], bodies[n].encode())
                answers[n] = answer.body.decode()

        await asyncio.gather(*(some(n, poster) for n, poster in enumerate(posters)))
        for poster in posters:
            poster.close()
        return {"answers": answers}

    async def close(self, _command: dict[str, Any]) -> dict[str, Any]:
        """Give the feed's connections back; numbers begin anew with the next."""
        if self._feed is not None:
            await self._feed.close()
        self._feed, self._sent = None, 0
        return {}

    async def _send(self, count: int, size: int) -> None:
        assert self._feed is not None
        items = []
        for number in range(self._sent, self._sent + count):
            seq, channel = divmod(number, self._channels)
            items.append(Item(channel, body(seq, size=size)))
        self._sent += count
        await self._feed.send(items)

    def _posters(self, command: dict[str, Any]) -> list[Poster]:
        at, client = (command["host"], command["port"]), command.get("client", USUAL)
        return [
            Poster(*at, headers=command["headers"], client=client)
            for _ in range(command["connections"])
        ]


async def serve() -> None:
    """Carry out commands until standard input ends."""
    feeder = Feeder()
    commands: dict[str, Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]] = {
        "open": feeder.open,
        "steady": feeder.steady,
        "paced": feeder.paced,
        "saturate": feeder.saturate,
        "flood": feeder.flood,
        "load": feeder.load,
        "post": feeder.post,
        "close": feeder.close,
    }
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command = json.loads(line)
        try:
            answer = await commands[command["do"]](command)
        except (FeedError, OSError, TimeoutError, EOFError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        except BaseExceptionGroup as errors:
            answer = {"error": str(errors.exceptions[0])}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(serve())
