"""What clients were told and what they have published, read from what crowds report. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Place(NamedTuple):
    """Where a message stands in its channel."""

    epoch: str
    offset: int


@dataclass(frozen=True, slots=True)
class Start:
    """The subscription stands: what comes now is behind this."""

    place: Place


@dataclass(frozen=True, slots=True)
class Got:
    """A message was heard. `id`: what its publisher called it; `at`: when, in milliseconds since 1970."""

    offset: int
    id: str
    at: int = 0


@dataclass(frozen=True, slots=True)
class Lost:
    """The client was told that messages are missing; it goes on behind `place`. What it had above `began` is void."""

    place: Place
    began: int | None
    reason: str
    at: int = 0


@dataclass(frozen=True, slots=True)
class Rejoining:
    """The client was told that its line is gone, and comes back, on one line or on several before one stands."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """The client came back and was told that everything it missed follows."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The channel has failed for good."""

    code: str


@dataclass(frozen=True, slots=True)
class Joined:
    """The client was told that a connection came."""

    connection: str
    at: int = 0


@dataclass(frozen=True, slots=True)
class Left:
    """The client was told that a connection left."""

    connection: str
    at: int = 0


Entry = Start | Got | Lost | Rejoining | Recovered | Failed | Joined | Left


@dataclass(slots=True)
class History:
    """What one client was told of one channel. `own`: places of what it published and was not to hear."""

    client: str
    channel: str
    entries: list[Entry]
    own: dict[Place, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ack:
    """A publish that was answered. `begun` and `at`: when it was sent, and answered, in milliseconds since 1970."""

    client: str
    channel: str
    id: str
    place: Place
    begun: int = 0
    at: int = 0


@dataclass(frozen=True, slots=True)
class Denied:
    """A publish that was refused, or not answered, and not tried again by design: its message may stand or not."""

    client: str
    channel: str
    id: str
    code: str
    at: int


class Log:
    """A channel as the store has it at rest: the ids of its messages by offset, and the epoch of its head."""

    def __init__(self, epoch: str, ids: Mapping[int, str]) -> None:
        self.epoch = epoch
        self.ids = ids
        self.first = min(ids, default=0)
        self.last = max(ids, default=0)
        self.names = frozenset(ids.values())


@dataclass(slots=True)
class Record:
    """Everything that a run has left. `refused`: client, channel, id and code of publishes that failed for good.
    `waiting`: client, channel, id and begin, in milliseconds since 1970, of those that were never answered. `logs`: by
    channel. `members`: who is in a channel as each observer sees it, by channel and observer; `present`: who is.
    """

    histories: list[History] = field(default_factory=list)
    acks: list[Ack] = field(default_factory=list)
    refused: list[tuple[str, str, str, str]] = field(default_factory=list)
    denied: list[Denied] = field(default_factory=list)
    waiting: list[tuple[str, str, str, int]] = field(default_factory=list)
    logs: dict[str, Log] = field(default_factory=dict)
    members: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    present: dict[str, list[str]] = field(default_factory=dict)


def read(clients: Iterable[Mapping[str, Any]], rest: Mapping[str, Any] | None = None) -> Record:
    """From the reports of all crowds, and from what was asked at rest: `logs`, channel to `[epoch, [[offset, id], ...]]`,
    `members`, channel to observer to users, and `present`, channel to users.
    """
    record = Record()
    for client in clients:
        _read_client(record, client)
    rest = rest or {}
    for channel, (epoch, messages) in rest.get("logs", {}).items():
        record.logs[channel] = Log(epoch, dict(messages))
    for channel, observers in rest.get("members", {}).items():
        for observer, users in observers.items():
            record.members[channel, observer] = users
    record.present = dict(rest.get("present", {}))
    return record


def _read_client(record: Record, client: Mapping[str, Any]) -> None:
    name = client["name"]
    own: dict[str, dict[Place, str]] = {}
    for channel, message, epoch, offset, echo, *times in client["sent"]:
        place = Place(epoch, offset)
        record.acks.append(Ack(name, channel, message, place, *times))
        if not echo:
            own.setdefault(channel, {})[place] = message
    for channel, entries in client["channels"].items():
        found = [entry(raw) for raw in entries]
        record.histories.append(History(name, channel, found, own.get(channel, {})))
    record.refused += [(name, *refused) for refused in client["refused"]]
    record.denied += [Denied(name, *denied) for denied in client.get("denied", ())]
    record.waiting += [
        (name, channel, message, at) for message, (channel, at) in client["waiting"].items()
    ]
    for channel, users in client.get("members", {}).items():
        record.members[channel, name] = users


def entry(raw: list[Any]) -> Entry:
    """One line of a client's record."""
    match raw:
        case ["start", epoch, offset]:
            return Start(Place(epoch, offset))
        case ["got", offset, id, *at]:
            return Got(offset, id, *at)
        case ["lost", epoch, offset, began, reason, *at]:
            return Lost(Place(epoch, offset), began, reason, *at)
        case ["rejoining" | "recovered" as how]:
            return Rejoining() if how == "rejoining" else Recovered()
        case ["failed", code]:
            return Failed(code)
        case ["join" | "leave" as how, connection, *at]:
            return (Joined if how == "join" else Left)(connection, *at)
    raise ValueError(f"no entry of a history: {raw}")
