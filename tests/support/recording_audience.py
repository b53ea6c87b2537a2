"""Audiences and a sink that write down what a hub tells them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.gateway.hub.port import Joined
from services.kernel.broker.port import Entry, EntryType, Looked
from services.kernel.domain.codes import OpenlineError
from services.kernel.domain.publications import Publication


def publication(offset: int, epoch: str = "E", data: bytes = b"") -> Publication:
    return Publication(epoch=epoch, offset=offset, data=data or b"%d" % offset, meta=b"")


def message(ident: int, offset: int, *, epoch: str = "E", channel: str = "room:a") -> Entry:
    return Entry(ident, EntryType.MESSAGE, channel, publication(offset, epoch))


def looked(
    offset: int,
    *,
    bus: int,
    epoch: str = "E",
    start: int | None = None,
    end: int | None = None,
    began: int = 0,
    history: str = "H",
) -> Looked:
    """A reply whose page goes from `start` (the head) to `end` (the head)."""
    first = offset if start is None else start
    last = offset if end is None else end
    page = tuple(publication(number, epoch) for number in range(first + 1, last + 1))
    return Looked(history, bus, epoch, offset, began, first, page)


class RecordingAudience:
    """`told` holds short tuples, in the order in which they came."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.present: list[Any] = []

    def take(self) -> list[tuple[Any, ...]]:
        told, self.told = self.told, []
        return told

    def deliver(self, publication: Publication) -> None:
        self.told.append(("deliver", publication.epoch, publication.offset))

    def signal(self, entry: Entry) -> None:
        self.told.append(("signal", entry.type))

    def reset(self, epoch: str, offset: int, *, began: int, reason: str) -> None:
        self.told.append(("reset", epoch, offset, began, reason))

    def add(self, subscriber: Any, joined: Joined) -> None:
        self.present.append(subscriber)
        offsets = [publication.offset for publication in joined.publications]
        self.told.append(
            ("add", subscriber, joined.epoch, joined.offset, joined.recovered, offsets)
        )

    def remove(self, subscriber: Any) -> None:
        self.present.remove(subscriber)
        self.told.append(("remove", subscriber))

    def refuse(self, subscriber: Any, error: OpenlineError) -> None:
        self.told.append(("refuse", subscriber, error.code))


class RecordingSink:
    """Keeps the newest audience of each channel."""

    def __init__(self) -> None:
        self.audiences: dict[str, RecordingAudience] = {}
        self.controls: list[Entry] = []
        self.canaries: list[tuple[Entry, float]] = []
        self.resyncs: list[float] = []

    def audience(self, channel: str) -> RecordingAudience:
        self.audiences[channel] = RecordingAudience()
        return self.audiences[channel]

    def control(self, entry: Entry) -> None:
        self.controls.append(entry)

    def canary(self, entry: Entry, now: float) -> None:
        self.canaries.append((entry, now))

    def resynced(self, now: float) -> None:
        self.resyncs.append(now)

    def told(self, channel: str = "room:a") -> list[Sequence[Any]]:
        """What the channel's audience was told since this was asked last."""
        return list(self.audiences[channel].take())
