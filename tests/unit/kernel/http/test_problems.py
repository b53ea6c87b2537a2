"""Every refusal is a problem document (RFC 9457)."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.testclient import TestClient

from services.kernel.domain.codes import HTTP_STATUS, Code, OpenlineError
from services.kernel.http import problems


class Body(BaseModel):
    data: int


@pytest.fixture
def app():
    app = FastAPI()
    problems.install(app)

    @app.post("/raise/{code}")
    async def refuse(code: Code):
        raise OpenlineError(code, "because", retry_after=1.2)

    @app.post(
        "/body",
        responses=problems.responses(Code.TOO_LARGE, Code.CONFLICT, Code.NOT_SUBSCRIBED, 415),
    )
    async def body(body: Body):
        raise OpenlineError(Code.CONFLICT, "moved on", position=("e1", 7))

    @app.get("/status/{status}")
    async def status(status: int):
        raise HTTPException(status, "said so", headers={"X-Kept": "yes"})

    @app.get("/bug")
    async def bug():
        raise ZeroDivisionError("secret detail")

    return app


@pytest.fixture
def client(app):
    return TestClient(app, raise_server_exceptions=False)


@pytest.mark.parametrize("code", list(Code))
def test_each_code_has_its_status_and_says_when_to_come_back(client, code):
    response = client.post(f"/raise/{code}")
    assert response.status_code == HTTP_STATUS[code]
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["retry-after"] == "2"
    document = response.json()
    assert document == {
        "type": f"urn:openline:problem:{code}",
        "title": document["title"],
        "status": HTTP_STATUS[code],
        "detail": "because",
        "code": code.value,
        "retry_after": 1.2,
    }


def test_401_carries_a_challenge(client):
    assert client.post("/raise/unauthorized").headers["www-authenticate"] == "Bearer"


def test_a_failed_expectation_carries_the_position(client):
    document = client.post("/body", json={"data": 1}).json()
    assert document["position"] == {"epoch": "e1", "offset": 7}


@pytest.mark.parametrize("body", [b"{}", b"[1]", b"{", b"\xff", b'{"data": "x"}', b""])
def test_validation_is_a_400_that_names_the_place(client, body):
    response = client.post("/body", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400
    assert response.json()["code"] == "bad_request"
    assert "body" in response.json()["detail"]


def test_an_unknown_path_and_method(client):
    assert client.get("/nowhere").json()["status"] == 404
    response = client.put("/body")
    assert response.json()["code"] == "bad_request"
    assert "PUT" in response.json()["detail"]
    assert response.headers["allow"] == "POST"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (413, "too_large"),
        (415, "bad_request"),
        (429, "rate_limited"),
        (503, "unavailable"),
        (502, "internal"),
    ],
)
def test_an_http_exception_keeps_its_status_and_headers(client, status, code):
    response = client.get(f"/status/{status}")
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.json()["detail"] == "said so"
    assert response.headers["x-kept"] == "yes"


def test_a_bug_tells_the_client_nothing(client):
    response = client.get("/bug")
    assert (response.status_code, response.json()["code"]) == (500, "internal")
    assert "secret" not in response.text


def test_a_bug_ends_the_connection_and_says_so(client):
    """uvicorn closes it after an error; a proxy that is not told sends the next request into it."""
    assert client.get("/bug").headers["connection"] == "close"


def test_the_openapi_document_knows_400_instead_of_422(app):
    document = app.openapi()
    answers = document["paths"]["/body"]["post"]["responses"]
    assert set(answers) == {"200", "400", "409", "413", "415"}
    assert answers["409"]["description"] == "conflict, not_subscribed"
    assert "application/problem+json" in answers["400"]["content"]
    assert "HTTPValidationError" not in document["components"]["schemas"]
