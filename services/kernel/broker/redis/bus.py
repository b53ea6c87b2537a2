"""The bus over Redis: reading it, and signals put on it."""

from __future__ import annotations

import json
from collections.abc import Collection

from redis.exceptions import RedisError

from services.kernel.broker.port import Batch, Bus, EntryType, Take
from services.kernel.broker.redis.partitions import Partition, Partitions, run
from services.kernel.domain.configuration import ConfigurationError
from services.kernel.redis.errors import translate


class RedisBus:
    """The `Bus` of the port."""

    def __init__(self, redis: Partitions) -> None:
        self._redis = redis

    async def read(
        self,
        partition: int,
        after: int,
        *,
        block: float = 2.0,
        wanted: Collection[str] | None = None,
        take: Take | None = None,
    ) -> Batch:
        """Bus entries after an id; empty when none came within `block` seconds (10 at most)."""
        calls, failures = self._redis.counters.calls, self._redis.counters.failures
        calls["read"] = calls.get("read", 0) + 1
        try:
            reader = self._redis.parts[partition].reader
            return await reader.read(after, block=block, wanted=wanted, take=take)
        except (RedisError, OSError, ConfigurationError) as error:
            failures["read"] = failures.get("read", 0) + 1
            raise translate(error) from error

    def read_now(self, partition: int) -> None:
        """A read that rests since nothing was wanted is sent."""
        self._redis.parts[partition].reader.read_now()

    async def reconnect(self, partition: int) -> None:
        """Drop this partition's connections."""
        self._redis.parts[partition].reset()

    async def control(self, message: bytes) -> None:
        """Put a control message on the bus of partition 0."""
        await self._signal(
            "control", self._redis.parts[0], header=EntryType.CONTROL.value, fragment=message
        )

    async def typing(self, channel: str, user: str | None) -> None:
        """Tell the channel's subscribers that a user types."""
        fragment = b'"user":' + json.dumps(user).encode()
        header = f"{EntryType.TYPING.value} {channel}"
        await self._signal("typing", self._redis.of(channel), header=header, fragment=fragment)

    async def _signal(
        self, operation: str, part: Partition, *, header: str, fragment: bytes
    ) -> None:
        names = (part.keys.record, part.keys.bus)
        await self._redis.one(
            operation, part.writes, run("signal", names, *self._redis.bounded(), header, fragment)
        )


_: type[Bus] = RedisBus
