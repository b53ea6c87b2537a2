"""What a run cost in time, as a whole, after each fault and in each second. Pure: times are milliseconds since 1970."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from loadtest.chaos.checker import Verdict, Window
from loadtest.chaos.histories import Got, Lost, Record

_SECOND = 1000


@dataclass(frozen=True, slots=True)
class Event:
    """A fault that happened, from when to when."""

    kind: str
    target: str
    begun: int
    ended: int


@dataclass(frozen=True, slots=True)
class After:
    """What followed one fault, until the next. `away`: seconds until each who lost its line was back and had what it
    missed, sorted; `burst`: the most connections that began within a second; `accepted`: seconds until a publish that was
    sent after the fault's begin was acknowledged, None if none was; `refused`, `flagged` and `lost`: publishes that were
    refused and not tried again, words of a loss, and messages that were acknowledged and are lost.
    """

    kind: str
    away: tuple[float, ...]
    burst: int
    accepted: float | None = None
    refused: int = 0
    flagged: int = 0
    lost: int = 0


@dataclass(slots=True)
class Second:
    """One second of a run."""

    acked: int = 0
    delivered: int = 0
    refused: int = 0
    flagged: int = 0
    arrivals: int = 0
    latencies: list[int] = field(default_factory=list)


def after(
    happened: Sequence[Event],
    clients: Iterable[Mapping[str, Any]],
    record: Record | None = None,
    verdict: Verdict | None = None,
) -> list[After]:
    """For each fault."""
    clients = list(clients)
    record, verdict = record or Record(), verdict or Verdict()
    ends = [*(event.begun for event in happened[1:]), 1 << 62]
    found = []
    for event, end in zip(happened, ends, strict=True):

        def here(at: int, event: Event = event, end: int = end) -> bool:
            return event.begun <= at < end

        away = sorted(
            (back - left) / 1000
            for client in clients
            for left, back in client["away"]
            if here(left)
        )
        accepted = [ack.at for ack in record.acks if ack.begun >= event.begun]
        found.append(
            After(
                event.kind,
                tuple(away),
                burst(at for client in clients for at in client["arrivals"] if here(at)),
                (min(accepted) - event.begun) / 1000 if accepted else None,
                sum(here(one.at) for one in record.denied),
                sum(here(one.lost.at) for one in verdict.told),
                sum(here(one.at) for one in verdict.lost),
            )
        )
    return found


def seconds(record: Record, clients: Iterable[Mapping[str, Any]], window: Window) -> list[Second]:
    """What was in each second of a window. A delivery's latency counts from when its publish was sent."""
    begun, ended = window
    found = [Second() for _ in range((ended - begun) // _SECOND + 1)]

    def note(at: int, what: Callable[[Second], None]) -> None:
        if begun <= at <= ended:
            what(found[(at - begun) // _SECOND])

    for ack in record.acks:
        note(ack.at, _Count.acked)
    for denied in record.denied:
        note(denied.at, _Count.refused)
    for client in clients:
        for at in client["arrivals"]:
            note(at, _Count.arrived)
    for at, what in _told(record):
        note(at, what)
    return found


def _told(record: Record) -> Iterator[tuple[int, Callable[[Second], None]]]:
    """What clients were told, and when."""
    sent = {ack.id: ack.begun for ack in record.acks}
    for history in record.histories:
        for entry in history.entries:
            if isinstance(entry, Got):
                yield entry.at, _Count.delivered(entry.at - sent.get(entry.id, entry.at))
            elif isinstance(entry, Lost):
                yield entry.at, _Count.flagged


class _Count:
    """What is added to a second."""

    @staticmethod
    def acked(second: Second) -> None:
        second.acked += 1

    @staticmethod
    def refused(second: Second) -> None:
        second.refused += 1

    @staticmethod
    def arrived(second: Second) -> None:
        second.arrivals += 1

    @staticmethod
    def flagged(second: Second) -> None:
        second.flagged += 1

    @staticmethod
    def delivered(latency: int) -> Callable[[Second], None]:
        def count(second: Second) -> None:
            second.delivered += 1
            second.latencies.append(latency)

        return count


def burst(arrivals: Iterable[int]) -> int:
    """The most that lie within any one second."""
    times = sorted(arrivals)
    most = first = 0
    for last, at in enumerate(times):
        while at - times[first] >= _SECOND:
            first += 1
        most = max(most, last - first + 1)
    return most


def percentile(values: Sequence[float], share: float) -> float:
    """Of sorted values: the least that so large a share does not exceed; 0 of none."""
    return values[min(len(values) - 1, int(len(values) * share))] if values else 0.0
