"""What waits to be published: in order for each channel, paced, kept over reconnects, rejected rather than forgotten.

Pure: `now` is seconds of a monotonic clock, `random` from 0 to 1; what is taken is sent by the caller.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass, field

from openline.errors import OpenlineError
from openline.types import Published

FLYING = 20
"""Publishes of a channel that may be unanswered at once, unless it is `ordered`."""

RATE = 45.0
BURST = 150.0
"""Commands a second, and at once: below what a server allows unless told."""

SHARE_OF_RATE = 0.9
SHARE_OF_BURST = 0.75
"""Of the limits that the server names: others of our commands count too."""


@dataclass(slots=True)
class Entry:
    """One publish. `settle` takes its result, once. Without a `key` it is sent once: it is ephemeral."""

    id: int
    channel: str
    frame: str | bytes
    settle: Callable[[Published | OpenlineError], None]
    key: str | None = None
    echo: bool = True
    deadline: float = 0.0


@dataclass(slots=True)
class _Lane:
    """The publishes of one channel; those that wait are sorted by `id`."""

    ordered: bool = False
    held_until: float = 0.0
    waiting: list[Entry] = field(default_factory=list)
    flying: dict[int, Entry] = field(default_factory=dict)

    def may_send(self, now: float) -> bool:
        room = len(self.flying) < (1 if self.ordered else FLYING)
        return bool(self.waiting) and room and now >= self.held_until


class Pace:
    """A bucket of tokens, one a command."""

    def __init__(self, now: float = 0.0, *, rate: float = RATE, burst: float = BURST) -> None:
        self.rate, self.burst = rate, burst
        self._tokens, self._at = burst, now

    def limit(self, rate: float, burst: float) -> None:
        """The server has named its own limits; both 0 means none."""
        unlimited = float("inf")
        self.rate = rate * SHARE_OF_RATE or unlimited
        self.burst = max(1.0, burst * SHARE_OF_BURST) if burst else unlimited
        self._tokens = min(self._tokens, self.burst) if burst else unlimited

    def refill(self, now: float) -> None:
        """A new connection: the server counts anew."""
        self._tokens, self._at = self.burst, now

    def spend(self, now: float, count: int = 1) -> None:
        """So many commands are sent, whatever is left."""
        self._fill(now)
        self._tokens -= count

    def empty(self, now: float) -> None:
        """The server says that it was too much."""
        self._fill(now)
        self._tokens = min(self._tokens, 0.0)

    def wait(self, now: float) -> float:
        """Seconds until the next command; 0 when it may go."""
        self._fill(now)
        return max(0.0, (1 - self._tokens) / self.rate) if self._tokens < 1 else 0.0

    def _fill(self, now: float) -> None:
        if now > self._at:
            self._tokens = min(self.burst, self._tokens + (now - self._at) * self.rate)
            self._at = now


class Outbox:
    """The publishes of one client. `limit`: how many may wait; `patience`: for how many seconds."""

    def __init__(self, pace: Pace, *, limit: int, patience: float) -> None:
        self.pace = pace
        self._limit = limit
        self._patience = patience
        self._entries: dict[int, Entry] = {}
        self._keys: dict[str, int] = {}
        self._lanes: dict[str, _Lane] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: Entry, now: float, *, ordered: bool = False) -> None:
        """Let a publish wait for its turn. Raises `queue_full`."""
        if len(self._entries) >= self._limit:
            raise OpenlineError(
                f"{self._limit} publishes wait already; publish slower, or give Client a larger queue",
                code="queue_full",
                temporary=True,
            )
        entry.deadline = now + self._patience
        self._entries[entry.id] = entry
        if not entry.echo and entry.key is not None:
            self._keys[entry.key] = entry.id
        lane = self._lanes.setdefault(entry.channel, _Lane())
        lane.ordered = ordered
        lane.waiting.append(entry)

    def take(self, now: float, stands: Callable[[str], bool]) -> list[Entry]:
        """What is to be sent now; `stands` says of a channel whether its subscription, if any, does."""
        taken: list[Entry] = []
        ready = [
            lane for channel, lane in self._lanes.items() if lane.may_send(now) and stands(channel)
        ]
        while ready and not self.pace.wait(now):
            lane = min(ready, key=lambda one: one.waiting[0].id)
            entry = lane.waiting.pop(0)
            lane.flying[entry.id] = entry
            self.pace.spend(now)
            taken.append(entry)
            if not lane.may_send(now):
                ready.remove(lane)
        return taken

    def next(self, now: float, stands: Callable[[str], bool]) -> float | None:
        """When to look again, for something to send or to give up; None when nothing waits."""
        oldest = next(iter(self._entries.values()), None)
        if oldest is None:
            return None
        times = [oldest.deadline]
        for channel, lane in self._lanes.items():
            if lane.may_send(max(now, lane.held_until)) and stands(channel):
                times.append(max(lane.held_until, now + self.pace.wait(now)))
        return min(times)

    def acked(self, id: int, published: Published) -> Entry | None:
        """A publish was stored; None when it is not known any more."""
        entry = self._remove(id)
        if entry is not None:
            entry.settle(published)
        return entry

    def came(self, key: str, published: Published) -> bool:
        """A message with this key came: whether it is one of ours that was not to be seen here. Then it is done."""
        known = self._keys.get(key)
        return known is not None and self.acked(known, published) is not None

    def refused(self, id: int, error: OpenlineError, now: float, *, random: float) -> bool:
        """A publish was refused: for good, or it waits and its channel with it. False when it is not known."""
        entry = self._entries.get(id)
        if entry is None:
            return False
        if not error.temporary or entry.key is None:
            self._remove(id)
            entry.settle(error)
            return True
        if error.code == "rate_limited":
            self.pace.empty(now)
        lane = self._lanes[entry.channel]
        wait = 1.0 if error.retry_after is None else error.retry_after
        lane.held_until = max(lane.held_until, now + wait * (1 + random / 2))
        if lane.flying.pop(id, None) is not None:
            insort(lane.waiting, entry, key=_id)
        return True

    def broken(self, now: float) -> None:
        """The connection is gone: what was unanswered is sent again with its key, on the next one."""
        self.pace.refill(now)
        for lane in list(self._lanes.values()):
            flying = list(lane.flying.values())
            lane.flying.clear()
            lane.waiting = sorted(
                [entry for entry in flying if entry.key is not None] + lane.waiting, key=_id
            )
            for entry in flying:
                if entry.key is None:
                    self._remove(entry.id)
                    entry.settle(_lost(entry))

    def expire(self, now: float) -> None:
        """Give up what waited too long."""
        for entry in list(self._entries.values()):
            if entry.deadline > now:
                return
            self._remove(entry.id)
            entry.settle(
                OpenlineError(
                    f"a publish in {entry.channel} was not answered in {self._patience:g} s; "
                    "whether it was stored is not known",
                    code="expired",
                    temporary=True,
                )
            )

    def remove(self, id: int) -> None:
        """Nobody waits for it any more."""
        self._remove(id)

    def reject(self, error: OpenlineError) -> None:
        """Give up everything."""
        entries = list(self._entries.values())
        self._entries.clear()
        self._keys.clear()
        self._lanes.clear()
        for entry in entries:
            entry.settle(error)

    def _remove(self, id: int) -> Entry | None:
        entry = self._entries.pop(id, None)
        if entry is None:
            return None
        if entry.key is not None and self._keys.get(entry.key) == id:
            del self._keys[entry.key]
        lane = self._lanes[entry.channel]
        if lane.flying.pop(id, None) is None and entry in lane.waiting:
            lane.waiting.remove(entry)
        if not lane.waiting and not lane.flying:
            del self._lanes[entry.channel]
        return entry


def _id(entry: Entry) -> int:
    return entry.id


def _lost(entry: Entry) -> OpenlineError:
    return OpenlineError(
        f"the connection broke while an ephemeral message to {entry.channel} was under way",
        code="disconnected",
        temporary=True,
    )
