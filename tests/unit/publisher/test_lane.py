"""The lane answers as the application does, and leaves to it what is not plain."""

from __future__ import annotations

import json
import time
from pathlib import Path

import httpx
import pytest
from prometheus_client import REGISTRY

from services.kernel.broker.memory import MemoryBroker
from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.limits import Limits
from services.kernel.ops import namespaces
from services.publisher.app import Parts
from services.publisher.settings import Settings

SCOPES = {"good": {"publish"}, "reader": {"read"}}
ONE = "/v1/channels/room:a/messages"
JSON = {"content-type": "application/json"}
OCTETS = {"content-type": "application/octet-stream"}
ORIGIN = "https://app.example.org"
LARGE = b'{"data":"' + b"x" * 70_000 + b'"}'


class Verifier:
    """Knows two tokens; the one with scope `read` may not publish."""

    async def verify(self, token, now):
        if token not in SCOPES:
            raise OpenlineError(Code.UNAUTHORIZED, "unknown")
        return Claims(sub="bob", iat=now, scope=frozenset(SCOPES[token]))


@pytest.fixture
def parts():
    known = namespaces.load(Path(__file__).parents[3] / "deploy/namespaces.toml")
    settings = Settings(jwks_urls=(), allowed_origins=(ORIGIN,))
    parts = Parts(settings, MemoryBroker(), namespaces=known, clock=time.time)
    parts._messages._guard._verifier = Verifier()
    return parts


class Asgi:
    """An application that counts what it is asked."""

    def __init__(self, app):
        self.app = app
        self.asked = 0

    async def __call__(self, scope, receive, send):
        self.asked += 1
        await self.app(scope, receive, send)


async def ask(app, path, body=b'{"data":1}', *, method="POST", token="good", **headers):
    given = {k.replace("_", "-"): v for k, v in {"x_request_id": "me", **JSON, **headers}.items()}
    if token is not None:
        given["authorization"] = f"Bearer {token}"
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.request(method, path, content=body, headers=given)


def seen(answer):
    """Everything that a client sees, but for the epoch, which is random."""
    body = answer.content
    if answer.headers.get("content-type") == "application/json":
        body = [
            {key: value for key, value in result.items() if key not in ("epoch", "offset")}
            for result in answer.json().get("results", [answer.json()])
        ]
    return answer.status_code, list(answer.headers.raw), body


def batch(*messages):
    return json.dumps({"messages": messages}).encode()


GOOD = {"channel": "room:a", "data": {"n": 1}}


@pytest.mark.parametrize(
    ("path", "body", "more"),
    [
        (ONE, b'{"data":{"a":1}}', {}),
        (ONE, b'{"data":1}', {"content-type": "Application/JSON; charset=utf-8"}),
        (ONE, b"\x00\xff", OCTETS),
        (f"{ONE}?ephemeral=1", b"\x00\xff", OCTETS),
        (f"{ONE}?ephemeral=no", b"1", OCTETS),
        (f"{ONE}?key=a&key=b", b"1", OCTETS),
        ("/v1/channels/room%3Ab%40c/messages", b'{"data":1}', {}),
        ("/v1/channels/room:a%2Fb/messages", b'{"data":1}', {}),
        ("/v1/channels/nowhere:a/messages", b'{"data":1}', {}),
        ("/v1/channels/room/messages", b'{"data":1}', {}),
        ("/v1/users/ann/messages", b'{"data":1}', {}),
        ("/v1/users/an%20n/messages", b'{"data":1}', {}),
        (ONE, b'{"data":', {}),
        (ONE, b'{"data":1,"key":""}', {}),
        (ONE, b'{"data":1,"expect":{"epoch":"no","offset":7}}', {}),
        (ONE, LARGE, {}),
        (ONE, b'{"data":1}', {"token": None}),
        (ONE, b'{"data":1}', {"token": "bad"}),
        (ONE, b'{"data":1}', {"token": "reader"}),
        ("/v1/messages", batch(GOOD, {"channel": "room", "data": 1}, GOOD), {}),
        ("/v1/messages", batch(*[GOOD] * 1001), {}),
        ("/v1/messages", b"[]", {}),
    ],
)
async def test_both_ways_answer_alike(parts, path, body, more):
    more = {key.replace("-", "_"): value for key, value in more.items()}
    parts.lane._app = counted = Asgi(parts.app)
    by_lane = await ask(parts.lane, path, body, **more)
    assert counted.asked == 0
    by_app = await ask(parts.app, path, body, **more)
    one, other = seen(by_lane), seen(by_app)
    if "epoch" in by_lane.text and by_lane.status_code == 409:
        assert by_lane.json()["position"]["epoch"] == by_app.json()["position"]["epoch"]
    assert one == other


