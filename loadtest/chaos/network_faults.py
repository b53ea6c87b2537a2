"""Faults of lines: that to Redis, and those of clients."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from loadtest.chaos.acts import SLOW, Act
from loadtest.chaos.proxy import SteerableProxy
from loadtest.chaos.store_faults import OfStandalone


class _Network(Act):
    lasts = SLOW

    @property
    def way(self) -> SteerableProxy:
        """What is spoilt."""
        raise NotImplementedError


class _ToRedis(OfStandalone, _Network):
    pass


class _ToClients(_Network):
    host = False

    @property
    def way(self) -> SteerableProxy:
        return self.front.way


Spoil = Callable[[SteerableProxy], Awaitable[None]]


def _set(name: str, value: object) -> Spoil:
    async def spoil(way: SteerableProxy) -> None:
        setattr(way, name, value)

    return spoil


async def _cut(way: SteerableProxy) -> None:
    way.reset()


async def _again(way: SteerableProxy) -> None:
    """What was lost on the way cannot be had again: such connections end."""
    way.swallows = ""
    way.reset()


async def _halve(way: SteerableProxy) -> None:
    way.halve()


_WAYS: tuple[tuple[str, str, Spoil, Spoil | None], ...] = (
    ("cut", "every connection ends by RST", _cut, None),
    ("stall", "nothing passes, and nothing is closed", _set("hung", True), _set("hung", False)),
    ("slow", "everything takes 200 ms, each way", _set("delay", 0.2), _set("delay", 0.0)),
    ("trickle", "1 KB a second a connection", _set("rate", 1000), _set("rate", 0)),
    ("deaf", "answers are lost, requests arrive", _set("swallows", "answers"), _again),
    ("mute", "requests are lost", _set("swallows", "requests"), _again),
    ("half-open", "the far side is gone, and nobody is told", _halve, _cut),
)


def _network(side: type[_Network], prefix: str, where: str) -> list[type[Act]]:
    """The ways in which a line can be spoilt, one class each."""
    made: list[type[Act]] = []
    for name, about, begin, end in _WAYS:

        async def begins(self: _Network, spoil: Spoil = begin) -> None:
            await spoil(self.way)

        async def ends(self: _Network, spoil: Spoil | None = end) -> None:
            if spoil is not None:
                await spoil(self.way)

        made.append(
            type(
                f"{prefix}-{name}",
                (side,),
                {
                    "name": f"{prefix}-{name}",
                    "__doc__": f"{where}: {about}.",
                    "lasts": SLOW if end else (0.0, 0.0),
                    "begin": begins,
                    "end": ends,
                },
            )
        )
    return made


ACTS: tuple[type[Act], ...] = (
    *_network(_ToRedis, "redis", "The line to Redis"),
    *_network(_ToClients, "clients", "The line of clients"),
)
