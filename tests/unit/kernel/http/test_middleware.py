"""Request ids, the limit on bodies, and CORS."""

from __future__ import annotations

import re

import pytest
import structlog
from fastapi import FastAPI, Request
from starlette.testclient import TestClient

from services.kernel.http import middleware, problems


@pytest.fixture
def client():
    app = FastAPI()
    problems.install(app)
    middleware.install(app, allowed_origins=("http://localhost:*",), body_bytes=100)

    @app.post("/size")
    async def size(request: Request):
        return len(await request.body())

    @app.post("/json")
    async def parsed(body: dict):
        return body

    @app.get("/id")
    async def request_id(request: Request):
        bound = structlog.contextvars.get_contextvars()["request_id"]
        return [bound, request.state.request_id]

    @app.get("/bug")
    async def bug():
        raise ZeroDivisionError

    return TestClient(app, raise_server_exceptions=False)


def test_a_sane_request_id_is_kept_bound_and_returned(client):
    response = client.get("/id", headers={"X-Request-Id": "abc-1"})
    assert response.json() == ["abc-1", "abc-1"]
    assert response.headers["x-request-id"] == "abc-1"


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "ä"])
def test_any_other_is_replaced(client, given):
    response = client.get("/id", headers={"X-Request-Id": given.encode()})
    assert re.fullmatch("[0-9a-f]{32}", response.headers["x-request-id"])


def test_also_an_unexpected_error_names_its_request(client):
    response = client.get("/bug", headers={"X-Request-Id": "abc-1"})
    assert response.status_code == 500
    assert response.headers["x-request-id"] == "abc-1"


def test_a_body_up_to_the_limit_passes(client):
    assert client.post("/size", content=b"x" * 100).json() == 100


@pytest.mark.parametrize("path", ["/size", "/json"])
@pytest.mark.parametrize(
    "content", [lambda: b"x" * 101, lambda: iter([b"x" * 60, b"x" * 60])], ids=["whole", "streamed"]
)
def test_a_longer_body_is_refused_whether_announced_or_streamed(client, path, content):
    response = client.post(path, content=content(), headers={"content-type": "application/json"})
    assert (response.status_code, response.json()["code"]) == (413, "too_large")
    assert "100 bytes" in response.json()["detail"]


@pytest.mark.parametrize("coding", ["gzip", "br", "x-gzip, identity", "nonsense"])
def test_a_packed_body_is_415_and_told_what_would_be_right(client, coding):
    headers = {"content-type": "application/json", "content-encoding": coding}
    for path in ("/size", "/json"):
        response = client.post(path, content=b"\x1f\x8b\x08", headers=headers)
        assert (response.status_code, response.json()["code"]) == (415, "bad_request")
        assert "Content-Encoding" in response.json()["detail"]
        assert response.headers["accept-encoding"] == "identity"


def test_identity_is_no_coding_and_without_a_body_there_is_none(client):
    assert client.post("/size", content=b"x", headers={"content-encoding": "Identity"}).json() == 1
    assert client.get("/id", headers={"content-encoding": "gzip"}).status_code == 200


def test_cors_for_allowed_origins_only(client):
    preflight = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    allowed = client.options("/size", headers={"Origin": "http://localhost:5173", **preflight})
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == "http://localhost:5173"
    assert "access-control-allow-credentials" not in allowed.headers
    foreign = client.options("/size", headers={"Origin": "http://evil.example", **preflight})
    assert "access-control-allow-origin" not in foreign.headers
    answer = client.get("/id", headers={"Origin": "http://localhost:1"})
    assert answer.headers["access-control-allow-origin"] == "http://localhost:1"
    assert "origin" in answer.headers["vary"].lower()


@pytest.mark.parametrize(
    "wanted",
    [
        {"Origin": "http://evil.example"},
        {"Access-Control-Request-Method": "PUT"},
        {"Access-Control-Request-Headers": "x-evil"},
    ],
)
def test_a_refused_preflight_is_a_problem_document(client, wanted):
    asked = {"Origin": "http://localhost:1", "Access-Control-Request-Method": "POST", **wanted}
    refused = client.options("/size", headers=asked)
    assert refused.status_code == 400
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.headers["vary"].startswith("Origin")
    assert refused.json()["code"] == "bad_request"
    assert "OPENLINE_ALLOWED_ORIGINS" in refused.json()["detail"]
