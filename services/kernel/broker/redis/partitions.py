"""The partitions of a Redis store: their keys and connections, and how a script is called."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from redis.exceptions import AuthenticationError, RedisError
from redis.exceptions import ConnectionError as Lost

from services.kernel.broker.port import LEASE_SECONDS, Counters
from services.kernel.broker.redis.bus_reader import BusReader
from services.kernel.broker.redis.checks import ServerChecks
from services.kernel.broker.redis.homes import ElsewhereError, Homes
from services.kernel.broker.redis.scripts import everything, reaching, script
from services.kernel.domain.configuration import ConfigurationError
from services.kernel.redis import keys, locators
from services.kernel.redis.access import Access, passwords
from services.kernel.redis.client import Client
from services.kernel.redis.connections import Check, Dial
from services.kernel.redis.errors import translate
from services.kernel.redis.link import Command, Link
from services.kernel.redis.locator import Locator
from services.kernel.redis.pipe import Pipe
from services.kernel.redis.redirects import Guard
from services.kernel.redis.servers import Server, spelled
from services.kernel.redis.store_url import StoreUrl, parse

START_SECONDS = 1.5
"""For which a start waits for each of several servers."""

NODES = 0
"""The partition that keeps what nodes tell of themselves."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    """How the store is used. `bus_length` in entries, `lease` in seconds; `trusted_restart` keeps ids over restarts.

    `bus_bytes` are bytes of data that the bus holds, and a sixteenth more; what is older than `bus_seconds` goes. Above `memory_percent` of the server's maxmemory
    messages are refused.
    """

    bus_length: int = 200_000
    bus_bytes: int = 67_108_864
    bus_seconds: int = 30
    memory_percent: int = 85
    trusted_restart: bool = False
    lease: float = LEASE_SECONDS


class Partition:
    """One partition's keys and its three connections: reading the bus, writing, and reading logs.

    Pages of a log can be large; they must not hold up publishing or beats.
    """

    def __init__(self, number: int, *, dial: Dial, check: Check, cluster: bool = False) -> None:
        """`dial` is this partition's own: its master may move alone. `cluster`: it is a slot that moves."""
        self.number = number
        self.keys = keys.Keys(number)
        self._dial = dial
        self._cluster = cluster
        self.client = Client(
            dial,
            check=check,
            scripts=everything(),
            demoted=self._demoted,
            guard=Guard(self.keys.guard, reaching()) if cluster else None,
        )
        self.writes = self.client.writes
        self.reads = self.client.reads
        self.reader = BusReader(dial, self.keys.bus, demoted=self._demoted, check=check)

    def _demoted(self) -> None:
        """Another server is the master by now, while what was connected stays with the former one."""
        self._dial.doubt()
        self.reset()

    def moved(self) -> None:
        """The master is elsewhere: end all connections, and begin anew those that are being opened.

        A master that a slot was taken from refuses what is no longer its own, so what was sent to it may be answered.
        """
        self._dial.moved()
        if self._cluster:
            self.reader.reset()
            self.client.retire()
        else:
            self.reset()

    def authenticate(self, password: str) -> None:
        """Give the next password on open connections."""
        self._dial.authenticate(password)

    def reset(self) -> None:
        """End all connections; each is opened again when next used."""
        self.reader.reset()
        self.client.reset()

    async def close(self) -> None:
        """Drop all connections and refuse what waits."""
        await self.reader.close()
        await self.client.close()


