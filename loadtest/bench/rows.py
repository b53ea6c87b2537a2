"""What must be reached: the figures that decide, as ratios of medians of one run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

Medians = Mapping[tuple[str, str, str], float]
"""By scenario, target and value."""


class Row(NamedTuple):
    """One demand. `figure` computes it, None when something was not measured; better is lower unless `more`."""

    what: str
    against: str
    figure: Callable[[Medians], float | None]
    must: float
    aim: float
    more: bool = False
    unit: str = ""

    def met(self, figure: float) -> bool:
        """Whether what must be is."""
        return figure >= self.must if self.more else figure <= self.must


def _ratio(
    scenario: str, ours: str, theirs: str, value: str = "cpu_us"
) -> Callable[[Medians], float | None]:
    def figure(medians: Medians) -> float | None:
        above, below = medians.get((scenario, ours, value)), medians.get((scenario, theirs, value))
        return above / below if above is not None and below else None

    return figure


def _small(way: str, value: str) -> Callable[[Medians], float | None]:
    return _ratio("small", f"Openline, {way}", f"{_APP}, {way}", value)


def _plain(scenario: str, target: str, value: str) -> Callable[[Medians], float | None]:
    return lambda medians: medians.get((scenario, target, value))


_SLOW = "1,000 subscribers, 50 msg/s evenly, CPU a delivery"
_ONE = "one reader a message"
_APP = "tutorials' app"
_FAST = "1,000 subscribers, 200 msg/s, window 10 ms"

ROWS = [
    Row(_SLOW, "bare uvloop floor", _ratio("fanout-50", "Openline", "bare uvloop"), 1.25, 1.10),
    Row(
        _SLOW,
        "tutorials' loop, uvicorn default",
        _ratio("fanout-50", "Openline", "tutorials' loop"),
        0.62,
        0.52,
    ),
    Row(_SLOW, "Nchan", _ratio("fanout-50", "Openline", "Nchan"), 1.00, 0.85),
    Row(_SLOW, "node ws", _ratio("fanout-50", "Openline", "node ws"), 0.90, 0.75),
    Row(_SLOW, "Socket.IO", _ratio("fanout-50", "Openline", "Socket.IO"), 0.70, 0.58),
    Row(
        _SLOW,
        "websockets.broadcast",
        _ratio("fanout-50", "Openline", "websockets.broadcast"),
        0.80,
        0.65,
    ),
    Row(
        f"{_FAST}, CPU a delivery",
        "tutorials' loop",
        _ratio("fanout-200", "Openline, 10 ms", "tutorials' loop"),
        0.22,
        0.16,
    ),
    Row(
        f"{_FAST}, p99 latency publish call to client",
        "window + 20 ms",
        _plain("fanout-200", "Openline, 10 ms", "p99_ms"),
        30,
        22,
        unit=" ms",
    ),
    Row(
        "deliveries/s with one full core, 1,000 subscribers, window 10 ms",
        "tutorials' ceiling",
        _ratio("ceiling", "Openline, 10 ms", "tutorials' loop", "rate"),
        6,
        10,
        more=True,
        unit=" times",
    ),
    Row(
        "memory (PSS) of an idle authenticated connection with one room, at 10,000",
        "tutorials' loop",
        _ratio("memory", "Openline", "tutorials' loop", "bytes"),
        0.20,
        0.13,
    ),
    Row(
        "the same",
        "6 KB",
        lambda medians: (
            None
            if (found := medians.get(("memory", "Openline", "bytes"))) is None
            else found / 1024
        ),
        6,
        4,
        unit=" KB",
    ),
    Row(
        "CPU a handshake with a token seen before",
        "tutorials' loop with PyJWT",
        _ratio("handshake", "Openline", "tutorials' loop"),
        0.45,
        0.30,
    ),
    Row(
        "one of 50 readers stalled: deliveries to the others",
        "offered",
        _plain("stalled", "Openline", "arrived"),
        0.99,
        1.00,
        more=True,
    ),
    Row(
        "CPU a publish by HTTP incl. Redis write, 32 concurrent",
        "FastAPI + pydantic + redis-py XADD",
        _ratio("publish", "Openline", "FastAPI + pydantic + redis-py"),
        0.35,
        0.20,
    ),
    Row(
        "gateway + nginx, CPU a delivery at 200 msg/s with the window of 10 ms",
        "the same without",
        _ratio("nginx", "nginx, 10 ms", "nginx, no window"),
        0.40,
        0.30,
    ),
    Row(
        f"{_ONE}, 200/s, httpx2's headers, two gateways: CPU of all processes",
        _APP,
        _small("one reader, 200/s", "cpu_us"),
        1.00,
        0.80,
    ),
    Row(f"{_ONE}, 1,000/s, the same", _APP, _small("one reader, 1,000/s", "cpu_us"), 0.75, 0.60),
    Row(
        f"{_ONE}, 64 at once: messages a second of CPU",
        _APP,
        _small("one reader, 64 at once", "a_core"),
        2,
        3,
        more=True,
        unit=" times",
    ),
    Row(f"{_ONE}, 10/s: p50", _APP, _small("one reader, 10/s", "p50_ms"), 1.00, 0.80),
    Row(f"{_ONE}, 200/s: p50", _APP, _small("one reader, 200/s", "p50_ms"), 1.00, 0.80),
    Row(
        "a room of ten, 200/s: CPU of all processes",
        _APP,
        _small("a room of ten, 200/s", "cpu_us"),
        0.60,
        0.50,
    ),
    Row(
        "one of two gateways that want none of 200 messages a second, CPU a message",
        "80 us",
        _plain("unwanted", "2 gateways, one by one", "gateway_us"),
        80,
        60,
        unit=" us",
    ),
]
