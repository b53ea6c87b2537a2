"""The fast path answers as the application does, and leaves to it what is not plain."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from functools import partial
from pathlib import Path

import httpx2
import pytest
import uvicorn
from prometheus_client import REGISTRY
from uvicorn.server import ServerState

from services.kernel.broker.memory.broker import MemoryBroker
from services.kernel.broker.redis.broker import RedisBroker
from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.limits import Limits
from services.kernel.http.http_protocol import HttpProtocol
from services.kernel.http.known_heads import KnownHeads, _apart
from services.kernel.ops import namespaces
from services.kernel.tokens.verifier import digest
from services.publisher.app import Parts
from services.publisher.settings import Settings
from tests.support.redis_server import start_redis
from tests.support.revocation_record import Record
from tests.support.waiting import until

SCOPES = {"good": {"publish"}, "reader": {"read"}}
ONE = "/v1/channels/room:a/messages"
JSON = {"content-type": "application/json"}
OCTETS = {"content-type": "application/octet-stream"}
ORIGIN = "https://app.example.org"
LARGE = b'{"data":"' + b"x" * 70_000 + b'"}'


@pytest.fixture(params=["first", "again", "known"], autouse=True)
def again(request, monkeypatch):
    """Whether requests are the first of their connection, or have the headers of the one before, and a known token."""
    monkeypatch.setattr(Line, "again", request.param != "first")
    monkeypatch.setattr(Verifier, "knows", request.param == "known")
    return request.param != "first"


class Verifier:
    """Trusts two tokens; the one with scope `read` may not publish."""

    knows = False

    def recall(self, known, now):
        found = [token for token in SCOPES if self.knows and digest(token) == known]
        return Claims(sub="bob", iat=now, scope=frozenset(SCOPES[found[0]])) if found else None

    def cached(self, token, now):
        return None

    async def verify(self, token, now):
        if token not in SCOPES:
            raise OpenlineError(Code.UNAUTHORIZED, "unknown")
        return Claims(sub="bob", iat=now, scope=frozenset(SCOPES[token]))


def of(broker):
    known = namespaces.load(Path(__file__).parents[3] / "deploy/namespaces.toml")
    settings = Settings(jwks_urls=("http://127.0.0.1:1/jwks",), allowed_origins=(ORIGIN,))
    parts = Parts(settings, broker, revocations=Record(), namespaces=known, clock=time.time)
    parts._publishing._guard._verifier = Verifier()
    return parts


@pytest.fixture
def parts():
    return of(MemoryBroker())


class Asgi:
    """An application that counts what it is asked."""

    def __init__(self, app):
        self.app = app
        self.asked = 0

    async def __call__(self, scope, receive, send):
        self.asked += 1
        await self.app(scope, receive, send)


class Line(asyncio.Transport):
    """The transport of one connection to the publisher; what comes back is kept. `counted` is the application."""

    again = False

    def __init__(self, parts, *, fast=True):
        super().__init__()
        self.counted = Asgi(parts.app)
        if fast:
            parts.fast_path._app = self.counted
        self.came = bytearray()
        self.closed = False
        short = partial(KnownHeads, limits=Limits(), plain=parts.fast_path)
        config = uvicorn.Config(
            parts.fast_path if fast else self.counted,
            http=short if fast else HttpProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            server_header=False,
        )
        config.load()
        self.server = ServerState()
        self.protocol = config.http_protocol_class(config, self.server, {})
        self.protocol.connection_made(self)

    def receive(self, data):
        """From the client. `again`: what comes has the headers of the request before."""
        plain = self.again and isinstance(self.protocol, KnownHeads) and _apart(data)
        if plain:
            named = data.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
            self.protocol.headers = [
                (line.split(b":", 1)[0].lower(), line.split(b":", 1)[1].strip()) for line in named
            ]
            self.protocol._learn(plain.head)
        self.protocol.data_received(data)

    def get_extra_info(self, name, default=None):
        ends = {"peername": ("127.0.0.1", 50_000), "sockname": ("127.0.0.1", 80)}
        return ends.get(name, default)

    def is_closing(self):
        return self.closed

    def close(self):
        self.closed = True

    def pause_reading(self): ...
    def resume_reading(self): ...

    def write(self, data):
        self.came += data

    async def answers(self):
        """All that has come when nothing is under way any more."""
        await until(lambda: not (self.server.tasks or getattr(self.protocol, "_answering", False)))
        self.protocol._unset_keepalive_if_required()
        return bytes(self.came)


def lines(method, path, headers):
    return "\r\n".join([f"{method} {path} HTTP/1.1", *headers, "", ""]).encode()


def request(path, body=b'{"data":1}', *, method="POST", token="good", **headers):
    named = {"host": "test", "x-request-id": "me", **JSON, "content-length": len(body)}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    if token is not None:
        named["authorization"] = f"Bearer {token}"
    return lines(method, path, [f"{name}: {value}" for name, value in named.items()]) + body


def parsed(raw):
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *named = head.split(b"\r\n")
    headers = [tuple(line.split(b": ", 1)) for line in named]
    assert dict(headers)[b"content-length"] == b"%d" % len(body)
    return httpx2.Response(int(first.split()[1]), headers=headers, content=body)


async def ask(parts, path, body=b'{"data":1}', *, fast=True, **more):
    line = Line(parts, fast=fast)
    line.receive(request(path, body, **more))
    answer = parsed(await line.answers())
    assert line.counted.asked == 0 or not fast
    return answer


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
        (ONE, b'{"data":1,"ephemral":true}', {}),
        (ONE, b'{"dta":1}', {"idempotency-key": "a"}),
        (f"{ONE}?ephemral=1", b"1", OCTETS),
        (ONE, b'{"data":1}', {"idempotency-key": "x" * 129}),
        ("/v1/messages", batch({**GOOD, "tag": {}}), {}),
        ("/v1/messages", batch(GOOD), {"idempotency-key": "a"}),
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
    by_fast_path = await ask(parts, path, body, **more)
    by_app = await ask(parts, path, body, fast=False, **more)
    one, other = seen(by_fast_path), seen(by_app)
    if "epoch" in by_fast_path.text and by_fast_path.status_code == 409:
        assert by_fast_path.json()["position"]["epoch"] == by_app.json()["position"]["epoch"]
    assert one == other


_PYTHON = {"accept": "*/*", "accept_encoding": "gzip, deflate, br", "connection": "keep-alive"}
CLIENTS = {
    "httpx": {**_PYTHON, "user_agent": "python-httpx/0.28.1"},
    "httpx2": {**_PYTHON, "user_agent": "python-httpx2/2.16.2"},
    "requests": {**_PYTHON, "user_agent": "python-requests/2.34.2"},
    "node": {
        "connection": "keep-alive",
        "accept": "*/*",
        "accept_language": "*",
        "sec_fetch_mode": "cors",
        "user_agent": "node",
        "accept_encoding": "gzip, deflate",
    },
    "curl": {"user_agent": "curl/7.88.1", "accept": "*/*"},
}
"""The headers of a POST of JSON, recorded from the clients themselves, but for those that each request has."""


@pytest.mark.parametrize("client", CLIENTS)
async def test_what_real_clients_send_is_plain(parts, client):
    assert (await ask(parts, ONE, **CLIENTS[client])).status_code == 201


async def test_a_key_counts_over_both_ways(parts):
    stored = (await ask(parts, f"{ONE}?key=k")).json()
    by_app = await ask(parts, f"{ONE}?key=k", fast=False)
    assert by_app.json() == {**stored, "duplicate": True}
    assert (await ask(parts, ONE, b'{"data":1,"key":"k"}')).json()["duplicate"]


@pytest.mark.parametrize("fast", [True, False])
async def test_the_header_counts_as_a_key_after_body_and_query(parts, fast):
    async def post(path=ONE, body=b'{"data":1}', **more):
        return (await ask(parts, path, body, fast=fast, **more)).json()

    stored = await post(idempotency_key='"k"')
    assert await post(body=b'{"data":1,"key":"k"}', idempotency_key="l") == {
        **stored,
        "duplicate": True,
    }
    assert (await post(f"{ONE}?key=k", idempotency_key="l"))["duplicate"]
    assert (await post(body=b"raw", idempotency_key="k", content_type=OCTETS["content-type"]))[
        "duplicate"
    ]
    assert not (await post(idempotency_key="l"))["duplicate"]


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
    line = Line(parts)
    line.receive(request(path, **more))
    answer = parsed(await line.answers())
    assert (line.counted.asked, answer.status_code) == (1, status)
    assert answer.headers.get("access-control-allow-origin") == more.get("origin")
    assert line.closed == (answer.headers.get("connection") == "close")


async def test_a_body_of_unknown_length_is_left_to_the_application(parts):
    line = Line(parts)
    head = [f"{k}: {v}" for k, v in {**JSON, "authorization": "Bearer good"}.items()]
    line.receive(
        lines("POST", ONE, [*head, "transfer-encoding: chunked"])
        + b'7\r\n{"data"\r\n3\r\n:1}\r\n0\r\n\r\n'
    )
    assert parsed(await line.answers()).status_code == 201
    assert line.counted.asked == 1


async def test_a_body_that_comes_in_pieces_is_read_whole(parts):
    line = Line(parts)
    raw = request(ONE, b'{"data":"' + b"x" * 60_000 + b'"}')
    for start in range(0, len(raw), 7_000):
        line.receive(raw[start : start + 7_000])
    assert parsed(await line.answers()).json()["offset"] == 1
    assert line.counted.asked == 0


async def test_requests_of_one_connection_are_answered_one_after_another(parts):
    line = Line(parts)
    for number in range(1, 4):
        line.came.clear()
        line.receive(request(ONE))
        assert parsed(await line.answers()).json()["offset"] == number
    assert line.counted.asked == 0
    assert line.server.total_requests == 3


async def test_connection_close_is_obeyed(parts):
    line = Line(parts)
    line.receive(request(ONE, connection="close"))
    answer = parsed(await line.answers())
    assert (answer.status_code, answer.headers["connection"], line.closed) == (201, "close", True)
    assert line.counted.asked == 0


async def test_pipelined_requests_are_answered_in_their_order(parts):
    line = Line(parts)
    line.receive(b"".join(request(ONE, x_request_id=f"r{n}") for n in range(3)))
    raw = await line.answers()
    ids = [part.split(b"\r\n")[0] for part in raw.split(b"x-request-id: ")[1:]]
    assert ids == [b"r0", b"r1", b"r2"]
    assert line.counted.asked == 0


async def test_a_client_that_leaves_before_its_answer_gets_none(parts):
    line = Line(parts)
    line.receive(request(ONE))
    line.protocol.connection_lost(None)
    assert await line.answers() == b""


async def test_a_client_that_leaves_before_its_body_has_come_publishes_nothing(parts):
    line = Line(parts)
    line.receive(request(ONE)[:-3])
    line.protocol.connection_lost(None)
    assert await line.answers() == b""
    assert (await parts.broker.history("room:a", since=None, limit=9, reverse=False)).offset == 0


async def test_a_client_that_does_not_read_is_waited_for(parts):
    line = Line(parts)
    line.protocol.pause_writing()
    line.receive(request(ONE))
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(line.answers(), 0.05)
    assert not line.came
    line.protocol.resume_writing()
    assert parsed(await line.answers()).status_code == 201


async def test_a_server_that_stops_says_that_it_is_the_last_answer(parts):
    line = Line(parts)
    line.receive(request(ONE))
    line.protocol.shutdown()
    answer = parsed(await line.answers())
    assert (answer.status_code, answer.headers["connection"]) == (201, "close")
    assert line.closed


async def test_an_unexpected_fault_is_a_problem_without_details(parts):
    def fail(*_):
        raise RuntimeError("secret detail")

    parts._publishing._guard._verifier.recall = fail
    parts._publishing._guard._verifier.verify = fail
    by_fast_path, by_app = await ask(parts, ONE), await ask(parts, ONE, fast=False)
    assert by_fast_path.status_code == 500
    assert "secret" not in by_fast_path.text
    assert seen(by_fast_path) == seen(by_app)


async def test_a_request_has_an_id_of_its_own_unless_it_brings_a_sane_one(parts):
    assert (await ask(parts, ONE)).headers["x-request-id"] == "me"
    ids = {(await ask(parts, ONE, x_request_id="a b")).headers["x-request-id"] for _ in "12"}
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
        await ask(parts, path, token="bad")
        await ask(parts, path, token="bad", fast=False)
        assert counted() == before + 2


@pytest.mark.parametrize(
    ("path", "body", "size"),
    [
        (ONE, b'{"data":"' + b"x" * 98 + b'"}', 100),
        ("/v1/messages", batch(GOOD, GOOD), 2 * len('{"n": 1}')),
        ("/v1/broadcast", b'{"channels":["room:a","room:b","room:c"],"data":12345}', 15),
        ("/v1/connections/c1/messages", b'{"data":12345}', 5),
    ],
)
async def test_bytes_of_all_that_publishes_are_counted(parts, monkeypatch, path, body, size):
    guard = parts._publishing._guard
    taken = []
    monkeypatch.setattr(guard._allowance, "spend_bytes", lambda _, __, size: taken.append(size))
    assert (await ask(parts, path, body, fast=False)).is_success
    assert taken == [size]


async def test_a_client_that_has_published_too_many_bytes_waits(parts):
    guard = parts._publishing._guard
    guard.count_bytes(await Verifier().verify("good", 0), 2 * 134_217_728)
    for path in (ONE, "/v1/messages"):
        body = batch(GOOD) if path == "/v1/messages" else b'{"data":1}'
        answer = await ask(parts, path, body)
        assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
        assert "bytes a second" in answer.text


@pytest.mark.server
async def test_a_plain_publish_with_a_known_token_needs_no_task(tmp_path, monkeypatch):
    monkeypatch.setattr(Line, "again", True)
    monkeypatch.setattr(Verifier, "knows", True)
    loop, made = asyncio.get_running_loop(), []

    def make(loop, coro, **named):
        made.append(coro)
        return asyncio.Task(coro, loop=loop, **named)

    with start_redis(tmp_path) as server:
        broker = RedisBroker(server.url)
        await broker.start()
        line = Line(of(broker))
        loop.set_task_factory(make)
        try:
            for number in range(40):  # one in sixteen goes by the script that counts
                line.came.clear()
                line.receive(request(ONE))
                answer = parsed(await line.answers())
                assert (answer.status_code, answer.json()["offset"]) == (201, number + 1)
        finally:
            loop.set_task_factory(None)
            await broker.close()
    assert made == []
