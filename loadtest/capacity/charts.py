"""The report's pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from loadtest.capacity.figures import Crowd, Slo, Step

_SIZE = (9.0, 3.4)
_DPI = 80


def deliveries(steps: Sequence[Step], slo: Slo, file: Path) -> None:
    """Latency and CPU over deliveries a second."""
    figure = Figure(figsize=_SIZE, dpi=_DPI, layout="constrained")
    left, right = figure.subplots(1, 2)
    rates = [step.rate / 1000 for step in steps]
    left.plot(rates, [step.p99 for step in steps], "o-", label="p99")
    left.plot(rates, [step.p50 for step in steps], "o-", label="p50")
    left.axhline(slo.p99, color="tab:red", linestyle="--", label="SLO of p99")
    left.set(yscale="log", ylabel="ms, publish call to client", xlabel="thousand deliveries/s")
    left.legend()
    for name in steps[0].cores:
        right.plot(rates, [step.cores[name] for step in steps], "o-", label=name)
    right.set(ylabel="cores", xlabel="thousand deliveries/s", ylim=(0, None))
    right.legend()
    figure.savefig(file, metadata={"Software": None})


def connections(crowds: Sequence[Crowd], file: Path) -> None:
    """Memory, CPU and handshakes over connections."""
    figure = Figure(figsize=_SIZE, dpi=_DPI, layout="constrained")
    left, right = figure.subplots(1, 2)
    held = [crowd.connections / 1000 for crowd in crowds]
    left.plot(held, [crowd.gateway_mb for crowd in crowds], "o-", label="gateway")
    left.plot(held, [crowd.redis_mb for crowd in crowds], "o-", label="Redis")
    left.set(ylabel="MB more than with nobody", xlabel="thousand connections", ylim=(0, None))
    left.legend()
    right.plot(held, [crowd.p99 for crowd in crowds], "o-", label="p99, ms, hardly any load")
    right.plot(held, [100 * crowd.core for crowd in crowds], "o-", label="gateway, % of a core")
    right.set(xlabel="thousand connections", ylim=(0, None))
    right.legend()
    figure.savefig(file, metadata={"Software": None})
