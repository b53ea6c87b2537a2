"""What is counted of HTTP requests: by template, never by path."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from prometheus_client import REGISTRY, CollectorRegistry
from starlette.testclient import TestClient

from services.kernel.http import requests
from services.kernel.http.requests import Requests
from services.kernel.ops.version import build_info, version


@pytest.fixture
def client():
    app = FastAPI()

    @app.get("/rooms/{room}")
    async def room(room: str):
        if room == "broken":
            raise RuntimeError
        return {}

    counter, seconds = requests.count("tested"), requests.duration("tested")
    app.add_middleware(Requests, requests=counter, seconds=seconds)
    yield TestClient(app, raise_server_exceptions=False)
    REGISTRY.unregister(counter)
    REGISTRY.unregister(seconds)


def count(**labels: str) -> float | None:
    return REGISTRY.get_sample_value("openline_tested_requests_total", labels)


def test_requests_are_counted_by_template_method_and_status(client):
    for path in ("/rooms/a", "/rooms/b", "/rooms/broken", "/nowhere/1", "/nowhere/2"):
        client.get(path)
    client.request("BREW", "/rooms/a")
    assert count(route="/rooms/{room}", method="GET", status="200") == 2
    assert count(route="/rooms/{room}", method="GET", status="500") == 1
    assert count(route="other", method="GET", status="404") == 2
    assert count(route="/rooms/{room}", method="other", status="405") == 1


def test_requests_are_timed_by_template(client):
    client.get("/rooms/a")
    timed = "openline_tested_request_seconds_count"
    assert REGISTRY.get_sample_value(timed, {"route": "/rooms/{room}"}) == 1


def test_build_info_says_which_version_runs():
    registry = CollectorRegistry()
    build_info("tested", registry=registry, node="n1")
    labels = {"version": version(), "node": "n1"}
    assert registry.get_sample_value("openline_tested_build_info", labels) == 1
