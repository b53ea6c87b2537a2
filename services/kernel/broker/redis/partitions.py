"""The partitions of a Redis store: their keys and connections, and how a script is called."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from redis.exceptions import AuthenticationError, RedisError

from services.kernel.broker.port import LEASE_SECONDS, Counters
from services.kernel.broker.redis.bus_reader import BusReader
from services.kernel.broker.redis.checks import ServerChecks
from services.kernel.broker.redis.scripts import everything, reaching, script
from services.kernel.domain.configuration import ConfigurationError
from services.kernel.redis import keys, locators
from services.kernel.redis.client import Client
from services.kernel.redis.connections import Check, Dial
from services.kernel.redis.errors import translate
from services.kernel.redis.link import Command, Link
from services.kernel.redis.pipe import Pipe
from services.kernel.redis.redirects import Guard
from services.kernel.redis.store_url import parse

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    """How the store is used. `bus_length` in entries, `lease` in seconds; `trusted_restart` keeps ids over restarts.

    `bus_bytes` are bytes of data that the bus holds, and a sixteenth more; above `memory_percent` of the server's maxmemory
    messages are refused.
    """

    bus_length: int = 50_000
    bus_bytes: int = 67_108_864
    memory_percent: int = 85
    trusted_restart: bool = False
    lease: float = LEASE_SECONDS


class Partition:
    """One partition's keys and its three connections: reading the bus, writing, and reading logs.

    Pages of a log can be large; they must not hold up publishing or beats.
    """

    def __init__(self, number: int, *, dial: Dial, check: Check, cluster: bool = False) -> None:
        """`dial` is this partition's own: its master may move alone. `cluster`: it is a slot that moves."""
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
        self.reader = BusReader(dial, self.keys.bus, demoted=self._demoted)

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

    def __init__(self, url: str, *, partitions: int, options: Options) -> None:
        try:
            store = parse(url)
        except ValueError as error:
            raise ConfigurationError(f"OPENLINE_REDIS_URL {error}") from error
        self.partitions = partitions
        self.counters = Counters()
        self.options = options
        self._checked: set[int] = set()
        """Partitions whose master was found fit."""
        self._cluster = bool(store.nodes)
        self._servers = ServerChecks(trusted_restart=options.trusted_restart, cluster=self._cluster)
        numbers = range(partitions)
        self._locator = locators.of(
            store,
            numbers,
            moved=self._moved,
            silent=self._note_silent,
            masterless=self._note_masterless,
        )
        self.parts = [
            Partition(
                n,
                dial=Dial(store.server, locator=self._locator, partition=n),
                check=partial(self._check, n),
                cluster=self._cluster,
            )
            for n in numbers
        ]

    def _moved(self, numbers: Sequence[int]) -> None:
        """Their master is elsewhere: what is connected to the former one would go on writing into the void."""
        self.counters.moves += 1
        self._checked.difference_update(numbers)  # the new one may be set otherwise
        for number in numbers:
            self.parts[number].moved()

    def _note_silent(self, number: int) -> None:
        self.counters.silent_sentinels = number

    def _note_masterless(self, number: int) -> None:
        self.counters.masterless_partitions = number

    def partition(self, channel: str) -> int:
        """The partition a channel lives in."""
        return keys.partition(channel, self.partitions)

    @property
    def client(self) -> Client:
        """The connections that writing and reading share, for what else is kept on this server: tickets, revocations."""
        return self.parts[0].client

    async def start(self) -> None:
        """Check server and layout; an unreachable server is checked when it is first reached.

        Raises ConfigurationError with one line that names the fix.
        """
        try:
            await self.parts[0].writes.ask(("PING",))
        except AuthenticationError as error:
            raise ConfigurationError(
                "Redis refuses user name or password: correct those in OPENLINE_REDIS_URL"
            ) from error
        except (RedisError, OSError) as error:
            _log.warning("redis_connection_failed", extra={"reason": translate(error).message})

    async def close(self) -> None:
        """Give all connections back."""
        for part in self.parts:
            await part.close()
        await self._locator.close()

    @property
    def lease(self) -> int:
        """Milliseconds without a beat after which a lease has ended."""
        return int(self.options.lease * 1000)

    def of(self, channel: str) -> Partition:
        """The partition a channel lives in, with its connections."""
        return self.parts[self.partition(channel)]

    def fence(self) -> tuple[Any, ...]:
        """The first arguments of each writing script: candidate history id, trusted restart, bus length."""
        options = self.options
        return (fresh(), int(options.trusted_restart), options.bus_length)

    def bounded(self) -> tuple[Any, ...]:
        """The first arguments of the scripts that count bytes: those of `fence`, bus bytes, memory percent."""
        options = self.options
        return (*self.fence(), options.bus_bytes, options.memory_percent)

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

    async def _check(self, number: int, pipe: Pipe) -> None:
        """Refuse a server that can never serve, with the partition's first connection that reaches it.

        The layout is looked at with each: a flush takes it away, and whoever came next could choose another.
        """
        if number not in self._checked:
            await self._servers.check(pipe)
            self._checked.add(number)
        if number == 0 or not self._cluster:
            await self._check_layout(pipe)

    async def _check_layout(self, pipe: Pipe) -> None:
        (found,) = await pipe.ask(("GET", keys.layout()))
        if found is None:
            mine = ("SET", keys.layout(), self.partitions, "NX")
            _, found = await pipe.ask(mine, ("GET", keys.layout()))
        if isinstance(found, bytes) and found != str(self.partitions).encode():
            raise ConfigurationError(
                f"this Redis holds data laid out for {found.decode()} partitions:"
                f" set OPENLINE_PARTITIONS={found.decode()}, or use an empty database"
            )


def fresh() -> str:
    """A new random name for a history or an epoch: never derived from another value."""
    return secrets.token_hex(8)


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
