"""What a gateway counts where it has to decide what to call it."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from services.gateway.metrics import Metrics


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
