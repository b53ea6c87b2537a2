"""Presence over Redis: members of channels."""

from __future__ import annotations

import msgspec

from services.kernel.broker.paging import unwrap, wrap
from services.kernel.broker.port import (
    ANNOUNCED_INFO_BYTES,
    ANNOUNCED_MEMBERS,
    Entered,
    Member,
    Members,
    Presence,
)
from services.kernel.broker.redis.partitions import Partitions, run
from services.kernel.redis.errors import unavailable


class _Stored(msgspec.Struct, array_like=True):
    """A member as presence.lua packs it."""

    incarnation: str
    announce: str
    since: str
    user: str | bool
    info: str


_stored = msgspec.msgpack.Decoder(_Stored)


class RedisPresence:
    """The `Presence` of the port."""

    def __init__(self, redis: Partitions) -> None:
        self._redis = redis

    async def enter(
        self, channel: str, member: Member, incarnation: str, *, announce: bool, former: str = ""
    ) -> Entered:
        """A connection becomes present. Raises `unavailable` when the incarnation holds no lease: beat first."""
        part = self._redis.of(channel)
        k = part.keys
        present = (k.members(channel), k.order(channel), k.users(channel), k.lingering(channel))
        names = (k.record, k.bus, k.leases, k.held(incarnation), *present)
        who = (int(member.user is None), member.user or "", member.info, member.since)
        before = (former, member.client, ANNOUNCED_INFO_BYTES, ANNOUNCED_MEMBERS)
        about = (incarnation, channel, member.connection, *who, int(announce), k.held(""), *before)
        command = run("enter", names, *self._redis.fence(), *about, again=True)
        reply = await self._redis.one("enter", part.writes, command)
        if not reply:
            raise unavailable("this node holds no lease now")
        count, users, place = reply
        return Entered(count, users, place.decode())

    async def leave(
        self, channel: str, connection: str, incarnation: str, *, announce: bool, linger: bool
    ) -> bool:
        """A connection leaves, or is marked as lingering; True if it was there."""
        part = self._redis.of(channel)
        k = part.keys
        present = (k.members(channel), k.order(channel), k.users(channel), k.lingering(channel))
        names = (k.record, k.bus, k.held(incarnation), *present)
        about = (incarnation, channel, connection, int(announce), int(linger))
        command = run("leave", names, *self._redis.fence(), *about, again=True)
        return bool(await self._redis.one("leave", part.writes, command))

    async def members(self, channel: str, *, cursor: str | None, limit: int) -> Members:
        """A page of the members, in the order of their connections' names."""
        after, part = unwrap(cursor), self._redis.of(channel)
        names = (part.keys.members(channel), part.keys.order(channel), part.keys.users(channel))
        command = run("members", names, after, max(1, limit), again=True)
        count, users, connections, found, more = await self._redis.one(
            "members", part.reads, command
        )
        page = tuple(
            _member(connection.decode(), packed)
            for connection, packed in zip(connections, found, strict=True)
            if packed is not None
        )
        end = wrap(connections[-1].decode()) if more else None
        return Members(members=page, count=count, users=users, cursor=end)


def _member(connection: str, packed: bytes) -> Member:
    stored = _stored.decode(packed)
    name = stored.user if isinstance(stored.user, str) else None
    since = int(stored.since)
    return Member(user=name, connection=connection, info=stored.info.encode(), since=since)


_: type[Presence] = RedisPresence
