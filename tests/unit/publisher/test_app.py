"""The OpenAPI document lists every call with its token, its types and its refusals."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from services.kernel.broker.memory.broker import MemoryBroker
from services.kernel.ops import namespaces
from services.publisher.app import Parts
from services.publisher.settings import Settings
from tests.support.revocation_record import Record

CALLS = {
    ("post", "/v1/channels/{channel}/messages"),
    ("get", "/v1/channels/{channel}/messages"),
    ("delete", "/v1/channels/{channel}/messages"),
    ("get", "/v1/channels/{channel}/presence"),
    ("get", "/v1/channels"),
    ("post", "/v1/messages"),
    ("post", "/v1/broadcast"),
    ("post", "/v1/users/{user}/messages"),
    ("post", "/v1/users/{user}/disconnect"),
    ("post", "/v1/users/{user}/revoke"),
    ("post", "/v1/users/{user}/subscribe"),
    ("post", "/v1/users/{user}/unsubscribe"),
    ("post", "/v1/connections/{connection}/messages"),
    ("post", "/v1/connections/{connection}/disconnect"),
    ("get", "/v1/nodes"),
    ("post", "/v1/nodes/{node}/drain"),
    ("delete", "/v1/nodes/{node}/drain"),
    ("post", "/notify/{topic}"),
}


@pytest.fixture
def parts():
    known = namespaces.load(Path(__file__).parents[3] / "deploy/namespaces.toml")
    settings = Settings(jwks_urls=("http://127.0.0.1:1/jwks",))
    return Parts(settings, MemoryBroker(), revocations=Record(), namespaces=known)


@pytest.fixture
def document(parts):
    return parts.app.openapi()


def operations(document):
    return {
        (method, path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_every_call_is_documented(document):
    assert operations(document).keys() == CALLS


def test_every_call_names_its_token_and_what_may_go_wrong(document):
    for operation in operations(document).values():
        assert operation["security"] == [{"bearer": []}]
        assert operation["summary"]
        assert operation["description"]
        for status in ("401", "403", "503"):
            answer = operation["responses"][status]["content"]
            assert answer["application/problem+json"]["schema"]["$ref"].endswith("/Problem")


def test_every_reference_leads_somewhere(document):
    def references(value):
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                yield value["$ref"]
            for inner in value.values():
                yield from references(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from references(inner)

    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(references(document)) <= known


def test_names_for_generated_clients_are_unique(document):
    names = [operation["operationId"] for operation in operations(document).values()]
    assert len(set(names)) == len(CALLS)


async def test_405_names_every_method_of_a_path(parts):
    transport = httpx2.ASGITransport(parts.app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.patch("/v1/channels/room:a/messages")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "DELETE, GET, POST"


async def test_an_unexpected_fault_is_a_problem_without_details(parts):
    transport = httpx2.ASGITransport(parts.app, raise_app_exceptions=False)

    async def fail(*_):
        raise RuntimeError("secret detail")

    parts.app.state.parts.guard.caller = fail
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.get("/v1/channels")
    assert answer.status_code == 500
    assert answer.json()["code"] == "internal"
    assert "secret" not in answer.text
