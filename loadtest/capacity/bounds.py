"""What ended a trial: who had nothing left when the objective broke. Pure."""

from __future__ import annotations

from typing import NamedTuple

from loadtest.capacity.figures import Crowd, Slo, Step

_USED_UP = 0.9
"""Of a core. A program that runs on one waits for itself from here on."""

_FULL = 0.95
"""Of all cores of the machine together."""

_PROGRAMS = {"gateway": "gateway CPU", "redis": "Redis CPU", "publisher": "publisher CPU"}

_MEANS = {
    "gateway CPU": "more gateways carry more",
    "Redis CPU": "partitions on more servers carry more",
    "publisher CPU": "more publishers carry more",
    "load generator": "what publishes and reads had no more to give: Openline may carry more",
    "machine": "all of its cores were used, by everything on it together: Openline may carry more on its own",
    "errors": "messages or connections went missing while nobody's core was used up",
    "latency": "nobody's core was used up: something waited, or other work on the machine was in the way",
}


class Bound(NamedTuple):
    """`by` are the names of what was used up, or "errors" or "latency" when nothing was; `why` says how the objective broke."""

    by: tuple[str, ...]
    why: str

    @property
    def text(self) -> str:
        """For people."""
        meaning = "; ".join(_MEANS[name] for name in self.by)
        return f"**{' and '.join(self.by)}** ended it ({self.why}): {meaning}."


def bound(step: Step | Crowd, slo: Slo) -> Bound | None:
    """What ended a trial whose last step this is; None when the step held the objective: the trial went as far as asked."""
    why = slo.broken(step)
    if not why:
        return None
    cores = step.cores if isinstance(step, Step) else {"gateway": step.core}
    by = [name for program, name in _PROGRAMS.items() if cores.get(program, 0.0) >= _USED_UP]
    if step.driver >= _USED_UP:
        by.append("load generator")
    if not by and step.machine >= _FULL:
        by.append("machine")
    if not by:
        by.append("latency" if step.p99 > slo.p99 else "errors")
    return Bound(tuple(by), why)
