"""A channel in memory: head, log, members and listeners, as the Redis scripts keep them. Pure: time is an argument."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from services.kernel.broker.port import PAGE, PAGE_BYTES, Draft, Look, Member, Present
from services.kernel.broker.ttls import head_ttl, log_ttl
from services.kernel.domain.publications import Publication


@dataclass(slots=True)
class Head:
    """Where the channel is, and in which history; `dies` in the store's milliseconds."""

    epoch: str
    offset: int
    began: int
    history: str
    dies: int


@dataclass(slots=True)
class Presence:
    """A member, the incarnation that entered it, and whether it is in its leave grace."""

    member: Member
    incarnation: str
    announce: bool
    lingering: bool = False


@dataclass(slots=True)
class Channel:
    """One channel. Everything that expires is asked for through a method that looks at the time."""

    head: Head | None = None
    log: list[tuple[int, Draft]] = field(default_factory=list)
    log_dies: int = 0
    seen: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    members: dict[str, Presence] = field(default_factory=dict)
    listeners: dict[str, int] = field(default_factory=dict)

    def expire(self, now: int) -> None:
        """Forget what has lived its time."""
        if self.head is not None and self.head.dies <= now:
            self.head = None
        if self.log_dies <= now:
            self.log.clear()
        self.seen = {key: place for key, place in self.seen.items() if place[2] > now}

    def opened(self, history: str, *, epoch: str, dies: int) -> Head:
        """The head, made valid in this history."""
        if self.head is None:
            self.log.clear()
            self.head = Head(epoch, 0, 0, history, dies)
        elif self.head.history != history:
            self.head.epoch = epoch
            self.head.began = self.head.offset
            self.head.history = history
        return self.head

    def keep(self, now: int, ttl: int) -> None:
        """Somebody listens: the head, if there is one, is not to go."""
        if self.head is not None and self.head.dies - now < ttl / 2:
            self.head.dies = now + ttl

    def append(self, draft: Draft, *, now: int) -> Publication:
        """The next publication; the head is there."""
        assert self.head is not None
        self.head.offset += 1
        self.head.dies = now + head_ttl(draft.history_ttl)
        self.log_dies = now + log_ttl(draft.history_ttl)
        self.log.append((self.head.offset, draft))
        del self.log[: max(0, len(self.log) - draft.history_size)]
        held = sum(_size(kept) for _, kept in self.log)
        while held > draft.history_bytes and len(self.log) > 1:
            held -= _size(self.log.pop(0)[1])
        return publication(self.head.epoch, self.head.offset, draft)

    def missing(self, look: Look) -> tuple[int, tuple[Publication, ...]]:
        """Where an answer to a look starts, and a page from there."""
        assert self.head is not None
        end = self.head.offset
        oldest = end - len(self.log)
        start = max(oldest, end - look.last)
        for epoch, offset in look.since:
            if epoch == self.head.epoch:
                start = min(start, offset) if offset >= oldest else start
            elif look.resume:
                start = min(start, max(oldest, self.head.began))
        page, _ = self.page(start, reverse=False, limit=PAGE, budget=PAGE_BYTES)
        return start, page

    def page(
        self, since: int | None, *, reverse: bool, limit: int, budget: int
    ) -> tuple[tuple[Publication, ...], bool]:
        """Publications after `since`, or before it when reversed; and whether there are more."""
        if reverse:
            found = [item for item in reversed(self.log) if since is None or item[0] < since]
        else:
            found = [item for item in self.log if since is None or item[0] > since]
        taken: list[Publication] = []
        for offset, draft in found[:limit]:
            budget -= len(draft.data)
            if budget < 0 and taken:
                break
            taken.append(publication(self.head.epoch if self.head else "", offset, draft))
        return tuple(taken), len(taken) < len(found)

    def place(self, member: Member, former: str) -> str:
        """Whose place a newcomer takes: its own former connection's, else the first lingering of its user; or nobody's."""
        before = self.members.get(former)
        if before is not None and _same(before.member, member):
            return former
        names = (
            name
            for name, present in self.members.items()
            if present.lingering and member.user is not None and present.member.user == member.user
        )
        return min(names, default="")

    def connections(self, member: Member) -> int:
        """How many connections the member's user has here; of an anonymous one, whether it is here."""
        if member.user is None:
            return int(member.connection in self.members)
        return sum(present.member.user == member.user for present in self.members.values())

    def present(self) -> Present:
        """How many are here; each anonymous connection counts as a user of its own."""
        users = Counter(
            ("a", name) if present.member.user is None else ("u", present.member.user)
            for name, present in self.members.items()
        )
        return Present(len(self.members), len(users))


def _size(draft: Draft) -> int:
    return len(draft.data) + len(draft.meta)


def _same(one: Member, other: Member) -> bool:
    """Whether both are the same user's, or the same anonymous client's."""
    return one.user == other.user and (
        one.user is not None or (one.client != "" and one.client == other.client)
    )


def publication(epoch: str, offset: int, draft: Draft) -> Publication:
    """A draft at its place."""
    return Publication(
        epoch=epoch,
        offset=offset,
        data=draft.data,
        meta=draft.meta,
        kind=draft.kind,
        token=draft.token,
    )
