"""The partitions of a Redis store: their keys and connections, the checks at the start, and how a script is called."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

from services.kernel.broker.port import LEASE_SECONDS, Counters
from services.kernel.broker.redis.bus_reader import BusReader
from services.kernel.broker.redis.scripts import everything, script
from services.kernel.domain.configuration import ConfigurationError
from services.kernel.redis import keys, locators
from services.kernel.redis.client import Client
from services.kernel.redis.connections import Check, Dial
from services.kernel.redis.errors import translate
from services.kernel.redis.link import Command, Link
from services.kernel.redis.pipe import Pipe
from services.kernel.redis.store_url import parse

OLDEST = (7, 0)
"""The Redis version from which a stream counts its own ids (`0-*`) and scripts carry flags."""

_IN_SCRIPTS = (
    "#!lua flags=allow-oom,no-writes\nredis.call('TIME')\nreturn redis.call('INFO', 'replication')"
)
"""What each script of ours asks of its server."""

_FORBIDDEN = (
    "can't run this command",
    "unknown redis command",
    "not allowed from script",
    "acl failure",
)
"""Of the refusals of a script for what it calls; versions and other servers say it each in its own way."""

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

    def __init__(self, number: int, *, dial: Dial, check: Check) -> None:
        self.keys = keys.Keys(number)
        self._dial = dial
        self.client = Client(dial, check=check, scripts=everything(), demoted=self._demoted)
        self.writes = self.client.writes
        self.reads = self.client.reads
        self.reader = BusReader(dial, self.keys.bus, demoted=self._demoted)

    def _demoted(self) -> None:
        """Another server is the master by now, while what was connected stays with the former one."""
        self._dial.doubt()
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
        self._checked = False
        locator = locators.of(store, moved=self._moved, silent=self._note_silent)
        self._dial = Dial(store.server, locator=locator)
        self.parts = [Partition(n, dial=self._dial, check=self._check) for n in range(partitions)]

    def _moved(self) -> None:
        """The master is elsewhere: what is connected to the former one would go on writing into the void."""
        self.counters.moves += 1
        self._checked = False  # it may be set otherwise
        self._dial.moved()
        for part in self.parts:
            part.reset()

    def _note_silent(self, number: int) -> None:
        self.counters.silent_sentinels = number

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
        await self._dial.close()

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

    async def _check(self, pipe: Pipe) -> None:
        """Refuse a server that can never serve, with the first connection that reaches it.

        The layout is looked at with each: a flush takes it away, and whoever came next could choose another.
        """
        if not self._checked:
            await self._check_server(pipe)
            self._checked = True
        await self._check_layout(pipe)

    async def _check_server(self, pipe: Pipe) -> None:
        scripts, server, replication, policy, aof, fsync = await pipe.ask(
            ("EVAL", _IN_SCRIPTS, 0),
            ("INFO", "server"),
            ("INFO", "replication"),
            ("CONFIG", "GET", "maxmemory-policy"),
            ("CONFIG", "GET", "appendonly"),
            ("CONFIG", "GET", "appendfsync"),
        )
        if not isinstance(server, Exception):
            _check_version(server)
        _check_scripts(scripts)
        if isinstance(server, Exception):
            raise server
        _check_replication(replication)
        appends = _check_settings(policy, aof)
        if self.options.trusted_restart:
            _check_trust(replication, safe=appends and _value(fsync) == b"always")

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


def _check_scripts(reply: Any) -> None:
    """Refuse a server whose scripts cannot tell one life of the data from the next: each publish would fail."""
    if not isinstance(reply, Exception):
        return
    text = str(reply).lower()
    if isinstance(reply, NoPermissionError) or any(word in text for word in _FORBIDDEN):
        raise ConfigurationError(
            "scripts may not call INFO and TIME on this Redis: give the user of OPENLINE_REDIS_URL"
            " +info +time +eval +evalsha +script, or take a server that lets scripts call them"
        ) from reply
    raise reply


def _check_version(server: bytes) -> None:
    version = re.search(rb"redis_version:(\d+)\.(\d+)", server)
    if version is not None and (int(version[1]), int(version[2])) < OLDEST:
        raise ConfigurationError(
            f"Redis {version[1].decode()}.{version[2].decode()} is too old:"
            " point OPENLINE_REDIS_URL at Redis 7.0 or newer, or Valkey"
        )


def _check_replication(replication: bytes) -> None:
    if b"role:master" not in replication:
        raise ConfigurationError("this Redis is a replica: point OPENLINE_REDIS_URL at the master")
    if not re.search(rb"^master_replid:[0-9a-f]+", replication, re.MULTILINE):
        raise ConfigurationError(
            "this server's INFO replication names no master_replid, by which losses are noticed:"
            " point OPENLINE_REDIS_URL at Redis 7.0 or newer, or Valkey, without a proxy that hides it"
        )


def _check_settings(policy: Any, aof: Any) -> bool:
    """Whether the server keeps an append-only file. A server that hides its settings is taken at its word."""
    if _value(policy) not in (b"noeviction", None):
        raise ConfigurationError(
            "Redis may evict our data: set maxmemory-policy noeviction in its configuration"
        )
    if _value(aof) == b"no":
        _log.warning(
            "append_only_file_disabled",
            extra={"loses": "all history at a restart", "fix": "set appendonly yes"},
        )
    return _value(aof) == b"yes"


def _check_trust(replication: bytes, *, safe: bool) -> None:
    if not safe or b"connected_slaves:0" not in replication:
        raise ConfigurationError(
            "OPENLINE_TRUSTED_RESTART is only for one Redis without replicas:"
            " set appendonly yes and appendfsync always, or unset it"
        )


def _value(setting: Any) -> bytes | None:
    """The value in a CONFIG GET reply."""
    return setting[1] if isinstance(setting, list) and len(setting) == 2 else None  # noqa: PLR2004 - name, value
