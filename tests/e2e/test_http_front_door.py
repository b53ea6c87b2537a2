"""What nginx itself answers, browsers on other origins, and services that are down."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import httpx2
import pytest

from tests.support.api_clients import demo_client
from tests.support.event_stream import EventStream
from tests.support.people import People
from tests.support.problem_documents import oauth_error, problem
from tests.support.stack import Stack

LOCAL = "http://localhost:3000"
PATHS = [
    "/v1/messages",
    "/v1/channels/room:a/messages",
    "/notify/orders",
    "/auth/token",
    "/auth/connect-tokens",
    "/.well-known/oauth-authorization-server",
]


@pytest.fixture
def http(stack: Stack) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=stack.url, headers=stack.bearer(), timeout=15) as client:
        yield client


# --------------------------------------------------------------------------------------------------- descriptions


def test_the_http_api_is_described_for_people_and_for_programs(stack: Stack) -> None:
    with httpx2.Client(base_url=stack.url, timeout=15) as nobody:
        page = nobody.get("/docs")
        assert page.headers["content-type"].startswith("text/html")
        document = nobody.get("/v1/openapi.json").json()
    for path, methods in document["paths"].items():
        for method in methods:
            assert f"{method.upper()} {path}" in page.text


# ------------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/v1", 404),
        ("GET", "/v1/", 404),
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1/nodes/", 404),
        ("GET", "/v2/nodes", 404),
        ("GET", "/auth", 404),
        ("POST", "/auth/nothing", 404),
        ("GET", "/metrics", 404),
        ("GET", "/readyz", 404),
        ("GET", "/openapi.json", 404),
        ("GET", "/.env", 404),
        ("GET", "/v1/%2e%2e/metrics", 404),
        ("POST", "/", 405),
        ("DELETE", "/index.html", 405),
        ("TRACE", "/v1/nodes", 405),
        ("PUT", "/v1/nodes", 405),
        ("DELETE", "/v1/channels/room:a/presence", 405),
        ("PATCH", "/v1/channels/room:a/messages", 405),
        ("GET", "/notify/orders", 405),
        ("GET", "/auth/token", 405),
        ("DELETE", "/auth/jwks.json", 405),
        ("PUT", "/sse", 405),
        ("GET", "/ws/nothing", 404),
        ("POST", "/ws", 405),
        ("GET", "/ws", 426),
        ("GET", "/ws/rooms/lobby", 426),
    ],
)
def test_what_is_not_there_or_not_so_is_a_problem(
    http: httpx2.Client, method: str, path: str, status: int
) -> None:
    answer = http.request(method, path)
    problem(answer, status, "bad_request")
    if status == 405:
        assert method not in answer.headers["allow"]


@pytest.mark.parametrize("path", ["/v1/messages", "/notify/orders", "/auth/register", "/nothing"])
def test_a_body_beyond_one_mebibyte_is_413_everywhere(http: httpx2.Client, path: str) -> None:
    headers = {"content-type": "application/json"}
    problem(http.post(path, content=b"x" * (2**20 + 1), headers=headers), 413, "too_large")


@pytest.mark.parametrize(
    ("path", "most"),
    [("/v1/messages", 2**20), ("/auth/register", 2**16), ("/sse", 2**16), ("/sse/x", 2**16)],
)
def test_whose_body_is_too_large_is_told_how_large_it_may_be(
    http: httpx2.Client, path: str, most: int
) -> None:
    headers = {"content-type": "application/json"}
    answer = http.post(path, content=b"x" * (2**20 + 1), headers=headers)
    assert f"at most {most} bytes" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/auth/token", "/auth/revoke", "/auth/introspect"])
def test_a_large_form_is_refused_as_oauth_says(http: httpx2.Client, path: str) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    for size in (65_537, 2**20 + 1):
        answer = http.post(path, content=b"x" * size, headers=form)
        oauth_error(answer, 413, "invalid_request")


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"NONSENSE\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /v1/nodes HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n", 400),
        (b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET /?" + b"x" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 40_000 + b"\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505),
        # What nginx takes for HTTP and a service does not.
        (b"NOVEL /v1/nodes HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 400),
        (b"NOVEL /auth/token HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 400),
        (b"NOVEL /sse HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 400),
        (b"GET /v1/nodes?a=\xff HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 400),
        (b"GET /v1/nodes HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Bell: \x07\r\n\r\n", 400),
    ],
)
def test_what_is_no_http_is_a_problem(stack: Stack, raw: bytes, status: int) -> None:
    address = (httpx2.URL(stack.url).host, httpx2.URL(stack.url).port or 80)
    with socket.create_connection(address, timeout=30) as connection:
        connection.sendall(raw)
        answer = b""
        while chunk := connection.recv(65_536):
            answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"application/problem+json" in head
    assert b'"status":%d' % status in body


def test_a_file_is_given_whole_or_refused_with_a_problem(http: httpx2.Client) -> None:
    # What is compressed has no ranges anyway.
    part = {"range": "bytes=9999999-", "accept-encoding": "identity"}
    assert http.get("/index.html", headers=part).status_code == 200
    problem(http.get("/index.html", headers={"if-match": '"old"'}), 412, "bad_request")


# ---------------------------------------------------------------------------------------------------------- CORS


@pytest.mark.parametrize("path", PATHS)
def test_a_browser_on_localhost_may(http: httpx2.Client, path: str) -> None:
    asked = {
        "origin": LOCAL,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization, content-type",
    }
    answer = http.options(path, headers=asked)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == LOCAL
    assert "POST" in answer.headers["access-control-allow-methods"]
    allowed = answer.headers["access-control-allow-headers"].lower()
    assert "authorization" in allowed
    assert "content-type" in allowed
    assert "access-control-allow-credentials" not in answer.headers
    answer = http.get(path, headers={"origin": LOCAL})
    assert answer.headers["access-control-allow-origin"] == LOCAL
    assert "Origin" in answer.headers["vary"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.evil:3000"])
def test_a_browser_elsewhere_may_not(http: httpx2.Client, path: str, origin: str) -> None:
    asked = {"origin": origin, "access-control-request-method": "POST"}
    answer = http.options(path, headers=asked)
    problem(answer, 400, "bad_request")
    assert "access-control-allow-origin" not in answer.headers
    answer = http.get(path, headers={"origin": origin})
    assert "access-control-allow-origin" not in answer.headers


async def test_a_script_elsewhere_reads_a_stream_with_a_token_in_its_header(
    people: People,
) -> None:
    """EventSource sends no headers, but what is built on fetch does, and then asks beforehand."""
    asked = {
        "origin": LOCAL,
        "access-control-request-method": "GET",
        "access-control-request-headers": "authorization, last-event-id",
    }
    answer = await people.http.options("/sse", headers=asked)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, LOCAL)
    allowed = answer.headers["access-control-allow-headers"].lower()
    assert {"authorization", "last-event-id"} <= set(allowed.split(", "))
    headers = {"origin": LOCAL, "authorization": f"Bearer {await people.token('alice')}"}
    query = {"channel": "notify:any"}
    async with EventStream.open(people.http, "/sse", params=query, headers=headers) as stream:
        assert stream.response.headers["access-control-allow-origin"] == LOCAL
        await stream.next("subscribed")
    foreign = {**asked, "origin": "https://evil.example"}
    answer = await people.http.options("/sse", headers=foreign)
    problem(answer, 400, "bad_request")
    assert "access-control-allow-origin" not in answer.headers


# ---------------------------------------------------------------------------------------------- services that are down


def test_a_publisher_that_is_down_is_a_503_that_says_when_to_come_back(
    stack: Stack, http: httpx2.Client
) -> None:
    local = {"origin": LOCAL}
    stack.down("publisher")
    try:
        for answer in (
            http.post("/v1/channels/room:a/messages", json={"data": 1}, headers=local),
            http.get("/v1/nodes", headers=local),
            http.post("/notify/orders", json={}, headers=local),
        ):
            problem(answer, 503, "unavailable")
            assert answer.headers["access-control-allow-origin"] == LOCAL
        assert http.get("/healthz").status_code == 200
        assert http.get("/auth/jwks.json").status_code == 200
    finally:
        stack.up("publisher")
    assert http.get("/v1/nodes").status_code == 200


async def test_without_auth_what_needs_no_new_token_goes_on(stack: Stack, people: People) -> None:
    client, token = demo_client(people.run), await people.token("alice")
    await people.backend()
    stack.down("auth")
    try:
        form = {"grant_type": "client_credentials"}
        answer = await people.http.post("/auth/token", data=form, auth=client)
        assert answer.headers["retry-after"] == "1"
        oauth_error(answer, 503, "temporarily_unavailable")
        for path in ("revoke", "introspect"):
            answer = await people.http.post(f"/auth/{path}", data={"token": "x"}, auth=client)
            oauth_error(answer, 503, "temporarily_unavailable")
        bearer = {"authorization": f"Bearer {token}"}
        answer = await people.http.post("/auth/tickets", headers=bearer)
        problem(answer, 503, "unavailable")
        async with await people.connect("alice") as alice:
            await alice.subscribe("notify:without-auth")
            await people.publish("notify:without-auth", 1)
            assert (await alice.message())["data"] == 1
    finally:
        stack.up("auth")
    answer = await people.http.post("/auth/token", data=form, auth=client)
    assert answer.status_code == 200


async def test_without_redis_what_needs_it_is_a_503_and_a_repetition_is_safe(
    stack: Stack, people: People
) -> None:
    channel, client, user = "room:outage", demo_client(people.run), await people.token("alice")
    body = {"data": "kept", "key": "outage"}
    path = f"/v1/channels/{channel}/messages"
    await people.call("GET", path)
    stack.down("redis")
    try:
        for answer in await asyncio.gather(
            people.call("POST", path, json=body),
            people.call("GET", path),
            people.call("DELETE", path),
            people.call("GET", f"/v1/channels/{channel}/presence"),
            people.call("GET", "/v1/channels"),
            people.call("GET", "/v1/nodes"),
            people.call("POST", "/v1/users/bob/disconnect"),
            people.call("POST", "/notify/orders", json={}),
            people.call("POST", "/auth/tickets", headers={"authorization": f"Bearer {user}"}),
        ):
            problem(answer, 503, "unavailable")
        batch = {"messages": [{"channel": channel, "data": 1}]}
        answer = await people.call("POST", "/v1/messages", json=batch)
        (result,) = answer.json()["results"]
        assert (answer.status_code, result["status"], result["code"]) == (200, 503, "unavailable")
        form = {"grant_type": "client_credentials"}
        assert (await people.http.post("/auth/token", data=form, auth=client)).status_code == 200
        answer = await people.http.post("/auth/revoke", data={"token": user}, auth=client)
        oauth_error(answer, 503, "temporarily_unavailable")
    finally:
        stack.up("redis")
        for name in ("publisher", "auth", "gateway-1", "gateway-2"):
            stack.wait_ready(name)
    stored = await people.call("POST", path, json=body)
    again = await people.call("POST", path, json=body)
    assert (stored.status_code, again.json()["duplicate"]) == (201, True)
    assert stored.json()["offset"] == again.json()["offset"]
