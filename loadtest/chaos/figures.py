"""How long clients were away after each fault, and how many came back at once. Pure: times are milliseconds since 1970."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_SECOND = 1000


@dataclass(frozen=True, slots=True)
class After:
    """What followed one fault, until the next. `away`: seconds until each who lost its line was back and had what it
    missed, sorted; `burst`: the most connections that began within a second.
    """

    kind: str
    away: tuple[float, ...]
    burst: int


def after(happened: Sequence[tuple[int, str]], clients: Iterable[Mapping[str, Any]]) -> list[After]:
    """For each fault, given when each happened."""
    clients = list(clients)
    ends = [*(at for at, _ in happened[1:]), float("inf")]
    found = []
    for (begun, kind), end in zip(happened, ends, strict=True):
        away = sorted(
            (back - left) / 1000
            for client in clients
            for left, back in client["away"]
            if begun <= left < end
        )
        arrivals = [at for client in clients for at in client["arrivals"] if begun <= at < end]
        found.append(After(kind, tuple(away), burst(arrivals)))
    return found


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
