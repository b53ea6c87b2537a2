"""The bus over Redis: reading it, signals put on it, and the leases of those who read it."""

from __future__ import annotations

import json

from redis.exceptions import RedisError

from services.kernel.broker.port import Beat, Beaten, Entry, EntryType
from services.kernel.broker.redis import entries
from services.kernel.broker.redis.partitions import Partition, RedisPartitions, run
from services.kernel.domain.configuration import ConfigurationError
from services.kernel.redis.errors import translate

CHUNK = 500
"""Members that one call of reap lets leave: 100,000 in one script would stop Redis for 200 ms."""


class BusPart(RedisPartitions):
    """Reading, beating, reaping, signalling."""

    _beaten: set[tuple[int, str]]

    async def read(self, partition: int, after: int, *, block: float = 2.0) -> list[Entry]:
        """Bus entries after an id; empty when none came within `block` seconds (10 at most)."""
        calls, failures = self.counters.calls, self.counters.failures
        calls["read"] = calls.get("read", 0) + 1
        try:
            return await self._parts[partition].reader.read(after, block=block)
        except (RedisError, OSError, ConfigurationError) as error:
            failures["read"] = failures.get("read", 0) + 1
            raise translate(error) from error

    async def beat(self, partition: int, beat: Beat) -> Beaten:
        """Renew the lease and put the canary on the bus."""
        part, name = self._parts[partition], beat.incarnation
        k = part.keys
        names = (k.record, k.bus, k.leases, k.ending, k.nodes, k.grace, k.births)
        first = (partition, name) not in self._beaten
        args = (*self._fence(), name, beat.node, self._lease, int(first))
        reply = await self._one("beat", part.writes, run("beat", names, *args, again=True))
        history, bus, lost, expired = reply
        self._beaten.add((partition, name))
        others = tuple(sorted(other.decode() for other in expired))
        return Beaten(
            history=history.decode(), bus=entries.number(bus), lost=bool(lost), expired=others
        )

    async def reap(self, partition: int, incarnation: str) -> bool:
        """Let up to 500 members of a dead incarnation leave; True while there are more."""
        part = self._parts[partition]
        k = part.keys
        lease = (k.leases, k.ending, k.nodes, k.grace, k.births)
        names = (k.record, k.bus, *lease, k.held(incarnation), k.heard(incarnation), k.channels)
        prefixes = (k.members(""), k.order(""), k.users(""), k.lingering(""), k.listeners(""))
        args = (*self._fence(), incarnation, self._lease, CHUNK, *prefixes)
        reply = await self._one("reap", part.writes, run("reap", names, *args, again=True))
        return bool(reply)

    async def resign(self, incarnation: str) -> None:
        """End the lease at once, in every partition."""
        for part in self._parts:
            k = part.keys
            names = (k.leases, k.ending, k.nodes)
            await self._one("resign", part.writes, run("resign", names, incarnation, again=True))

    async def nodes(self) -> list[bytes]:
        """What living nodes told with their last beats."""
        part = self._parts[0]
        names = (part.keys.leases, part.keys.nodes)
        return list(
            await self._one("nodes", part.reads, run("nodes", names, self._lease, again=True))
        )

    async def control(self, message: bytes) -> None:
        """Put a control message on the bus of partition 0."""
        await self._signal(
            "control", self._parts[0], header=EntryType.CONTROL.value, fragment=message
        )

    async def typing(self, channel: str, user: str | None) -> None:
        """Tell the channel's subscribers that a user types."""
        fragment = b'"user":' + json.dumps(user).encode()
        header = f"{EntryType.TYPING.value} {channel}"
        await self._signal("typing", self._of(channel), header=header, fragment=fragment)

    async def _signal(
        self, operation: str, part: Partition, *, header: str, fragment: bytes
    ) -> None:
        names = (part.keys.record, part.keys.bus)
        await self._one(
            operation, part.writes, run("signal", names, *self._fence(), header, fragment)
        )

    @property
    def _lease(self) -> int:
        return int(self._options.lease * 1000)
