"""Whose partition lives where: a key of each partition tells, so that a swapped or foreign server is not begun anew.

Looked at with each connection, written once in a fleet's life; no publish knows of it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from enum import StrEnum
from typing import Any, NamedTuple

from services.kernel.domain.configuration import ConfigurationError
from services.kernel.redis import keys
from services.kernel.redis.connections import Dial
from services.kernel.redis.pipe import Pipe
from services.kernel.redis.servers import spelled

MOST = 64
"""Partitions that a fleet may have."""

VERSION = 1
"""Of the way in which keys are laid out, in a home's field `layout`."""

_SETTLE = """#!lua flags=allow-oom
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('HSET', KEYS[1], 'fleet', ARGV[1], 'number', ARGV[2], 'of', ARGV[3], 'layout', ARGV[4])
end
return redis.call('HMGET', KEYS[1], 'fleet', 'of', 'state')
"""


class State(StrEnum):
    """What a partition that is moved from one server to another is at either of them."""

    LIVING = ""
    ARRIVING = "arriving"  # not yet whole; where it came from it may be in use
    MOVED = "moved"  # it lives elsewhere, and must never be begun anew here


class ElsewhereError(ConfigurationError):
    """The partition lives at another server than it was looked for at."""


class Home(NamedTuple):
    """What a partition's key says: the fleet's name, of how many partitions it is one, and whether it lives here."""

    fleet: str
    of: int
    state: State = State.LIVING


def of_reply(reply: Any) -> Home | None:
    """The home in the reply to `question`; None where there is none, or another server of a cluster would have it."""
    if isinstance(reply, Exception) or reply[0] is None or reply[1] is None:
        return None
    return Home(reply[0].decode(), int(reply[1]), State((reply[2] or b"").decode()))


def question(number: int) -> tuple[Any, ...]:
    """The command that asks for a partition's home."""
    return ("HMGET", keys.Keys(number).home, "fleet", "of", "state")


def fleet_of(
    servers: Sequence[Sequence[int]], found: Sequence[Mapping[int, Home]], partitions: int
) -> str | None:
    """The name of the fleet whose partitions were found at its servers; None where nothing was.

    Raises ConfigurationError for partitions that live elsewhere than `servers` says, and for those of several fleets.
    """
    at = {number: place for place, numbers in enumerate(servers) for number in numbers}
    fleets: dict[str, int] = {}
    for place, homes in enumerate(found):
        for number, home in homes.items():
            check_number(home.of, partitions)
            if number in servers[place]:
                fleets.setdefault(home.fleet, number)
            elif number not in at or number not in found[at[number]]:
                raise ConfigurationError(
                    f"partition {number} lives at the server of {spelled(servers[place])} and not at its own:"
                    " correct OPENLINE_REDIS_SERVERS_FILE, or move its keys ol:{p"
                    f"{number}}}:* to the server that is named for it; to begin it anew, delete ol:{{p{number}}}:home there"
                )
    if len(fleets) > 1:
        one, other = list(fleets.values())[:2]
        raise ConfigurationError(
            f"partition {other} at its server is of another fleet than partition {one}: correct"
            " OPENLINE_REDIS_SERVERS_FILE, or use an empty database for one of them"
        )
    return next(iter(fleets), None)


def check_state(number: int, home: Home) -> None:
    """Refuse a partition that has left this server, or is still on its way to it. Raises ElsewhereError."""
    if home.state is State.MOVED:
        raise ElsewhereError(
            f"partition {number} has moved to another server:"
            " put the OPENLINE_REDIS_SERVERS_FILE in place that names it"
        )
    if home.state is State.ARRIVING:
        raise ElsewhereError(
            f"partition {number} has not arrived at its new server: finish the move, or put the former"
            " OPENLINE_REDIS_SERVERS_FILE back"
        )


def check_number(of: int, partitions: int) -> None:
    """Refuse data that was laid out for another number of partitions. Raises ConfigurationError."""
    if of != partitions:
        raise ConfigurationError(
            f"this Redis holds data laid out for {of} partitions:"
            f" set OPENLINE_PARTITIONS={of}, or use an empty database"
        )


