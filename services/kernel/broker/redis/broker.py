"""The broker over Redis Streams, put together from its parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, Self

from services.kernel.broker.port import Broker
from services.kernel.broker.redis.bus import RedisBus
from services.kernel.broker.redis.fleet import RedisFleet
from services.kernel.broker.redis.log import RedisLog
from services.kernel.broker.redis.partitions import Options, Partitions
from services.kernel.broker.redis.presence import RedisPresence
from services.kernel.redis.access import Access
from services.kernel.redis.servers import Server, single


class StoreSettings(Protocol):
    """What settings say of the store, the same for every service."""

    @property
    def redis(self) -> tuple[Server, ...]:
        """Where it is, and which partitions are there."""

    def redis_anew(self) -> Sequence[Server]:
        """The same as it is by now: partitions move. Raises ValueError or OSError."""

    @property
    def redis_access(self) -> Access:
        """What opens a connection beside its URL."""

    @property
    def trusted_restart(self) -> bool:
        """Whether positions stay good over a restart."""

    @property
    def bus_length(self) -> int:
        """Entries that a partition's bus holds."""

    @property
    def bus_bytes(self) -> int:
        """Bytes of data that it holds."""

    @property
    def bus_seconds(self) -> int:
        """Seconds that it holds entries."""

    @property
    def memory_percent(self) -> int:
        """Part of the store's memory above which messages are refused."""


class RedisBroker:
    """`Broker` over Redis 7.0 or newer, or Valkey. Its calls are those of its parts, without a step between."""

    @classmethod
    def of(cls, settings: StoreSettings) -> Self:
        """The broker that settings ask for."""
        return cls(
            settings.redis,
            access=settings.redis_access,
            reread=settings.redis_anew,
            bus_length=settings.bus_length,
            bus_bytes=settings.bus_bytes,
            bus_seconds=settings.bus_seconds,
            memory_percent=settings.memory_percent,
            trusted_restart=settings.trusted_restart,
        )

    def __init__(
        self,
        where: str | Sequence[Server],
        *,
        partitions: int = 1,
        access: Access | None = None,
        reread: Callable[[], Sequence[Server]] | None = None,
        **options: Any,
    ) -> None:
        """`where` is the URL of a server that has all `partitions`, or says which servers have which; `reread` as for
        `Partitions`.

        `options` are those of `Options`. Connects in `start` or when first used.
        """
        servers = single(where, partitions) if isinstance(where, str) else where
        redis = Partitions(servers, options=Options(**options), access=access, reread=reread)
        self.partitions, self.counters = redis.partitions, redis.counters
        self.client = redis.client
        self.start, self.close, self.partition = redis.start, redis.close, redis.partition

        log = RedisLog(redis)
        self.publish, self.history, self.drop = log.publish, log.history, log.drop
        self.publish_one, self.look, self.open = log.publish_one, log.look, log.open

        bus = RedisBus(redis)
        self.read, self.read_now, self.reconnect = bus.read, bus.read_now, bus.reconnect
        self.control, self.typing = bus.control, bus.typing

        fleet = RedisFleet(redis)
        self.beat, self.reap, self.resign, self.nodes = (
            fleet.beat,
            fleet.reap,
            fleet.resign,
            fleet.nodes,
        )
        self.listeners, self.subscribers = fleet.listeners, fleet.subscribers
        self.channels, self.spend, self.health = fleet.channels, fleet.spend, fleet.health

        presence = RedisPresence(redis)
        self.enter, self.leave, self.members = presence.enter, presence.leave, presence.members


_: type[Broker] = RedisBroker
