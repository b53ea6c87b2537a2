"""What the publisher counts and times."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from prometheus_client import REGISTRY, Counter, Gauge, Histogram

from services.kernel.domain.codes import Code
from services.kernel.domain.namespaces import Namespace
from services.kernel.http import requests
from services.kernel.ops.late import Late
from services.kernel.ops.tasks import TaskFailures
from services.kernel.ops.version import build_info


def _count_answer(answer: tuple[str, str, int, float]) -> None:
    route, method, status, seconds = answer
    counter, times = _children(route, method, status)
    counter.inc()
    times.observe(seconds)


def _count_publish(publish: tuple[str, str, float | None]) -> None:
    namespace, outcome, seconds = publish
    publications(namespace, outcome).inc()
    if seconds is not None:
        PUBLISH_SECONDS.observe(seconds)


_answers, _publishes = Late(_count_answer), Late(_count_publish)
for _late in (_answers, _publishes):
    REGISTRY.register(_late)  # before what they count

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


answered = _answers.note
"""Count a request that did not come through `requests.Requests`, under the same names, soon: route, method, status, seconds."""

published = _publishes.note
"""Count a publish soon: namespace, outcome, seconds of the broker's, None where it was not asked."""


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