async def test_a_key_counts_over_both_ways(parts):
    stored = (await ask(parts.lane, f"{ONE}?key=k")).json()
    assert (await ask(parts.app, f"{ONE}?key=k")).json() == {**stored, "duplicate": True}
    assert (await ask(parts.lane, ONE, b'{"data":1,"key":"k"}')).json()["duplicate"]


@pytest.mark.parametrize(
    ("path", "more", "status"),
    [
        (ONE, {"method": "GET", "token": "reader"}, 200),
        (ONE, {"method": "PUT"}, 405),
        (ONE, {"content_type": "text/plain"}, 415),
        ("/v1/messages", {"content_type": "application/octet-stream"}, 415),
        (ONE, {"origin": ORIGIN}, 201),
        (ONE, {"body": b"x" * (Limits().body_bytes + 1)}, 413),
        ("/v1/channels/messages", {}, 404),
        ("/v1/messages/", {}, 404),
        ("/v1/channels/room:a%0A/messages", {}, 404),
        ("/v1/broadcast", {"body": b'{"channels":["room:a"],"data":1}'}, 200),
    ],
)
async def test_what_is_not_plain_is_left_to_the_application(parts, path, more, status):
    parts.lane._app = counted = Asgi(parts.app)
    answer = await ask(parts.lane, path, **more)
    assert (counted.asked, answer.status_code) == (1, status)
    assert answer.headers.get("access-control-allow-origin") == more.get("origin")


async def test_a_body_of_unknown_length_is_left_to_the_application(parts):
    async def pieces():
        yield b'{"data"'
        yield b":1}"

    parts.lane._app = counted = Asgi(parts.app)
    assert (await ask(parts.lane, ONE, pieces())).status_code == 201
    assert counted.asked == 1


async def test_a_body_that_comes_in_pieces_is_read_whole(parts):
    sent = []
    pieces = [b'{"data"', b":1", b"}"]

    async def receive():
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    async def send(message):
        sent.append(message)

    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"10"),
        (b"authorization", b"Bearer good"),
    ]
    scope = {"type": "http", "method": "POST", "path": ONE, "query_string": b"", "headers": headers}
    await parts.lane(scope, receive, send)
    assert sent[0]["status"] == 201
    assert json.loads(sent[1]["body"])["offset"] == 1


async def test_a_client_that_leaves_before_its_body_has_come_gets_no_answer(parts):
    async def receive():
        return {"type": "http.disconnect"}

    async def send(message):
        raise AssertionError(message)

    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"10"),
        (b"authorization", b"Bearer good"),
    ]
    scope = {"type": "http", "method": "POST", "path": ONE, "query_string": b"", "headers": headers}
    await parts.lane(scope, receive, send)


async def test_an_unexpected_fault_is_a_problem_without_details(parts):
    async def fail(*_):
        raise RuntimeError("secret detail")

    parts._messages._guard._verifier.verify = fail
    by_lane, by_app = await ask(parts.lane, ONE), await ask(parts.app, ONE)
    assert by_lane.status_code == 500
    assert "secret" not in by_lane.text
    assert seen(by_lane) == seen(by_app)


async def test_a_request_has_an_id_of_its_own_unless_it_brings_a_sane_one(parts):
    assert (await ask(parts.lane, ONE)).headers["x-request-id"] == "me"
    ids = {(await ask(parts.lane, ONE, x_request_id="a b")).headers["x-request-id"] for _ in "12"}
    assert len(ids) == 2
    assert all(len(name) == 32 for name in ids)


async def test_both_ways_are_counted_under_the_route_of_the_application(parts):
    routes = {route.path_format for route in parts.app.routes if hasattr(route, "path_format")}
    for path, route in (
        (ONE, "/v1/channels/{channel}/messages"),
        ("/v1/users/ann/messages", "/v1/users/{user}/messages"),
        ("/v1/messages", "/v1/messages"),
    ):
        assert route in routes
        labels = {"route": route, "method": "POST", "status": "401"}

        def counted(labels=labels):
            return REGISTRY.get_sample_value("openline_publisher_requests_total", labels) or 0.0

        before = counted()
        await ask(parts.lane, path, token="bad")
        await ask(parts.app, path, token="bad")
        assert counted() == before + 2
