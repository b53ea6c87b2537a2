"""What a gateway counts. Labels never hold a user or a channel: a namespace is the finest they go."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from services.kernel.domain.codes import Close, Code
from services.kernel.domain.namespaces import Namespace
from services.kernel.domain.publications import Publication
from services.kernel.ops.late import Late
from services.kernel.ops.tasks import TaskFailures

_LATENCY = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_DELAY = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
RESETS = ("epoch", "history", "lagged")
"""Why subscribers are told that continuity was lost: the two of the hub, and a namespace's choice."""

_TS = b'"ts":'
_META = attrgetter("meta")


Child = TypeVar("Child", Counter, Gauge, Histogram)


class Children(dict[str | int, Child]):
    """The series of a metric with one label, by its value: `labels` costs more than the counting, so it is asked once."""

    def __init__(self, metric: Child) -> None:
        super().__init__()
        self._metric: Child = metric

    def __missing__(self, value: str | int) -> Child:
        child: Child = self._metric.labels(value)
        self[value] = child
        return child


class Metrics:
    """Counters of one gateway, in a registry of its own so that tests can have several."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self.ready = self._gauge("ready", "1 while the gateway wants new connections")
        self.draining = self._gauge("draining", "1 while the gateway moves its clients elsewhere")
        self.drained = self._counter(
            "drained_connections", "Connections that a drain moved, or had to close", "outcome"
        )
        self.shed = self._counter(
            "shed_connections",
            "Connections handed to gateways that have fewer, or closed as they did not go",
            "outcome",
        )
        self.evacuations = self._counter(
            "evacuations", "Times all clients were moved because the bus stayed stalled here"
        )
        self.loop_delay = Histogram(
            "openline_gateway_loop_delay_seconds",
            "How late the event loop comes to what is due, looked at once a second",
            buckets=_DELAY,
            registry=registry,
        )
        self.task_failures = TaskFailures("gateway", registry=registry)
        self._of_clients()
        self._of_messages()
        self._of_the_bus()

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"openline_gateway_{name}", text, labels, registry=self._registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"openline_gateway_{name}", text, labels, registry=self._registry)

    def _of_clients(self) -> None:
        counter, gauge = self._counter, self._gauge
        self.connections = gauge("connections", "Open connections", "transport")
        self.subscriptions = gauge("subscriptions", "Subscriptions", "namespace")
        self.handshakes = counter("handshakes", "Handshakes by outcome", "transport", "outcome")
        self.closes = counter("closes", "Connections ended, by close code", "code")
        self.connections_of = Children(self.connections)
        self.subscriptions_of = Children(self.subscriptions)
        self.closes_of = Children(self.closes)
        self.reconnects = counter(
            "reconnects", "Connections that brought positions to go on from", "transport"
        )
        self.commands = counter("commands", "Commands received", "type")
        self.commands_of = Children(self.commands)
        self.relayed = counter(
            "relayed_requests",
            "Requests with commands that were handed to the gateway of their stream, by outcome",
            "outcome",
        )
        self.errors = counter("errors", "Commands refused, by code", "code")

    def _of_messages(self) -> None:
        counter = self._counter
        self._late = Late(self._count_sweep)
        self._registry.register(self._late)  # before what it counts
        self.messages_in = counter("messages_received", "Messages clients sent", "namespace")
        self.messages_in_of = Children(self.messages_in)
        self.messages_out = counter("deliveries", "Messages written to connections", "namespace")
        self.sweeps = counter("sweeps", "Sweeps over a channel's subscribers", "namespace")
        self.latency = Histogram(
            "openline_gateway_publish_to_write_seconds",
            "From the publisher's clock to the write to the first subscriber",
            ("namespace",),
            buckets=_LATENCY,
            registry=self._registry,
        )
        self._messages_out_of = Children(self.messages_out)
        self._sweeps_of = Children(self.sweeps)
        self._latency_of = Children(self.latency)
        self.resets = counter(
            "resets", "Subscribers told that continuity was lost", "namespace", "reason"
        )
        self.recoveries = counter(
            "recoveries", "Subscriptions with a position", "namespace", "recovered"
        )
        self.slow_consumers = counter(
            "slow_consumers", "Messages withheld from slow consumers", "namespace", "policy"
        )
        self.conflated = counter(
            "conflated_messages",
            "Messages left out for a connection, as a newer one of the same conflate_key took their place",
            "namespace",
        )
        self.conflated_of = Children(self.conflated)
        self.lag_bytes = self._gauge(
            "lag_bytes", "Bytes that are kept for slow consumers until they have read what was sent"
        )

    def _of_the_bus(self) -> None:
        counter, gauge = self._counter, self._gauge
        self.store_up = gauge("store_up", "1 while every partition of the store answers")
        self.store_full = gauge(
            "store_full", "1 while messages are refused because the store's memory is short"
        )
        late = Late(self._count_read)
        self._registry.register(late)  # before what it counts
        self.read = late.note
        """Count a read of the bus soon: its partition and how many entries it brought."""
        self.bus_entries = counter("bus_entries", "Entries read from the bus", "partition")
        self._bus_entries_of = Children(self.bus_entries)
        self.bus_lag = gauge(
            "bus_lag_entries", "Entries on the bus that are not read yet", "partition"
        )
        self.delivery_lag = gauge(
            "delivery_lag_seconds",
            "Age of the last canary on arrival, whichever gateway added it",
            "partition",
        )
        self.canary_age = gauge(
            "canary_age_seconds", "Time since the last canary arrived", "partition"
        )
        self.resyncs = counter(
            "resyncs", "Times the bus position was lost and taken again", "partition"
        )

    def begin(self, namespaces: Iterable[Namespace]) -> None:
        """Create the series that alerts use with the value 0: `rate()` misses the first increment of a new series."""
        for namespace in namespaces:
            for reason in RESETS:
                self.resets.labels(namespace.name, reason)
            for recovered in ("true", "false"):
                self.recoveries.labels(namespace.name, recovered)
            self.slow_consumers.labels(namespace.name, namespace.slow)
            self.conflated.labels(namespace.name)
            self.messages_out.labels(namespace.name)
            self.latency.labels(namespace.name)
            self.subscriptions.labels(namespace.name)
        for transport in ("websocket", "sse", "http"):
            self.connections.labels(transport)
            self.reconnects.labels(transport)
            for outcome in ("accepted", "draining", Code.UNAVAILABLE.value):
                self.handshakes.labels(transport, outcome)
        for code in (Close.DRAINING, Close.SLOW_CONSUMER, Close.NO_HEARTBEAT):
            self.closes.labels(str(int(code)))
        for outcome in ("moved", "closed"):
            self.drained.labels(outcome)
            self.shed.labels(outcome)
        for outcome in ("taken", "refused", "unanswered", "unavailable"):
            self.relayed.labels(outcome)

    def refused(self, transport: str, code: str, *, leaving: bool) -> None:
        """A handshake was refused. One that a leaving gateway refuses is taken by another: no fault of anybody."""
        self.handshakes.labels(transport, "draining" if leaving else code).inc()

    def swept(self, namespace: str, publications: Sequence[Publication], written: int) -> None:
        """A sweep over these publications wrote `written` messages. Counted a little later, some at once."""
        self._late.note((namespace, written, time.time(), list(map(_META, publications))))

    def add_up(self) -> None:
        """Count the sweeps that are not counted yet."""
        self._late.add_up()

    def _count_sweep(self, sweep: tuple[str, int, float, list[bytes]]) -> None:
        namespace, written, now, metas = sweep
        self._sweeps_of[namespace].inc()
        self._messages_out_of[namespace].inc(written)
        latency = self._latency_of[namespace]
        for meta in metas:
            if at := published_at(meta):
                latency.observe(max(0.0, now - at))

    def _count_read(self, read: tuple[int, int]) -> None:
        partition, entries = read
        self._bus_entries_of[partition].inc(entries)

    def reset(self, namespace: str, reason: str, subscribers: int) -> None:
        """Subscribers were told that continuity was lost."""
        self.resets.labels(namespace, reason).inc(subscribers)

    def slow(self, namespace: str, policy: str) -> None:
        """A slow consumer was not written to."""
        self.slow_consumers.labels(namespace, policy).inc()


def published_at(meta: bytes) -> float:
    """Seconds since 1970 at which a publication was made, from its meta fragment; 0 when it does not say."""
    at = meta.find(_TS)
    if at < 0:
        return 0.0
    digits = meta[at + len(_TS) : at + len(_TS) + 13]
    return int(digits) / 1000 if digits.isdigit() else 0.0
