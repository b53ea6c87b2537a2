"""The fleet over Redis: leases of gateways, what each has subscribers in, and the buckets that users share."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from typing import TypeVar

from services.kernel.broker.paging import unwrap, wrap
from services.kernel.broker.port import (
    Beat,
    Beaten,
    ChannelPage,
    Fleet,
    Health,
)
from services.kernel.broker.redis import entries
from services.kernel.broker.redis.beats import Beats
from services.kernel.broker.redis.partitions import NODES, Partition, Partitions, run
from services.kernel.domain.codes import OpenlineError
from services.kernel.redis import keys
from services.kernel.redis.errors import unavailable
from services.kernel.redis.link import Command

T = TypeVar("T")

CHUNK = 100
"""Channels or buckets that one script call writes: 1.3 ms in which Redis serves nobody else. After a failover every gateway
tells all that it has."""

REAPED = 500
"""Members that one call of reap lets leave: 100,000 in one script would stop Redis for 200 ms."""

HEALTH_SECONDS = 1.5
"""For which each of several servers is waited for: readiness is to fit the facts within three seconds."""


class RedisFleet:
    """The `Fleet` of the port."""

    def __init__(self, redis: Partitions) -> None:
        self._redis = redis
        self._beats = Beats(redis)
        self._acknowledged: set[tuple[int, str]] = set()
        """Partitions and incarnations whose first heartbeat was answered."""

    async def beat(self, partition: int, beat: Beat) -> Beaten:
        """Renew the lease; a canary goes on the bus where one is due."""
        first = (partition, beat.incarnation) not in self._acknowledged
        reply = await self._beats.send(partition, beat, first=first)
        history, bus, lost, expired, full, at = reply
        self._acknowledged.add((partition, beat.incarnation))
        others = tuple(sorted(other.decode() for other in expired))
        return Beaten(
            history=history.decode(),
            bus=entries.number(bus),
            lost=bool(lost),
            expired=others,
            full=bool(full),
            at=at,
        )

    async def health(self) -> Health:
        """Ask each server once, by its first partition; of several, one that hangs counts as away."""
        servers = self._redis.servers
        asked = await asyncio.gather(*(self._is_full(numbers[0]) for numbers in servers))
        errors = [answer for answer in asked if isinstance(answer, OpenlineError)]
        if len(errors) == len(servers):
            raise errors[0]
        away = (
            number
            for numbers, answer in zip(servers, asked, strict=True)
            if isinstance(answer, OpenlineError)
            for number in numbers
        )
        return Health(full=any(answer is True for answer in asked), away=tuple(sorted(away)))

    async def _is_full(self, number: int) -> bool | OpenlineError:
        part = self._redis.parts[number]
        command = Command(("HEXISTS", part.keys.record, "full"), again=True)
        try:
            async with asyncio.timeout(HEALTH_SECONDS if len(self._redis.servers) > 1 else None):
                return bool(await self._redis.one("health", part.reads, command))
        except OpenlineError as error:
            return error
        except TimeoutError:
            return unavailable("the server does not answer")

    async def reap(self, partition: int, incarnation: str) -> bool:
        """Let up to 500 members of a dead incarnation leave; True while there are more."""
        part = self._redis.parts[partition]
        k = part.keys
        lease = (k.leases, k.ending, k.nodes, k.grace, k.births)
        names = (k.record, k.bus, *lease, k.held(incarnation), k.heard(incarnation), k.channels)
        prefixes = (k.members(""), k.order(""), k.users(""), k.lingering(""), k.listeners(""))
        args = (*self._redis.fence(), incarnation, self._redis.lease, REAPED, *prefixes)
        reply = await self._redis.one("reap", part.writes, run("reap", names, *args, again=True))
        return bool(reply)

    async def resign(self, incarnation: str) -> None:
        """End the lease at once, in every partition."""
        resigning = (self._resign(part, incarnation) for part in self._redis.parts)
        _raise_first(await asyncio.gather(*resigning, return_exceptions=True))

    async def _resign(self, part: Partition, incarnation: str) -> None:
        k = part.keys
        names = (k.leases, k.ending, k.nodes, k.record)
        await self._redis.one("resign", part.writes, run("resign", names, incarnation, again=True))

    async def nodes(self) -> list[bytes]:
        """What living nodes told with their last beats."""
        part = self._redis.parts[NODES]
        names = (part.keys.leases, part.keys.nodes)
        return list(
            await self._redis.one(
                "nodes", part.reads, run("nodes", names, self._redis.lease, again=True)
            )
        )

    async def listeners(
        self, incarnation: str, counts: Mapping[str, int], *, totals: Container[str] = ()
    ) -> dict[str, int]:
        """Set this node's subscribers a channel, and count the fleet's. Raises `unavailable` when the incarnation holds no lease."""
        by_part: dict[int, list[str]] = defaultdict(list)
        for channel in counts:
            by_part[self._redis.partition(channel)].append(channel)
        # All are told, whichever is away.
        telling = (
            self._tell(number, incarnation, {c: counts[c] for c in channels}, totals)
            for number, channels in by_part.items()
        )
        told = await asyncio.gather(*telling, return_exceptions=True)
        _raise_first(told)
        return {c: total for one in told if isinstance(one, dict) for c, total in one.items()}

    async def _tell(
        self, number: int, incarnation: str, counts: Mapping[str, int], totals: Container[str]
    ) -> dict[str, int]:
        """One call after the other: what others send waits for one of them, not for all that a gateway has to tell."""
        link = self._redis.parts[number].writes
        found: dict[str, int] = {}
        for some in _chunks(list(counts)):
            command = self._listening(number, incarnation, {c: counts[c] for c in some}, totals)
            counted = await self._redis.one("listeners", link, command)
            if counted is None:
                raise unavailable("this node holds no lease now")
            found |= zip((c for c in some if c in totals), counted, strict=True)
        return found

    def _listening(
        self, number: int, incarnation: str, counts: Mapping[str, int], totals: Container[str]
    ) -> Command:
        k = self._redis.parts[number].keys
        names = [k.record, k.leases, k.channels, k.heard(incarnation)]
        for channel in counts:
            names += (k.listeners(channel), k.head(channel))
        told = [part for c, count in counts.items() for part in (c, count, int(c in totals))]
        return run("listeners", names, incarnation, self._redis.lease, *told, again=True)

    async def subscribers(self, channels: Sequence[str]) -> list[int]:
        """Connections subscribed to each channel over the fleet."""
        answer = [0] * len(channels)
        by_part: dict[int, list[int]] = defaultdict(list)
        for place, channel in enumerate(channels):
            by_part[self._redis.partition(channel)].append(place)
        for number, places in by_part.items():
            part = self._redis.parts[number]
            for some in _chunks(places):
                names = [part.keys.listeners(channels[place]) for place in some]
                counted = run(
                    "subscribers", (part.keys.leases, *names), self._redis.lease, again=True
                )
                counts = await self._redis.one("subscribers", part.reads, counted)
                for place, count in zip(some, counts, strict=True):
                    answer[place] = count
        return answer

    async def channels(self, prefix: str, *, cursor: str | None, limit: int) -> ChannelPage:
        """A page of channels that have subscribers, merged over the partitions in the order of names."""
        after, limit = unwrap(cursor), max(1, limit)
        start = f"({after}" if after >= prefix and after else f"[{prefix}"
        found: list[str] = []
        for part in self._redis.parts:
            names = ("ZRANGEBYLEX", part.keys.channels, start, f"({prefix}\x7f")
            command = Command((*names, "LIMIT", 0, limit + 1), again=True)
            found += [
                name.decode() for name in await self._redis.one("channels", part.reads, command)
            ]
        found.sort()
        page = found[:limit]
        counts = await self.subscribers(page)
        end = wrap(page[-1]) if len(found) > limit else None
        heard = tuple(pair for pair in zip(page, counts, strict=True) if pair[1])
        return ChannelPage(heard, end)

    async def spend(
        self, usage: Mapping[str, float], *, rate: float, burst: float
    ) -> dict[str, float]:
        """Take from users' buckets; what each has left, negative when overdrawn (not below -burst)."""
        by_part: dict[int, list[str]] = defaultdict(list)
        for user in usage:
            by_part[keys.partition(user, self._redis.partitions)].append(user)
        spent = await asyncio.gather(
            *(self._spend(number, users, usage, rate, burst) for number, users in by_part.items()),
            return_exceptions=True,
        )
        left = [one for one in spent if isinstance(one, dict)]
        if not left:
            _raise_first(spent)
        return {name: level for one in left for name, level in one.items()}

    async def _spend(
        self, number: int, users: Sequence[str], usage: Mapping[str, float], *bounds: float
    ) -> dict[str, float]:
        part = self._redis.parts[number]
        left: dict[str, float] = {}
        for some in _chunks(users):
            names = [part.keys.bucket(user) for user in some]
            command = run("spend", names, *bounds, *(usage[user] for user in some))
            reply = await self._redis.one("spend", part.writes, command)
            left.update(zip(some, map(float, reply), strict=True))
        return left


def _raise_first(results: Sequence[object]) -> None:
    """Raise the first failure among the results of calls that did not wait for each other."""
    for result in results:
        if isinstance(result, BaseException):
            raise result


def _chunks(names: Sequence[T]) -> list[Sequence[T]]:
    return [names[i : i + CHUNK] for i in range(0, len(names), CHUNK)]


_: type[Fleet] = RedisFleet
