"""What a service says about itself."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Counter
from starlette.applications import Starlette
from starlette.testclient import TestClient

from services.kernel.http.health import Readiness, routes


@pytest.mark.parametrize(("ok", "status"), [(True, 200), (False, 503)])
def test_readyz_says_whether_and_why(ok, status):
    app = Starlette(routes=routes(lambda: Readiness(ok, {"redis": "down"})))
    response = TestClient(app).get("/readyz")
    assert (response.status_code, response.json()) == (status, {"ready": ok, "redis": "down"})


def test_healthz_needs_nothing_but_a_living_process():
    app = Starlette(routes=routes(lambda: Readiness(ok=False, detail={})))
    assert TestClient(app).get("/healthz").status_code == 200


def test_metrics_are_in_prometheus_format():
    registry = CollectorRegistry()
    Counter("openline_test_things", "Things.", registry=registry).inc()
    app = Starlette(routes=routes(lambda: Readiness(ok=True, detail={}), registry=registry))
    response = TestClient(app).get("/metrics")
    assert "openline_test_things_total 1.0" in response.text
    assert response.headers["content-type"].startswith("text/plain")