class Homes:
    """The homes of all partitions. `servers` are partitions that live together, `dial` makes a connection to one's server."""

    def __init__(
        self, servers: Sequence[Sequence[int]], *, partitions: int, dial: Callable[[int], Dial]
    ) -> None:
        self._servers = servers
        self._partitions = partitions
        self._dial = dial
        self._fleet: str | None = None
        self._settling = asyncio.Lock()

    async def check(self, number: int, pipe: Pipe) -> None:
        """Refuse a server where this partition of this fleet does not live. Raises ConfigurationError, RedisError, OSError."""
        home = await _asked(number, pipe)
        if home is None:
            async with self._settling:
                home = await _asked(number, pipe)
                if home is None:
                    await self._settle(number, pipe)
                    home = await _asked(number, pipe)
        if isinstance(home, Home):
            check_number(home.of, self._partitions)
            check_state(number, home)
        if number == 0:  # only where it lives: this writes
            await self._check_layout(pipe)
        if not isinstance(home, Home):
            return  # hidden, or in a cluster just moved: what is written there says why
        self._fleet = self._fleet or home.fleet
        if home.fleet != self._fleet and not await self._is_renamed(home.fleet, number, pipe):
            raise ConfigurationError(
                f"partition {number} of another fleet lives at its server: correct OPENLINE_REDIS_URL or"
                " OPENLINE_REDIS_SERVERS_FILE, or use an empty database"
            )

    async def _is_renamed(self, fleet: str, here: int, own: Pipe) -> bool:
        """Whether all partitions are of this fleet by now: the store was emptied, and another service began it anew first."""
        async with self._all_servers(here, own) as pipes:
            found = [await all_homes(pipe) for pipe in pipes]
            if fleet_of(self._servers, found, self._partitions) != fleet:
                return False
        self._fleet = fleet
        return True

    @asynccontextmanager
    async def _all_servers(self, here: int, own: Pipe) -> AsyncIterator[list[Pipe]]:
        """A connection to each server; `own` is the one to that of partition `here`."""
        async with AsyncExitStack() as stack:
            pipes = []
            for numbers in self._servers:
                pipe = own if here in numbers else await self._dial(numbers[0]).connect()
                if pipe is not own:
                    stack.callback(pipe.cut)
                pipes.append(pipe)
            yield pipes

    async def _settle(self, here: int, own: Pipe) -> None:
        """Write the homes that are missing, once all servers have been asked: what lives elsewhere must not begin anew."""
        async with self._all_servers(here, own) as pipes:
            found = [await all_homes(pipe) for pipe in pipes]
            await self._check_layout(pipes[self._place(0)])
            fleet = fleet_of(self._servers, found, self._partitions)
            # Partition 0 comes first: of two services that begin, both take the name that stands there then.
            fleet = await self._write(0, pipes, fleet or self._fleet or secrets.token_hex(8))
            for number in range(1, self._partitions):
                await self._write(number, pipes, fleet)

    async def _write(self, number: int, pipes: Sequence[Pipe], fleet: str) -> str:
        about = (fleet, number, self._partitions, VERSION)
        command = ("EVAL", _SETTLE, 1, keys.Keys(number).home, *about)
        (reply,) = await pipes[self._place(number)].ask(command)
        home = of_reply(reply)
        return home.fleet if home is not None else fleet

    def _place(self, number: int) -> int:
        """Which of the servers has a partition."""
        return next(place for place, numbers in enumerate(self._servers) if number in numbers)

    async def _check_layout(self, pipe: Pipe) -> None:
        """The same for data of versions that wrote no homes, and for services of those versions."""
        (found,) = await pipe.ask(("GET", keys.layout()))
        if found is None:
            mine = ("SET", keys.layout(), self._partitions, "NX")
            _, found = await pipe.ask(mine, ("GET", keys.layout()))
        if isinstance(found, bytes):
            check_number(int(found), self._partitions)


async def _asked(number: int, pipe: Pipe) -> Home | Exception | None:
    (reply,) = await pipe.ask(question(number))
    return reply if isinstance(reply, Exception) else of_reply(reply)


async def all_homes(pipe: Pipe) -> dict[int, Home]:
    """The homes of the partitions that live at a server. Raises RedisError or OSError."""
    replies = await pipe.ask(*(question(number) for number in range(MOST)))
    homes = {number: of_reply(reply) for number, reply in enumerate(replies)}
    return {number: home for number, home in homes.items() if home and not home.state}
