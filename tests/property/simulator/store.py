"""The modelled store: a partition on a master that can be promoted away, crash, forget and be read when it is none."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import NamedTuple

from services.kernel.broker.port import (
    CANARY_SECONDS,
    QUIET_CANARY_SECONDS,
    Beaten,
    Entry,
    EntryType,
    Look,
    Looked,
    Stale,
)
from services.kernel.domain.publications import Publication


class UnavailableError(Exception):
    """The server is down, or is not the master."""


class DemotedError(UnavailableError):
    """The server is a replica by now."""


class Head(NamedTuple):
    epoch: str
    offset: int
    history: str
    began: int


class State(NamedTuple):
    """All data of a server at one moment; writes make a new one, so any past moment can come back.

    `told` is what the surviving timeline holds: (channel, offset) -> payload, never trimmed.
    """

    record: tuple[str, str] | None = None
    canary_at: float = float("-inf")
    bus_last: int = 0
    bus: tuple[Entry, ...] = ()
    heads: dict[str, Head] = {}  # noqa: RUF012
    logs: dict[str, tuple[Publication, ...]] = {}  # noqa: RUF012
    told: dict[tuple[str, int], bytes] = {}  # noqa: RUF012


class Server:
    """One server. A `source` makes it a replica that shows the source as it was `lag` writes ago."""

    def __init__(self, name: str, state: State) -> None:
        self.name = name
        self._replid = name
        self.past = [state]
        self.up = True
        self.source: Server | None = None
        self.frozen = False
        self.lag = 0

    @property
    def _origin(self) -> Server:
        """Where its data come from: itself, or the end of the chain of replicas."""
        return self if self.source is None or self.frozen else self.source._origin

    @property
    def state(self) -> State:
        origin = self._origin
        lag = 0 if origin is self else self.lag
        return origin.past[max(0, len(origin.past) - 1 - lag)]

    @property
    def replid(self) -> str:
        return self._origin._replid

    @property
    def demoted(self) -> bool:
        return self.source is not None and not self.frozen

    @property
    def writable(self) -> bool:
        return self.source is None and not self.frozen and self.up

    def restart(self, lost: int, replid: str) -> None:
        """Come back without the last `lost` writes."""
        del self.past[max(1, len(self.past) - lost) :]
        self._replid = replid

    def write(self, state: State) -> None:
        self.past.append(state)


class Store:
    """The partition: scripts as the adapters' Lua has them, on whichever server is the master."""

    fenced = True  # False: rule 2 is left out, looks do not compare

    def __init__(self, *, history: int, bus: int, page: int, replicas_answer: bool) -> None:
        """`replicas_answer`: the script does not ask for the role, so that replicas answer looks."""
        self._history = history
        self._bus = bus
        self._page = page
        self.replicas_answer = replicas_answer
        self.expired: set[str] = set()
        self._names = count(1)
        self.master = Server(self._name("S"), State())

    def _name(self, letter: str) -> str:
        return f"{letter}{next(self._names)}"

    # Scripts that write

    def publish(self, channel: str, payload: bytes) -> Head:
        state, head = self._fence(channel)
        head = head._replace(offset=head.offset + 1)
        publication = Publication(epoch=head.epoch, offset=head.offset, data=payload, meta=b"")
        log = (*state.logs.get(channel, ()), publication)[-self._history :]
        state = state._replace(
            heads=state.heads | {channel: head},
            logs=state.logs | {channel: log},
            told=state.told | {(channel, head.offset): payload},
        )
        self._commit(state, EntryType.MESSAGE, channel=channel, publication=publication)
        return head

    def open(self, channel: str, epoch: str) -> None:
        state, _ = self._fence(channel, epoch)
        if state is not self.master.state:
            self.master.write(state)

    def drop(self, channel: str) -> None:
        state, head = self._fence(channel)
        head = Head(self._name("E"), head.offset, head.history, head.offset)
        state = state._replace(heads=state.heads | {channel: head}, logs=state.logs | {channel: ()})
        self._nudge(state, channel, head)

    def beat(self, now: float) -> Beaten:
        state = self._recorded()
        is_newest = bool(state.bus) and state.bus[-1].type is EntryType.BEAT
        if now - state.canary_at >= (QUIET_CANARY_SECONDS if is_newest else CANARY_SECONDS):
            state = self._commit(state._replace(canary_at=now), EntryType.BEAT)
        elif state is not self.master.state:
            self.master.write(state)
        assert state.record is not None
        return Beaten(history=state.record[0], bus=state.bus_last)

    def signal(self, channel: str) -> None:
        self._commit(self._recorded(), EntryType.TYPING, channel=channel)

    def _writable(self) -> Server:
        if not self.master.writable:
            raise UnavailableError
        return self.master

    def _recorded(self) -> State:
        """The history record made to name this server."""
        server = self._writable()
        state = server.state
        if state.record is None or state.record[1] != server.replid:
            state = state._replace(record=(self._name("H"), server.replid))
        return state

    def _fence(self, channel: str, epoch: str | None = None) -> tuple[State, Head]:
        """The record, and a head that names it: else the channel begins a new epoch."""
        state = self._recorded()
        assert state.record is not None
        head = state.heads.get(channel)
        if head is not None and head.history == state.record[0]:
            return state, head
        offset = head.offset if head else 0
        logs = state.logs if head else state.logs | {channel: ()}
        head = Head(epoch or self._name("E"), offset, state.record[0], offset)
        return state._replace(heads=state.heads | {channel: head}, logs=logs), head

    def _nudge(self, state: State, channel: str, head: Head) -> None:
        nudge = Publication(epoch=head.epoch, offset=head.offset, data=b"", meta=b"")
        self._commit(state, EntryType.NUDGE, channel=channel, publication=nudge)

    def _commit(
        self,
        state: State,
        kind: EntryType,
        *,
        channel: str = "",
        publication: Publication | None = None,
    ) -> State:
        ident = state.bus_last + 1
        entry = Entry(ident, kind, channel, publication)
        state = state._replace(bus_last=ident, bus=(*state.bus, entry)[-self._bus :])
        self.master.write(state)
        return state

    # What any server answers

    def read(self, server: Server, after: int, count: int) -> list[Entry]:
        if not server.up:
            raise UnavailableError
        return [entry for entry in server.state.bus if entry.id > after][:count]

    def look(self, server: Server, looks: Sequence[Look]) -> list[Looked | Stale]:
        if not server.up:
            raise UnavailableError
        return [self._look(self._reopened(server, look), look) for look in looks]

    def _reopened(self, server: Server, look: Look) -> Server:
        """A look with an epoch makes record and head valid first. One that was cut off answers with what it has."""
        if look.epoch and server.demoted:
            raise DemotedError
        if look.epoch and server is self.master and (self.fenced or self._unknown(look.channel)):
            self.open(look.channel, look.epoch)
        return server

    def _unknown(self, channel: str) -> bool:
        state = self.master.state
        return state.record is None or channel not in state.heads

    def _look(self, server: Server, look: Look) -> Looked | Stale:
        state = server.state
        if server.demoted and not self.replicas_answer:
            return Stale()
        head = state.heads.get(look.channel)
        if state.record is None or head is None:
            return Stale()
        if self.fenced and (state.record[1] != server.replid or head.history != state.record[0]):
            return Stale()
        log = state.logs.get(look.channel, ())
        lowest = log[0].offset - 1 if log else head.offset
        starts = [head.offset, max(lowest, head.offset - look.last)]
        starts += [
            since.offset
            for since in look.since
            if since.epoch == head.epoch and lowest <= since.offset <= head.offset
        ]
        if look.resume and any(since.epoch != head.epoch for since in look.since):
            starts.append(max(lowest, head.began))
        start = min(starts)
        page = tuple(
            Publication(epoch=head.epoch, offset=p.offset, data=p.data, meta=b"")
            for p in log
            if p.offset > start
        )[: self._page]
        return Looked(
            state.record[0], state.bus_last, head.epoch, head.offset, head.began, start, page
        )

    def surviving(self, channel: str, epoch: str, began: int) -> list[int]:
        """Offsets above `began` that the master's log has in the epoch that is the channel's now; else none.

        None as well while the epoch is one that a promotion ended, which nobody has noticed at the new master yet: what is
        told then may come from the old one, whose log was trimmed further.
        """
        state, head = self.master.state, self.master.state.heads.get(channel)
        named = state.record is not None and state.record[1] == self.master.replid
        if not named or head is None or head.epoch != epoch or head.history != state.record[0]:
            return []
        return [p.offset for p in state.logs.get(channel, ()) if p.offset > began]

    # What befalls it

    def promote(self, lost: int, *, lag: int, frozen: bool) -> Server:
        """A replica without the last `lost` writes becomes the master. The old one is frozen until it is demoted."""
        old = self.master
        state = old.past[max(0, len(old.past) - 1 - lost)]
        self.master = Server(self._name("S"), state)
        old.source, old.lag, old.frozen = self.master, lag, frozen
        return old

    def replica(self, lag: int) -> Server:
        replica = Server(self._name("S"), State())
        replica.source, replica.lag = self.master, lag
        return replica

    def restart(self, lost: int) -> None:
        self.master.restart(lost, self._name("R"))

    def flush(self) -> None:
        self._writable().write(State())

    def trim_bus(self, keep: int) -> None:
        state = self._writable().state
        self.master.write(state._replace(bus=state.bus[len(state.bus) - keep :]))

    def expire_log(self, channel: str, *, head: bool) -> None:
        """History ttl passes; with `head` the head's own longer one as well."""
        state = self._writable().state
        state = state._replace(logs={k: v for k, v in state.logs.items() if k != channel})
        if head:
            self.expired.add(channel)
            state = state._replace(heads={k: v for k, v in state.heads.items() if k != channel})
        self.master.write(state)