class Partitions:
    """What all parts of the Redis broker share: the partitions, and calls that are counted."""

    def __init__(
        self,
        servers: Sequence[Server],
        *,
        options: Options,
        access: Access | None = None,
        reread: Callable[[], Sequence[Server]] | None = None,
    ) -> None:
        """`servers` have every partition once; `reread` answers with those of now, or raises ValueError or OSError.

        Raises ConfigurationError for a URL that can never work.
        """
        self.partitions = sum(len(server.partitions) for server in servers)
        self.partition = partial(keys.partition, partitions=self.partitions)
        """The partition a channel lives in."""
        self.counters = Counters()
        self.options = options
        self.servers: list[Sequence[int]] = []
        """Partitions that live together; those of a cluster live each for itself."""
        self._access = access or Access()
        self._passwords = passwords(self._access, renewed=self._authenticate)
        self._silent = [0] * len(servers)
        self._masterless = [0] * len(servers)
        self._checked: set[int] = set()
        """Partitions whose master was found fit."""
        self._locators: list[Locator] = []
        self._dials: dict[int, Dial] = {}
        self._reread = reread or (lambda: servers)
        self._urls = {number: server.url for server in servers for number in server.partitions}
        parts: list[Partition] = []
        for place, server in enumerate(servers):
            parts += self._parts(place, server)
        self.parts = sorted(parts, key=lambda part: part.number)
        self._homes = Homes(self.servers, partitions=self.partitions, dial=self._dials.__getitem__)

    def _parts(self, place: int, server: Server) -> Iterator[Partition]:
        """The partitions of one server, which share what finds its master."""
        try:
            store = parse(server.url)
        except ValueError as error:
            raise ConfigurationError(f"OPENLINE_REDIS_URL {error}") from error
        numbers, cluster = server.partitions, bool(store.nodes)
        self.servers += [(number,) for number in numbers] if cluster else [numbers]
        locator = self._locator(store, numbers, place)
        checks = ServerChecks(
            trusted_restart=self.options.trusted_restart, partitions=len(numbers), cluster=cluster
        )
        for number in numbers:
            dial = Dial(store.server, locator=locator, partition=number, **self._credentials)
            self._dials[number] = dial
            check = partial(self._check, number, checks)
            yield Partition(number, dial=dial, check=check, cluster=cluster)

    @property
    def _credentials(self) -> dict[str, Any]:
        return {"access": self._access, "passwords": self._passwords}

    def _locator(self, store: StoreUrl, numbers: Sequence[int], place: int) -> Locator:
        locator = locators.of(
            store,
            numbers,
            moved=self._moved,
            silent=partial(self._note_silent, place),
            masterless=partial(self._note_masterless, place),
            **self._credentials,
        )
        self._locators.append(locator)
        return locator

    def _authenticate(self, password: str) -> None:
        for part in self.parts:
            part.authenticate(password)

    def _moved(self, numbers: Sequence[int]) -> None:
        """Their master is elsewhere: what is connected to the former one would go on writing into the void."""
        self.counters.moves += 1
        self._checked.difference_update(numbers)  # the new one may be set otherwise
        for number in numbers:
            self.parts[number].moved()

    def _note_silent(self, place: int, number: int) -> None:
        self._silent[place] = number
        self.counters.silent_sentinels = sum(self._silent)

    def _note_masterless(self, place: int, number: int) -> None:
        self._masterless[place] = number
        self.counters.masterless_partitions = sum(self._masterless)

    @property
    def client(self) -> Client:
        """The connections that writing and reading share, for what else is kept on this server: tickets, revocations."""
        return self.parts[0].client

    async def start(self) -> None:
        """Check servers and layout; an unreachable server is checked when it is first reached.

        Raises ConfigurationError with one line that names the fix.
        """
        started = await asyncio.gather(*map(self._start, self.parts), return_exceptions=True)
        for error in started:
            if isinstance(error, BaseException):
                raise error

    async def _start(self, part: Partition) -> None:
        where = f"{spelled(self.beside(part.number))}: " if len(self.servers) > 1 else ""
        try:
            # A server that hangs must not keep those from serving that answer.
            async with asyncio.timeout(START_SECONDS if where else None):
                await part.writes.ask(("PING",))
        except AuthenticationError as error:
            raise ConfigurationError(
                f"{where}Redis refuses user name or password: correct those in OPENLINE_REDIS_URL,"
                " or what OPENLINE_REDIS_PASSWORD_FILE or _COMMAND gives"
            ) from error
        except ConfigurationError as error:
            raise ConfigurationError(f"{where}{error}") from error
        except (RedisError, OSError) as error:
            if part.number == self.beside(part.number)[0]:
                reason = f"{where}{translate(error).message}"
                _log.warning("redis_connection_failed", extra={"reason": reason})

    def beside(self, number: int) -> Sequence[int]:
        """The partitions that share a server with this one, itself included."""
        return next(numbers for numbers in self.servers if number in numbers)

    async def close(self) -> None:
        """Give all connections back."""
        for part in self.parts:
            await part.close()
        for locator in self._locators:
            await locator.close()
        if self._passwords is not None:
            await self._passwords.close()

    @property
    def lease(self) -> int:
        """Milliseconds without a beat after which a lease has ended."""
        return int(self.options.lease * 1000)

    def dial(self, number: int) -> Dial:
        """What makes connections to a partition's server."""
        return self._dials[number]

    def of(self, channel: str) -> Partition:
        """The partition a channel lives in, with its connections."""
        return self.parts[self.partition(channel)]

    def fence(self, candidate: str = "") -> tuple[Any, ...]:
        """The first arguments of each writing script: candidate history id (a fresh one), trusted restart, bus length."""
        options = self.options
        return (candidate or fresh(), int(options.trusted_restart), options.bus_length)

    def bounded(self, candidate: str = "") -> tuple[Any, ...]:
        """The first arguments of the scripts that count bytes: those of `fence`, bus bytes, memory percent."""
        options = self.options
        return (*self.fence(candidate), options.bus_bytes, options.memory_percent)

    async def call(self, operation: str, link: Link, commands: Sequence[Command]) -> list[Any]:
        """Replies to commands, an OpenlineError in the place of each that failed; counted for the metrics."""
        replies = await link.call(commands)
        failed = 0
        for place, reply in enumerate(replies):
            if isinstance(reply, Exception):
                failed += 1
                replies[place] = translate(reply)
        self.count(operation, len(replies), failed)
        return replies

    def count(self, operation: str, number: int, failed: int) -> None:
        """Count calls of an operation and how many of them failed, for the metrics."""
        calls, failures = self.counters.calls, self.counters.failures
        calls[operation] = calls.get(operation, 0) + number
        if failed:
            failures[operation] = failures.get(operation, 0) + failed

    async def one(self, operation: str, link: Link, command: Command) -> Any:
        """The reply to one command. Raises OpenlineError."""
        (reply,) = await self.call(operation, link, [command])
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def _check(self, number: int, checks: ServerChecks, pipe: Pipe) -> None:
        """Refuse a server that can never serve, with the partition's first connection that reaches it.

        Whose partition it is is looked at with each: a flush takes that away, and whoever came next could choose another.
        """
        if number not in self._checked:
            await checks.check(pipe, self.parts[number].keys.probe)
            self._checked.add(number)
        try:
            await self._homes.check(number, pipe)
        except ElsewhereError as error:
            if not self._follow(number):
                raise
            raise Lost(str(error)) from error  # the next try leads to its server

    def _follow(self, number: int) -> bool:
        """Go where the servers' file says by now that a partition lives; whether that is elsewhere."""
        try:
            urls = {one: server.url for server in self._reread() for one in server.partitions}
        except (ValueError, OSError) as error:
            _log.warning("servers_file_refused", extra={"reason": str(error)})
            return False
        url = urls[number]
        if url == self._urls[number] or (store := parse(url)).nodes:
            return False
        self._urls[number] = url
        self.servers[:] = together(self.servers, number, self._urls)
        self._silent.append(0)
        self._masterless.append(0)
        self._checked.discard(number)
        locator = self._locator(store, (number,), len(self._silent) - 1)
        self._dials[number].aim(store.server, locator)
        self.parts[number].reset()
        _log.info("partition_moved", extra={"partition": number})
        return True


def together(
    servers: Sequence[Sequence[int]], moved: int, urls: Mapping[int, str]
) -> list[tuple[int, ...]]:
    """The partitions that live together once one has moved to the server of its URL."""
    found = [tuple(one for one in numbers if one != moved) for numbers in servers]
    for place, numbers in enumerate(found):
        if numbers and urls[numbers[0]] == urls[moved]:
            found[place] = tuple(sorted((*numbers, moved)))
            break
    else:
        found.append((moved,))
    return [numbers for numbers in found if numbers]


_names: list[str] = []


def fresh() -> str:
    """A new random name for a history or an epoch: never derived from another value."""
    if not _names:
        # Each publish takes one or two, of which hardly one is ever used: they need no system call each.
        drawn = os.urandom(8 * 256).hex()
        _names.extend(drawn[place : place + 16] for place in range(0, len(drawn), 16))
    return _names.pop()


def run(
    name: str,
    names: Sequence[Any],
    *args: Any,
    again: bool = False,
    lanes: tuple[str, ...] = (),
    size: int = 1,
) -> Command:
    """The command that runs a script with these keys and arguments."""
    parts = (b"EVALSHA", script(name).sha, len(names), *names, *args)
    return Command(parts, again, lanes, size)
