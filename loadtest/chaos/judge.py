"""A run judged: what its histories show, against what its faults may cost. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from loadtest.chaos import checker, figures
from loadtest.chaos.checker import Verdict, Window
from loadtest.chaos.figures import After, Event, Second
from loadtest.chaos.histories import read

_SLACK = 1000
"""Milliseconds by which a history and the schedule may differ on when something was."""

_LATE = 3000
"""Milliseconds after the end of a fault in which what is acknowledged may still be lost by it."""

_RESETTING = 30_000
"""Milliseconds after the end of a fault in which clients may still be told of what it lost: away, they hear it late."""

_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a kind of fault may cost: seconds before it of acknowledged messages lost, words of a loss, seconds of refusals,
    all that the store held; or, where it `keeps` everything, no word of a loss at all.
    """

    loses: float
    resets: bool
    heals: float
    empties: bool = False
    keeps: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """`ok`: nothing is wrong, and all came to rest. The rest are figures."""

    ok: bool
    verdict: Verdict
    needless: int
    afters: list[After]
    seconds: list[Second]
    happened: list[Event]
    window: Window
    counts: Mapping[str, int] = field(default_factory=dict)


def judge(run: Mapping[str, Any], allowance: Callable[[str], Allowance]) -> Judgement:
    """The judgement on what `histories.json` keeps of a run."""
    clients: Sequence[Mapping[str, Any]] = run["clients"]
    record = read(clients, run["rest"])
    verdict = checker.check(record)
    happened = [
        Event(one["kind"], one["target"], one["begun"], one["ended"] or run["ended"])
        for one in run["happened"]
    ]
    costs = [(event, allowance(event.kind)) for event in happened]
    overs = [
        one.get("over") or event.ended for one, event in zip(run["happened"], happened, strict=True)
    ]
    near = [(event.begun - _SLACK, event.ended + _RESETTING) for event in happened]
    resetting = [window for window, (_, cost) in zip(near, costs, strict=True) if cost.resets]
    checker.check_costs(
        verdict,
        losing=[
            (event.begun - _ms(cost.loses), over + min(_ms(cost.loses), _LATE))
            for (event, cost), over in zip(costs, overs, strict=True)
            if cost.loses
        ],
        refusing=[(event.begun - _SLACK, event.ended + _ms(cost.heals)) for event, cost in costs],
        resetting=resetting,
        emptying=[(0, event.ended + _LATE) for event, cost in costs if cost.empties],
        denied=record.denied,
    )
    checker.check_kept(
        verdict,
        keeping=[window for window, (_, cost) in zip(near, costs, strict=True) if cost.keeps],
        resetting=resetting,
        others=[window for window, (_, cost) in zip(near, costs, strict=True) if not cost.keeps],
    )
    for complaint in run["services"][:_SHOWN]:
        service, _, text = complaint.partition(" ")
        verdict.find("service", service.rstrip(":"), "", text=text)
    window = (run["begun"], run["ended"])
    return Judgement(
        ok=bool(run["settled"] and not verdict.findings),
        verdict=verdict,
        needless=checker.needless(verdict, resetting),
        afters=figures.after(happened, clients, record, verdict),
        seconds=figures.seconds(record, clients, window),
        happened=happened,
        window=window,
        counts={
            "clients": len(record.histories and {one.client for one in record.histories}),
            "sent": len(record.acks)
            + len(record.denied)
            + len(record.refused)
            + len(record.waiting),
            "acknowledged": verdict.acked,
            "refused": len(record.denied) + len(record.refused),
            "delivered": verdict.delivered,
            "recovered": verdict.recovered,
            "flagged": sum(verdict.flagged.values()),
            "acknowledged and lost": len(verdict.lost),
            "needless resets": checker.needless(verdict, resetting),
        },
    )


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
