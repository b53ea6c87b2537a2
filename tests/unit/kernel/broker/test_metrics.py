"""Calls to the broker as metrics: failures of an operation begin at 0 with its first call."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from services.kernel.broker.metrics import BrokerCalls
from services.kernel.broker.port import Counters


def test_every_operation_that_was_called_has_its_failures():
    counters, registry = Counters(), CollectorRegistry()
    BrokerCalls("tested", counters, registry=registry)
    counters.calls.update(publish=3, look=2)
    counters.failures.update(look=1)

    def shown(kind, operation):
        name = f"openline_tested_broker_{kind}_total"
        return registry.get_sample_value(name, {"operation": operation})

    assert (shown("calls", "publish"), shown("failures", "publish")) == (3, 0)
    assert (shown("calls", "look"), shown("failures", "look")) == (2, 1)


def test_each_partition_that_beats_tells_whether_it_is_being_handed_over():
    counters, registry = Counters(), CollectorRegistry()
    BrokerCalls("tested", counters, registry=registry)
    counters.handovers.update({0: False, 1: True})

    def shown(partition):
        return registry.get_sample_value(
            "openline_tested_broker_handover_open", {"partition": partition}
        )

    assert [shown(partition) for partition in ("0", "1", "2")] == [0, 1, None]
