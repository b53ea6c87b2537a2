"""What a gateway counts where it has to decide what to call it."""

from __future__ import annotations

import time

import pytest
from prometheus_client import CollectorRegistry

from services.gateway.metrics import Metrics, published_at
from services.kernel.domain.publications import Publication


@pytest.fixture
def registry():
    return CollectorRegistry()


def handshakes(registry, outcome):
    labels = {"transport": "sse", "outcome": outcome}
    return registry.get_sample_value("openline_gateway_handshakes_total", labels)


def test_what_a_leaving_gateway_refuses_is_no_outage(registry):
    metrics = Metrics(registry)
    metrics.refused("sse", "unavailable", leaving=True)
    metrics.refused("sse", "unavailable", leaving=False)
    metrics.refused("sse", "unauthorized", leaving=False)
    found = [
        handshakes(registry, outcome) for outcome in ("draining", "unavailable", "unauthorized")
    ]
    assert found == [1, 1, 1]


def publication(ago):
    meta = b'"ts":%d' % ((time.time() - ago) * 1000)
    return Publication(epoch="e", offset=1, data=b"1", meta=meta)


def test_a_registry_tells_of_all_sweeps(registry):
    metrics = Metrics(registry)
    metrics.swept("chat", [publication(ago=3), publication(ago=-60)], 10)
    metrics.swept("chat", [Publication(epoch="e", offset=2, data=b"1", meta=b"")], 5)
    metrics.swept("live", [publication(ago=0)], 1)

    def value(name, namespace, **labels):
        return registry.get_sample_value(
            f"openline_gateway_{name}", {"namespace": namespace, **labels}
        )

    assert [value("sweeps_total", name) for name in ("chat", "live")] == [2, 1]
    assert [value("deliveries_total", name) for name in ("chat", "live")] == [15, 1]
    latency = "publish_to_write_seconds"
    assert [value(f"{latency}_count", name) for name in ("chat", "live")] == [2, 1]
    assert value(f"{latency}_bucket", "chat", le="2.5") == 1
    assert value(f"{latency}_sum", "chat") == pytest.approx(3, abs=1)


@pytest.mark.parametrize(
    ("meta", "seconds"),
    [(b'"ts":1700000000123', 1_700_000_000.123), (b'"ts":soon', 0), (b'"user":"bob"', 0)],
)
def test_when_it_was_published_is_read_from_its_meta(meta, seconds):
    assert published_at(meta) == seconds
