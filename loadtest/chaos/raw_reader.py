"""A client without a package that reads channels and comes back: what all its kinds have in common."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from typing import Any

import httpx2
from websockets.exceptions import WebSocketException

from openline import AsyncPublisher, OpenlineError

_LONGEST = 3.0
_POLL = 0.05

Entry = list[Any]
Place = tuple[str, int]


class LineLostError(Exception):
    """The connection is of no use any more."""


def now() -> int:
    """In milliseconds since 1970."""
    return int(time.time() * 1000)


class Reader:
    """Keeps what it is told of each channel. `at` is where it stands; `reading`: False while it takes nothing."""

    kind = ""

    def __init__(
        self, told: dict[str, Any], number: int, mint: AsyncPublisher, *, name: str = ""
    ) -> None:
        self.name = f"{name or self.kind}-{number}"
        every, each = told["channels"], self.channels(told["each"])
        self.names = [every[(number + n) % len(every)] for n in range(each)]
        self.url: str = told["url"]
        self.at: dict[str, Place] = {}
        self.records: dict[str, list[Entry]] = {name: [] for name in self.names}
        self.away: list[tuple[int, int]] = []
        self.arrivals: list[int] = []
        self.reading = True
        self.is_connected = False
        self.live_in: set[str] = set()
        self._left: dict[str, int] = {}
        self._mint = mint
        self._ttl: int = told["ttl"]

    def channels(self, each: int) -> int:
        """How many channels it reads, where others read `each`."""
        return each

    async def live(self) -> None:
        """Be there until cancelled, and come back whenever the line is lost."""
        tries = 0
        while True:
            with contextlib.suppress(
                OSError, TimeoutError, LineLostError, OpenlineError, WebSocketException,
                httpx2.HTTPError,
            ):  # fmt: skip
                try:
                    await self.once()
                finally:
                    if self.is_connected:
                        tries = 0
                    self._lose_line()
            await asyncio.sleep(random.uniform(0.05, min(_LONGEST, 0.2 * 2**tries)))  # noqa: S311
            tries += 1

    async def once(self) -> None:
        """One connection, from its beginning to its end. Raises what ends it."""
        raise NotImplementedError

    async def token(self) -> str:
        """A fresh one for this user."""
        return await self._mint.token(self.name, ttl=self._ttl)

    async def may_read(self) -> None:
        """Until it is to take something."""
        while not self.reading:  # noqa: ASYNC110 - told by a word, seldom
            await asyncio.sleep(_POLL)

    # What it is told

    def connected(self) -> None:
        """A connection stands."""
        self.is_connected = True
        self.arrivals.append(now())

    def joined(self, channel: str, told: dict[str, Any]) -> None:
        """A subscription stands: `told` has `epoch`, `offset` and, after a position, `recovered` and `began`."""
        place = (told["epoch"], told["offset"])
        if channel not in self.at:
            self.records[channel].append(["start", *place])
            self.at[channel] = place
        elif told.get("recovered"):
            self.records[channel].append(["recovered"])
        else:
            asked = "recovered" in told
            self.lost(channel, told, "recovered: false" if asked else "it had no cursor yet")
        self.live_in.add(channel)
        left = self._left.pop(channel, None)
        if left is not None:
            self.away.append((left, now()))

    def got(self, channel: str, told: dict[str, Any]) -> None:
        """A message came."""
        self.records[channel].append(["got", told["offset"], told["data"]["id"], now()])
        if channel in self.at:
            self.at[channel] = (self.at[channel][0], told["offset"])

    def lost(self, channel: str, told: dict[str, Any], reason: str) -> None:
        """It was told that something is missing."""
        place = (told["epoch"], told["offset"])
        self.records[channel].append(["lost", *place, told.get("began"), reason, now()])
        self.at[channel] = place

    def passed(self, how: str, channel: str, told: dict[str, Any]) -> None:
        """Somebody came or went: `join` or `leave`."""
        self.records[channel].append([how, told["connection"], now()])

    def failed(self, channel: str, code: str) -> None:
        """It will never be told anything of it."""
        self.records[channel].append(["failed", code])

    def forget(self) -> None:
        """Begin anew, as somebody who was never there."""
        self.at.clear()
        self.records = {name: [] for name in self.names}
        self._left.clear()

    def _lose_line(self) -> None:
        for name in self.live_in:
            self._left.setdefault(name, now())
        self.live_in.clear()
        self.is_connected = False

    # What it says of itself

    def is_live(self) -> bool:
        """Whether all that it reads stands."""
        return self.is_connected and len(self.live_in) == len(self.names)

    def look(self) -> list[Entry]:
        """Where it stands in each channel."""
        return [[name, *self.at.get(name, (None, None))] for name in self.names]

    def report(self) -> dict[str, Any]:
        """What the checker reads."""
        return {
            "name": self.name,
            "channels": self.records,
            "sent": [],
            "refused": [],
            "waiting": {},
            "away": self.away,
            "arrivals": self.arrivals,
        }
