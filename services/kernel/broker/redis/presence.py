"""Presence over Redis: members of channels, listeners' numbers, and the buckets that users share over the fleet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import msgspec

from services.kernel.broker.paging import unwrap, wrap
from services.kernel.broker.port import ChannelPage, Member, Members, Present
from services.kernel.broker.redis.partitions import RedisPartitions, run
from services.kernel.redis import keys
from services.kernel.redis.errors import unavailable
from services.kernel.redis.link import Command

CHUNK = 500
"""Channels or buckets that one script call writes."""

_stored = msgspec.msgpack.Decoder(tuple[str, str, str, str | bool, str])


class PresencePart(RedisPartitions):
    """Entering, leaving, counting."""

    async def enter(
        self, channel: str, member: Member, incarnation: str, *, announce: bool
    ) -> Present:
        """A connection becomes present. Raises `unavailable` when the incarnation holds no lease: beat first."""
        part = self._of(channel)
        k = part.keys
        present = (k.members(channel), k.order(channel), k.users(channel), k.lingering(channel))
        names = (k.record, k.bus, k.leases, k.held(incarnation), *present)
        who = (int(member.user is None), member.user or "", member.info, member.since)
        about = (incarnation, channel, member.connection, *who, int(announce), k.held(""))
        command = run("enter", names, *self._fence(), *about, again=True)
        reply = await self._one("enter", part.writes, command)
        if not reply:
            raise unavailable("this node holds no lease now")
        return Present(*reply)

    async def leave(
        self, channel: str, connection: str, incarnation: str, *, announce: bool, linger: bool
    ) -> bool:
        """A connection leaves, or is marked as lingering; True if it was there."""
        part = self._of(channel)
        k = part.keys
        present = (k.members(channel), k.order(channel), k.users(channel), k.lingering(channel))
        names = (k.record, k.bus, k.held(incarnation), *present)
        about = (incarnation, channel, connection, int(announce), int(linger))
        command = run("leave", names, *self._fence(), *about, again=True)
        return bool(await self._one("leave", part.writes, command))

    async def members(self, channel: str, *, cursor: str | None, limit: int) -> Members:
        """A page of who is present, in the order of connections' names."""
        after, part = unwrap(cursor), self._of(channel)
        names = (part.keys.members(channel), part.keys.order(channel), part.keys.users(channel))
        command = run("members", names, after, max(1, limit), again=True)
        count, users, connections, found, more = await self._one("members", part.reads, command)
        page = tuple(
            _member(connection.decode(), packed)
            for connection, packed in zip(connections, found, strict=True)
            if packed is not None
        )
        end = wrap(connections[-1].decode()) if more else None
        return Members(members=page, count=count, users=users, cursor=end)

    async def listeners(self, incarnation: str, counts: Mapping[str, int]) -> None:
        """Set this node's subscribers a channel. Raises `unavailable` when the incarnation holds no lease."""
        by_part: dict[int, list[str]] = defaultdict(list)
        for channel in counts:
            by_part[self.partition(channel)].append(channel)
        for number, channels in by_part.items():
            commands = [
                self._listening(number, incarnation, {c: counts[c] for c in some})
                for some in _chunks(channels)
            ]
            replies = await self._call("listeners", self._parts[number].writes, commands)
            for reply in replies:
                if isinstance(reply, Exception):
                    raise reply
                if not reply:
                    raise unavailable("this node holds no lease now")

    def _listening(self, number: int, incarnation: str, counts: Mapping[str, int]) -> Command:
        k = self._parts[number].keys
        names = [k.leases, k.channels, k.heard(incarnation)]
        for channel in counts:
            names += (k.listeners(channel), k.head(channel))
        pairs = [part for channel, count in counts.items() for part in (channel, count)]
        return run("listeners", names, incarnation, *pairs, again=True)

    async def subscribers(self, channels: Sequence[str]) -> list[int]:
        """Connections subscribed to each channel over the fleet."""
        answer = [0] * len(channels)
        by_part: dict[int, list[int]] = defaultdict(list)
        for place, channel in enumerate(channels):
            by_part[self.partition(channel)].append(place)
        for number, places in by_part.items():
            part = self._parts[number]
            commands = [
                Command(("HVALS", part.keys.listeners(channels[place])), again=True)
                for place in places
            ]
            replies = await self._call("subscribers", part.reads, commands)
            for place, reply in zip(places, replies, strict=True):
                if isinstance(reply, Exception):
                    raise reply
                answer[place] = sum(map(int, reply))
        return answer

    async def channels(self, prefix: str, *, cursor: str | None, limit: int) -> ChannelPage:
        """A page of channels that have subscribers, merged over the partitions in the order of names."""
        after, limit = unwrap(cursor), max(1, limit)
        start = f"({after}" if after >= prefix and after else f"[{prefix}"
        found: list[str] = []
        for part in self._parts:
            names = ("ZRANGEBYLEX", part.keys.channels, start, f"({prefix}\x7f")
            command = Command((*names, "LIMIT", 0, limit + 1), again=True)
            found += [name.decode() for name in await self._one("channels", part.reads, command)]
        found.sort()
        page = found[:limit]
        counts = await self.subscribers(page)
        end = wrap(page[-1]) if len(found) > limit else None
        return ChannelPage(tuple(zip(page, counts, strict=True)), end)

    async def spend(
        self, usage: Mapping[str, float], *, rate: float, burst: float
    ) -> dict[str, float]:
        """Take from users' buckets; what each has left, negative when overdrawn (not below -burst)."""
        by_part: dict[int, list[str]] = defaultdict(list)
        for user in usage:
            by_part[keys.partition(user, self.partitions)].append(user)
        left: dict[str, float] = {}
        for number, users in by_part.items():
            part = self._parts[number]
            for some in _chunks(users):
                names = [part.keys.bucket(user) for user in some]
                taken = [usage[user] for user in some]
                command = run("spend", names, rate, burst, *taken)
                reply = await self._one("spend", part.writes, command)
                left.update(zip(some, map(float, reply), strict=True))
        return left


def _member(connection: str, packed: bytes) -> Member:
    _, _, since, user, info = _stored.decode(packed)
    name = user if isinstance(user, str) else None
    return Member(user=name, connection=connection, info=info.encode(), since=int(since))


def _chunks(names: Sequence[str]) -> list[Sequence[str]]:
    return [names[i : i + CHUNK] for i in range(0, len(names), CHUNK)]
