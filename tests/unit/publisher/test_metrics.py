"""What is counted soon is counted whenever somebody looks, and while nobody does as well."""

from __future__ import annotations

from prometheus_client import REGISTRY

from services.publisher import metrics


def number(name, **labels):
    return REGISTRY.get_sample_value(name, labels) or 0


def test_what_waits_is_counted_when_metrics_are_asked_for():
    labels = {"route": "/r", "method": "POST", "status": "201"}
    metrics.answered(("/r", "POST", 201, 0.003))
    metrics.published(("looked", "stored", 0.002))
    assert number("openline_publisher_requests_total", **labels) == 1
    assert number("openline_publisher_request_seconds_bucket", route="/r", le="0.005") == 1
    assert (
        number("openline_publisher_publications_total", namespace="looked", outcome="stored") == 1
    )


def test_a_publish_that_never_reached_the_broker_has_no_time():
    before = number("openline_publisher_publish_seconds_count")
    metrics.published(("refused", "invalid_data", None))
    assert number("openline_publisher_publish_seconds_count") == before
