"""The broker's own counters as Prometheus metrics of the service that uses it."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.kernel.broker.port import Counters


class BrokerCalls(Collector):
    """Calls and failures by operation, read when somebody asks. `service` is the middle of the metrics' names."""

    def __init__(self, service: str, counters: Counters, *, registry: CollectorRegistry) -> None:
        self._service = service
        self._counters = counters
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """See Collector."""
        yield from self._operations()
        prefix = f"openline_{self._service}_broker"
        yield CounterMetricFamily(
            f"{prefix}_master_moves",
            "Times that Redis' master was found at another address",
            value=self._counters.moves,
        )
        yield GaugeMetricFamily(
            f"{prefix}_silent_sentinels",
            "Sentinels of OPENLINE_REDIS_URL that did not answer when last asked",
            value=self._counters.silent_sentinels,
        )
        yield GaugeMetricFamily(
            f"{prefix}_masterless_partitions",
            "Partitions that no node of the Redis Cluster serves",
            value=self._counters.masterless_partitions,
        )
        yield self._handovers(prefix)

    def _handovers(self, prefix: str) -> Metric:
        family = GaugeMetricFamily(
            f"{prefix}_handover_open",
            "1 while a partition is being handed over, as the last heartbeat was told: messages to its channels are refused",
            labels=["partition"],
        )
        for partition, is_open in self._counters.handovers.items():
            family.add_metric([str(partition)], is_open)
        return family

    def _operations(self) -> Iterator[Metric]:
        for name, text, counts in (
            ("calls", "Calls to the broker, by operation", self._counters.calls),
            ("failures", "Calls to the broker that failed, by operation", self._failures()),
        ):
            family = CounterMetricFamily(
                f"openline_{self._service}_broker_{name}", text, labels=["operation"]
            )
            for operation, count in counts.items():
                family.add_metric([operation], count)
            yield family

    def _failures(self) -> dict[str, int]:
        """Of every operation that was called: a series begins at 0, or its first failures would be no rate."""
        return dict.fromkeys(self._counters.calls, 0) | self._counters.failures
