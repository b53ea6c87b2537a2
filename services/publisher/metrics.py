"""What the publisher counts and times."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, Metric
from prometheus_client.registry import Collector

from services.kernel.domain.codes import Code
from services.kernel.domain.namespaces import Namespace
from services.kernel.http import requests
from services.kernel.ops.tasks import TaskFailures
from services.kernel.ops.version import build_info

MOST = 64
"""Events that wait to be counted; a tenth of what a publish costs was counting it at once, with caches that are cold."""


class _Late(Collector):
    """Counts what waits before anything is told. Registered first, and so asked first."""

    def describe(self) -> Iterable[Metric]:
        """See prometheus_client: it has no series of its own."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """See prometheus_client."""
        settle()
        return ()


REGISTRY.register(_Late())

BUILD = build_info("publisher")
READY = Gauge("openline_publisher_ready", "1 while the publisher can store messages")
TASK_FAILURES = TaskFailures("publisher")
REQUESTS = requests.count("publisher")
REQUEST_SECONDS = requests.duration("publisher")
PUBLICATIONS = Counter(
    "openline_publisher_publications",
    "Publications asked for; outcome is stored, duplicate, ephemeral or the error's code.",
    ("namespace", "outcome"),
)
PUBLISH_SECONDS = Histogram(
    "openline_publisher_publish_seconds",
    "Time in which the broker answered a publish.",
    buckets=requests.SECONDS,
)


_answered: list[tuple[str, str, int, float]] = []
_published: list[tuple[str, str, float | None]] = []


def answered(route: str, method: str, status: int, seconds: float) -> None:
    """Count a request that did not come through `requests.Requests`, under the same names, soon."""
    _answered.append((route, method, status, seconds))
    if len(_answered) >= MOST:
        settle()


def published(namespace: str, outcome: str, seconds: float | None) -> None:
    """Count a publish soon. `seconds` are the broker's; None where it was not asked."""
    _published.append((namespace, outcome, seconds))
    if len(_published) >= MOST:
        settle()


def settle() -> None:
    """Count what waits."""
    for route, method, status, seconds in _answered:
        counter, times = _children(route, method, status)
        counter.inc()
        times.observe(seconds)
    _answered.clear()
    for namespace, outcome, took in _published:
        publications(namespace, outcome).inc()
        if took is not None:
            PUBLISH_SECONDS.observe(took)
    _published.clear()


@cache
def publications(namespace: str, outcome: str) -> Counter:
    """The labelled counter, looked up once: namespaces and outcomes are few."""
    return PUBLICATIONS.labels(namespace, outcome)


@cache
def _children(route: str, method: str, status: int) -> tuple[Counter, Histogram]:
    return REQUESTS.labels(route, method, status), REQUEST_SECONDS.labels(route)


def begin(namespaces: Iterable[Namespace]) -> None:
    """Create the series that alerts use with the value 0: `rate()` misses the first increment of a new series."""
    for namespace in namespaces:
        for outcome in ("stored", Code.UNAVAILABLE.value):
            PUBLICATIONS.labels(namespace.name, outcome)
