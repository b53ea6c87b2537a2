"""A partition in memory: history record, bus, leases and channels, one method a script. Pure: time is an argument."""

from __future__ import annotations

import json
import secrets
from collections import defaultdict, deque
from collections.abc import Mapping

from services.kernel.broker.memory.channel import Channel, Head, Presence, publication
from services.kernel.broker.port import (
    ANNOUNCED_INFO_BYTES,
    ANNOUNCED_MEMBERS,
    CANARY_SECONDS,
    QUIET_CANARY_SECONDS,
    Beat,
    Beaten,
    Draft,
    Entered,
    Entry,
    EntryType,
    Look,
    Looked,
    Member,
    Published,
    Stale,
)
from services.kernel.broker.ttls import HEAD_TTL, KEY_TTL, UNPUBLISHED_TTL
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.positions import Position
from services.kernel.domain.publications import Publication

NO_LEASE = "the message store is unavailable: this node holds no lease now"


class MemoryPartition:
    """`now` and `lease` are milliseconds of the store's clock."""

    def __init__(self, *, bus_length: int, bus_bytes: int, lease: int) -> None:
        self.history = secrets.token_hex(8)
        self.bus: deque[Entry] = deque(maxlen=bus_length)
        self._most, self._held = bus_bytes, 0
        self.last = 0
        self.all: defaultdict[str, Channel] = defaultdict(Channel)
        self.leases: dict[str, int] = {}
        self.births: dict[str, str] = {}
        self.nodes: dict[str, bytes] = {}
        self.ending: set[str] = set()
        self._lease = lease
        self._grace = 0
        self._canary = 0

    def channel(self, name: str, now: int) -> Channel:
        """A channel, without what has expired."""
        channel = self.all[name]
        channel.expire(now)
        return channel

    def opened(self, name: str, *, epoch: str, now: int) -> Head:
        """The channel's head, made valid in this history."""
        dies = now + UNPUBLISHED_TTL
        return self.channel(name, now).opened(self.history, epoch=epoch, dies=dies)

    def put(
        self,
        kind: EntryType,
        channel: str = "",
        *,
        message: Publication | None = None,
        fragment: bytes = b"",
    ) -> int:
        """Append to the bus; the entry's id."""
        self.last += 1
        entry = Entry(self.last, kind, channel, message, fragment)
        self._held += _size(entry)
        while self.bus and (self._held > self._most or len(self.bus) == self.bus.maxlen):
            self._held -= _size(self.bus.popleft())
        self.bus.append(entry)
        return self.last

    def after(self, position: int, most: int) -> list[Entry]:
        """Bus entries after an id."""
        if position >= self.last:
            return []
        return [entry for entry in self.bus if entry.id > position][:most]

    def publish(self, draft: Draft, *, epoch: str, now: int) -> Published | OpenlineError:
        """Store one draft."""
        channel = self.channel(draft.channel, now)
        subscribers = self.subscribers(draft.channel, now)
        if draft.key is not None and draft.key in channel.seen:
            was, offset, _ = channel.seen[draft.key]
            return Published(was, offset, duplicate=True, subscribers=subscribers)
        if draft.expect is not None or not draft.ephemeral:
            head = self.opened(draft.channel, epoch=epoch, now=now)
            if draft.expect not in (None, Position(head.epoch, head.offset)):
                return conflict(draft, Position(head.epoch, head.offset))
        place = self._store(channel, draft, now)
        if draft.key is not None:
            channel.seen[draft.key] = (*place, now + KEY_TTL)
        return Published(*place, subscribers=subscribers)

    def _store(self, channel: Channel, draft: Draft, now: int) -> Position:
        if draft.ephemeral:
            head = channel.head
            epoch = head.epoch if head is not None and head.history == self.history else ""
            self.put(EntryType.EPHEMERAL, draft.channel, message=publication(epoch, 0, draft))
            return Position(epoch, 0)
        message = channel.append(draft, now=now)
        self.put(EntryType.MESSAGE, draft.channel, message=message)
        return Position(message.epoch, message.offset)

    def look(self, look: Look, *, now: int) -> Looked | Stale:
        """Compare a channel with its log."""
        channel = self.channel(look.channel, now)
        if look.epoch:
            self.opened(look.channel, epoch=look.epoch, now=now)
        head = channel.head
        if head is None or head.history != self.history:
            return Stale()
        start, page = channel.missing(look)
        return Looked(
            history=self.history,
            bus=self.last,
            epoch=head.epoch,
            offset=head.offset,
            began=head.began,
            start=start,
            publications=page,
        )

    def drop(self, name: str, *, epoch: str, now: int) -> Position:
        """A new epoch; the offset goes on; the log goes."""
        head = self.opened(name, epoch=epoch, now=now)
        head.epoch, head.began = epoch, head.offset
        head.dies = max(head.dies, now + HEAD_TTL)
        self.all[name].log.clear()
        nudge = publication(epoch, head.offset, Draft(channel=name, data=b"", meta=b""))
        self.put(EntryType.NUDGE, name, message=nudge)
        return Position(epoch, head.offset)

    def beat(self, beat: Beat, *, first: bool, full: bool, now: int) -> Beaten:
        """Renew a lease, and see whose has ended."""
        name = beat.incarnation
        self.leases = {other: min(at, now) for other, at in self.leases.items()}
        if self._away(now):
            self._grace = now + self._lease
        held = self.births.get(name)
        lost = (
            name in self.ending or held not in (None, self.history) or (held is None and not first)
        )
        if not lost:
            self.leases[name] = now
            self.births[name] = self.history
            self.nodes[name] = beat.node
        if beat.former in self.leases:
            self.leases[beat.former] = now - self._lease // 2 - 1
        if beat.canary or self._is_canary_due(full, now):
            self._canary = now
            self.put(EntryType.BEAT, fragment=f'"node":{json.dumps(name)},"at":{now}'.encode())
        over = {other for other in self.leases if self._over(other, now)}
        expired = tuple(sorted(self.ending | over))
        return Beaten(
            history=self.history, bus=self.last, lost=lost, expired=expired, full=full, at=now
        )

    def _is_canary_due(self, full: bool, now: int) -> bool:  # noqa: FBT001 - private
        is_newest = bool(self.bus) and self.bus[-1].type is EntryType.BEAT
        old = QUIET_CANARY_SECONDS if is_newest and not full else CANARY_SECONDS
        return abs(now - self._canary) >= old * 1000

    def _away(self, now: int) -> bool:
        return bool(self.leases) and now - max(self.leases.values()) > self._lease / 3

    def _over(self, incarnation: str, now: int) -> bool:
        return now >= self._grace and now - self.leases[incarnation] > self._lease

    def resign(self, incarnation: str) -> None:
        """End a lease at once."""
        if self.leases.pop(incarnation, None) is not None:
            self.nodes.pop(incarnation, None)
            self.ending.add(incarnation)

    def reap(self, incarnation: str, *, most: int, now: int) -> bool:
        """Let some members of a dead incarnation leave; True while there are more."""
        if incarnation not in self.ending:
            known = incarnation in self.leases
            if not known or self._away(now) or not self._over(incarnation, now):
                return False
            self.resign(incarnation)
        held = [
            (name, connection)
            for name, channel in self.all.items()
            for connection, present in channel.members.items()
            if present.incarnation == incarnation
        ]
        for name, connection in held[:most]:
            announce = self.all[name].members[connection].announce
            self._remove(name, connection, announce=announce)
        heard = [channel for channel in self.all.values() if incarnation in channel.listeners]
        for channel in heard[:most]:
            del channel.listeners[incarnation]
        if len(held) >= most or len(heard) >= most:
            return True
        self.ending.discard(incarnation)
        self.births.pop(incarnation, None)
        return False

    def enter(
        self,
        name: str,
        member: Member,
        incarnation: str,
        *,
        announce: bool,
        former: str,
        now: int,
    ) -> Entered:
        """A connection becomes present."""
        self._need_lease(incarnation)
        channel = self.channel(name, now)
        place = member.connection
        if place not in channel.members:
            place = channel.place(member, former)
        silent = channel.members.pop(place, None) is not None
        former = place if silent and place != member.connection else ""
        channel.members[member.connection] = Presence(member, incarnation, announce)
        if announce and not silent:
            self._announce_join(name, member)
        present = channel.present()
        return Entered(present.count, present.users, former)

    def leave(
        self, name: str, connection: str, incarnation: str, *, announce: bool, linger: bool
    ) -> bool:
        """A connection leaves, or lingers."""
        present = self.all[name].members.get(connection)
        if present is None or present.incarnation != incarnation:
            return False
        if linger:
            present.lingering = True
        else:
            self._remove(name, connection, announce=announce)
        return True

    def _remove(self, name: str, connection: str, *, announce: bool) -> None:
        present = self.all[name].members.pop(connection)
        if announce:
            last = self.all[name].connections(present.member) == 0
            self._announce(EntryType.LEAVE, name, present.member, f',"last":{json.dumps(last)}')

    def _announce_join(self, name: str, member: Member) -> None:
        channel = self.all[name]
        more = f',"first":{json.dumps(channel.connections(member) == 1)}'
        small = (
            len(member.info) <= ANNOUNCED_INFO_BYTES and len(channel.members) <= ANNOUNCED_MEMBERS
        )
        if member.info and small:
            more += f',"info":{member.info.decode()}'
        self._announce(EntryType.JOIN, name, member, more)

    def _announce(self, kind: EntryType, name: str, member: Member, more: str) -> None:
        present = self.all[name].present()
        user, connection = json.dumps(member.user), json.dumps(member.connection)
        counts = f'"count":{present.count},"users":{present.users}'
        fragment = f'"user":{user},"connection":{connection},{counts}{more}'
        self.put(kind, name, fragment=fragment.encode())

    def listen(self, incarnation: str, counts: Mapping[str, int], *, now: int) -> None:
        """Set a node's subscribers a channel."""
        self._need_lease(incarnation)
        for name, count in counts.items():
            if count:
                channel = self.channel(name, now)
                channel.listeners[incarnation] = count
                channel.keep(now, UNPUBLISHED_TTL)
            else:
                self.all[name].listeners.pop(incarnation, None)

    def subscribers(self, name: str, now: int) -> int:
        """Connections that a channel has on nodes that are not quiet."""
        return sum(
            count
            for incarnation, count in self.all[name].listeners.items()
            if now - self.leases.get(incarnation, 0) <= self._lease / 2
        )

    def living(self, now: int) -> list[bytes]:
        """What living nodes told."""
        order = sorted(self.leases, key=lambda name: (self.leases[name], name))
        return [self.nodes[name] for name in order if now - self.leases[name] <= self._lease]

    def _need_lease(self, incarnation: str) -> None:
        if incarnation not in self.leases:
            raise OpenlineError(Code.UNAVAILABLE, NO_LEASE)


def _size(entry: Entry) -> int:
    message = entry.publication
    return len(entry.fragment) + (len(message.data) + len(message.meta) if message else 0)


def conflict(draft: Draft, position: Position) -> OpenlineError:
    """The refusal of a draft whose `expect` is not the channel's position."""
    return OpenlineError(
        Code.CONFLICT,
        f"{draft.channel} is not at the expected position {draft.expect}",
        position=(position.epoch, position.offset),
    )
