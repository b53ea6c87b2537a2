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
    """A message was heard. `id`: what its publisher called it."""

    offset: int
    id: str


@dataclass(frozen=True, slots=True)
class Lost:
    """The client was told that messages are missing; it goes on behind `place`. What it had above `began` is void."""

    place: Place
    began: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The channel has failed for good."""

    code: str


Entry = Start | Got | Lost | Failed


@dataclass(slots=True)
class History:
    """What one client was told of one channel. `own`: places of what it published and was not to hear."""

    client: str
    channel: str
    entries: list[Entry]
    own: dict[Place, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ack:
    """A publish that was answered."""

    client: str
    channel: str
    id: str
    place: Place


@dataclass(slots=True)
class Record:
    """Everything that a run has left. `refused`: client, channel, id and code of publishes that failed for good.
    `waiting`: client, channel, id and begin, in milliseconds since 1970, of those that were never answered.
    """

    histories: list[History] = field(default_factory=list)
    acks: list[Ack] = field(default_factory=list)
    refused: list[tuple[str, str, str, str]] = field(default_factory=list)
    waiting: list[tuple[str, str, str, int]] = field(default_factory=list)


def read(clients: Iterable[Mapping[str, Any]]) -> Record:
    """From the reports of all crowds."""
    record = Record()
    for client in clients:
        name = client["name"]
        own: dict[str, dict[Place, str]] = {}
        for channel, message, epoch, offset, echo in client["sent"]:
            place = Place(epoch, offset)
            record.acks.append(Ack(name, channel, message, place))
            if not echo:
                own.setdefault(channel, {})[place] = message
        for channel, entries in client["channels"].items():
            found = [entry(raw) for raw in entries]
            record.histories.append(History(name, channel, found, own.get(channel, {})))
        record.refused += [(name, *refused) for refused in client["refused"]]
        record.waiting += [
            (name, channel, message, at) for message, (channel, at) in client["waiting"].items()
        ]
    return record


def entry(raw: list[Any]) -> Entry:
    """One line of a client's record."""
    match raw:
        case ["start", epoch, offset]:
            return Start(Place(epoch, offset))
        case ["got", offset, id]:
            return Got(offset, id)
        case ["lost", epoch, offset, began, reason]:
            return Lost(Place(epoch, offset), began, reason)
        case ["failed", code]:
            return Failed(code)
    raise ValueError(f"no entry of a history: {raw}")
