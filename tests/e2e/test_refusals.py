"""Malformed things of every kind at every address, through nginx and directly: each refusal says why, none is a failure of ours.

A WebSocket client is told by an `error`, or by a close code and reason; a program by a status and a document.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.support.people import People
from tests.support.stack import Stack

DOORS = [None, 0]
"""The front door, and a gateway by itself."""

REFUSED = {400, 401, 403, 404, 405, 408, 409, 411, 413, 414, 415, 417, 422, 426, 431, 501, 505}
"""What an HTTP refusal may be. 501 and 505 are HTTP's own words for requests of another kind."""

ENDED = {1002, 1003, 1007, 1009, 4000, 4001, 4003}
"""How a connection may end for what its client sent."""


@pytest.fixture(autouse=True)
def nothing_failed(stack: Stack) -> Iterator[None]:
    """No test may leave a traceback, or an event of level error, in a service's log."""
    names = ("gateway-1", "gateway-2", "publisher", "auth")
    before = {name: len(stack.log(name)) for name in names}
    yield
    for name in names:
        said = stack.log(name)[before[name] :]
        assert "Traceback" not in said, said[-3000:]
        assert '"level": "error"' not in said, said[-3000:]
        assert '"level":"error"' not in said, said[-3000:]


# ------------------------------------------------------------------------------------------------ WebSocket addresses

PATHS = [
    "/ws/",
    "/ws/x",
    "/ws/rooms",
    "/ws/rooms/",
    "/ws/rooms//",
    "/ws/rooms/a/b",
    "/ws/rooms/a%2Fb",
    "/ws/rooms/a%20b",
    "/ws/rooms/%C3%BC",
    "/ws/rooms/%FF",
    "/ws/rooms/%0A",
    "/ws/rooms/%25",
    "/ws/rooms/" + "x" * 201,
    "/ws/rooms/" + "x" * 3000,
    "/ws/notify/",
    "/ws/notify/a b".replace(" ", "%20"),
    "/ws/echo/x",
    "/ws/../ws/nothing",
    "/WS",
    "/Ws/rooms/x",
    "/websocket",
    "/socket.io/?EIO=4&transport=websocket",
    "/",
    "/sse",
    "/v1/channels/room:x/messages",
    "/auth/token",
    "/healthz",
    "/nothing.json",
    "/.well-known/x",
]
QUERIES = [
    "since=",
    "since=x",
    "since=:1",
    "since=a:b",
    "since=a:-1",
    "since=a:9999999999999999999999",
    "since=%00:1",
    "since=a:1&last=1",
    "last=-1",
    "last=1.5",
    "last=99999999999999999999",
    "last=%F0%9F%92%A9",
    "last=%FF",
    "token=",
    "token=x",
    "token=%00",
    "token=%FF",
    "token=" + "x" * 9000,
    "token=eyJhbGciOiJub25lIn0.e30.",
    "token=eyJhbGciOiJub25lIn0.W10.",
    "token=..",
    "ticket=",
    "ticket=%00",
    "ticket=x&token=y",
    "&&&=&%&",
]


class Outcome:
    """How an attempt to open a connection ended: an HTTP answer, or a close."""

    def __init__(self, answer: Any = None, code: int = 0, reason: str = "") -> None:
        self.status = answer.status_code if answer is not None else None
        self.body = answer.body if answer is not None else b""
        self.code = code
        self.reason = reason

    def __repr__(self) -> str:
        return f"{self.status} {self.body[:200]!r} {self.code} {self.reason!r}"

    @property
    def is_told(self) -> bool:
        """Whether the client learned why, by a code that is no failure of ours."""
        if self.status is not None:
            return self.status in REFUSED and len(self.body) > 10
        return self.code in ENDED and len(self.reason) > 10


async def attempt(url: str, *, patience: float = 8) -> Outcome | None:
    """Open a connection and see it refused; None when it is let in, for its first message to decide, which is waited for 10 s."""
    try:
        async with connect(url, proxy=None, compression=None) as socket:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    while True:
                        await socket.recv()
            return None
    except InvalidStatus as refused:
        return Outcome(refused.response)
    except ConnectionClosed as closed:
        received = closed.rcvd
        return (
            Outcome(code=received.code, reason=received.reason) if received else Outcome(code=1006)
        )


@pytest.mark.parametrize("door", DOORS)
async def test_every_address_that_leads_nowhere_says_so(people: People, door: int | None) -> None:
    for path in PATHS:
        outcome = await attempt(people.ws(door, path))
        assert outcome is not None, path
        assert outcome.is_told, (path, outcome)
        assert outcome.code == 4000, (path, outcome)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("path", ["/ws", "/ws/rooms/x", "/ws/notify/x"])
async def test_every_query_is_taken_or_refused_with_a_reason(
    people: People, path: str, door: int | None
) -> None:
    async def ask(query: str) -> None:
        # Whoever says who it is must be refused at once, with all the patience that a busy machine needs.
        must = "token=" in query or "ticket=" in query
        url = people.ws(door, f"{path}?{query}")
        outcome = await attempt(url, patience=8 if must else 0.5)
        assert not must if outcome is None else outcome.is_told, (url, outcome)

    await asyncio.gather(*map(ask, QUERIES))


HEADERS: list[Mapping[str, str]] = [
    {"Authorization": "Bearer x"},
    {"Authorization": "Bearer " + "x" * 9000},
    {"Authorization": "Bearer \xff"},
    {"Cookie": "openline_token=x", "Origin": "https://evil.example"},
    {"Cookie": "openline_token=x"},
    {"Cookie": "openline_token=\xff; " * 300, "Origin": "null"},
    {"Sec-WebSocket-Protocol": "other.v9"},
    {"Sec-WebSocket-Protocol": "a b, c"},
    {"Sec-WebSocket-Protocol": "\xff"},
    {"Sec-WebSocket-Protocol": "x" * 5000},
    {"Sec-WebSocket-Extensions": 'permessage-nonsense; x="y", \xff'},
    {"X-Forwarded-For": "nonsense, 1.2.3.4"},
    {"X-Forwarded-For": "1.2.3.4, " * 500},
    {"X-Request-Id": "\xff" * 100},
    {"X-Openline-Proxy": "x" * 5000},
]


@pytest.mark.parametrize("door", DOORS)
async def test_every_header_of_a_handshake_is_taken_or_refused_with_a_reason(
    people: People, door: int | None
) -> None:
    async def ask(headers: Mapping[str, str], path: str) -> None:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        known = b"openline.json.v1" if "other.v9" in lines else b""  # named when it is closed
        request = f"GET {path} HTTP/1.1\r\n{HANDSHAKE}{lines}\r\n"
        answer = await raw(people, door, request, until=known)
        assert answer.startswith(b"HTTP/1.1 "), (headers, answer)
        status = int(answer[9:12])
        assert status == 101 or status in REFUSED, (headers, answer[:300])
        assert status != 101 or known in answer

    await asyncio.gather(*(ask(h, path) for h in HEADERS for path in ("/ws", "/ws/rooms/x")))


HANDSHAKE = (
    "Host: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)

BROKEN = [
    f"GET /ws HTTP/1.1\r\n{HANDSHAKE.replace('13', '8')}\r\n",
    f"GET /ws HTTP/1.1\r\n{HANDSHAKE.replace('dGhl', '')}\r\n",
    f"GET /ws HTTP/1.1\r\n{HANDSHAKE.replace('Sec-WebSocket-Key', 'X')}\r\n",
    f"GET /ws HTTP/1.1\r\n{HANDSHAKE}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    f"GET /ws HTTP/1.1\r\n{HANDSHAKE}Origin: http://a\r\nOrigin: http://b\r\n\r\n",
    f"GET /ws HTTP/1.1\r\n{HANDSHAKE.replace('Connection: Upgrade', 'Connection: close')}\r\n",
    f"POST /ws HTTP/1.1\r\n{HANDSHAKE}Content-Length: 3\r\n\r\nabc",
    f"GET /ws HTTP/1.0\r\n{HANDSHAKE}\r\n",
    f"GET /ws/rooms/%00 HTTP/1.1\r\n{HANDSHAKE}\r\n",
    f"GET /ws/rooms/%zz HTTP/1.1\r\n{HANDSHAKE}\r\n",
    f"GET /ws/rooms/\xff HTTP/1.1\r\n{HANDSHAKE}\r\n",
    "GET /ws HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /ws/rooms/x HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /ws/x HTTP/1.1\r\nHost: x\r\n\r\n",
    "POST /ws/rooms/x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
    "GET /sse HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "GET /sse?channel=public:all HTTP/9.9\r\nHost: x\r\n\r\n",
    "NONSENSE\r\n\r\n",
    "GET  HTTP/1.1\r\n\r\n",
    "GET /sse HTTP/1.1\r\nHost: x\r\nBroken Header: x\r\n\r\n",
    "GET /sse HTTP/1.1\r\nHost: x\r\nContent-Length: nonsense\r\n\r\n",
    "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + "\x00" * 50 + "\r\n\r\n",
]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("request_text", BROKEN, ids=lambda text: repr(text[:30]))
async def test_a_broken_request_is_refused_in_words(
    people: People, door: int | None, request_text: str
) -> None:
    answer = await raw(people, door, request_text)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert int(head[9:12]) in REFUSED | {101}, answer[:300]
    if not head.startswith(b"HTTP/1.1 101"):
        assert len(body) > 10, answer


async def raw(people: People, door: int | None, text: str, *, until: bytes = b"") -> bytes:
    """What comes back for these bytes: a whole answer that has this in it, or what there is after twenty seconds."""
    base = people.front_door if door is None else people.run["gateways"][door]
    reader, writer = await asyncio.open_connection("127.0.0.1", int(base.rpartition(":")[2]))
    writer.write(text.encode("latin-1"))
    answer = b""
    with contextlib.suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(20):
            while not (is_whole(answer) and until in answer) and (
                chunk := await reader.read(65_536)
            ):
                answer += chunk
    writer.transport.abort()
    return answer


def is_whole(answer: bytes) -> bool:
    """Whether nothing more can belong to an answer; one of unknown length ends with its connection."""
    head, ended, body = answer.partition(b"\r\n\r\n")
    if head.startswith(b"HTTP/1.1 101 "):
        return bool(ended)
    length = re.search(rb"(?im)^content-length: *(\d+)", head)
    return bool(ended and length) and len(body) >= int(length[1])


# -------------------------------------------------------------------------------------------------------------- frames

TEXTS = [
    "{",
    "[",
    "nonsense",
    "\ufeff{}",
    '\ufeff{"type":"ping"}',
    '{"type":"publish","channel":"room:x","data":NaN}',
    '{"type":"publish","channel":"room:x","data":-Infinity}',
    '{"type":"publish","channel":"room:x","data":"\\ud83d"}',
    '{"type":"publish","channel":"room:x","data":1e999}',
    '{"type":"publish","channel":"room:x","data":' + "[" * 70 + "]" * 70 + "}",
    '{"type":"publish","channel":"room:x","data":' + "9" * 30 + "}",
    '{"type":"publish","channel":5,"data":1}',
    '{"type":"publish","channel":"x y","data":1}',
    '{"type":"publish","channel":"nowhere:x","data":1}',
    '{"type":"publish","channel":"room:x","data":1,"key":""}',
    '{"type":"publish","channel":"room:x","data":1,"key":"\\u0000"}',
    '{"type":"subscribe","channel":"room:' + "x" * 300 + '"}',
    '{"type":"subscribe","channel":"room:x","last":-1}',
    '{"type":"subscribe","channel":"room:x","last":1,"since":{"epoch":"a","offset":1}}',
    '{"type":"subscribe","channel":"room:x","since":{"epoch":"","offset":1}}',
    '{"type":"subscribe","channel":"room:x","since":"a:1"}',
    '{"type":"presence","channel":"room:x","cursor":"nonsense"}',
    '{"type":"history","channel":"room:x","limit":0}',
    '{"type":"' + "long word " * 50 + '"}',
    '{"id":[],"type":"ping"}x',
    "\x00",
    "\U0001f4a9" * 100,
]
ROOM_TEXTS = [
    '{"a":NaN}',
    '{"a":"\\ud83d"}',
    '\ufeff{"a":',
    '{"a":Infinity}',
    "[1,",
    '{"a":1e999}',
    '{"a":' + "[" * 70 + "]" * 70 + "}",
    '{"type":"auth","token":"x"}',
    json.dumps({"a": "x" * 70_000}),
]


@pytest.mark.parametrize("door", DOORS)
async def test_every_text_that_is_no_command_gets_an_error_with_a_reason(
    people: People, door: int | None
) -> None:
    token = await people.token("alice")
    for path, texts in (("/ws", TEXTS), (f"/ws/rooms/{secrets.token_hex(6)}", ROOM_TEXTS)):
        for text in texts:
            url = people.ws(door, f"{path}?token={token}")
            async with connect(url, proxy=None, compression=None) as socket:
                refusal = await told(socket, text)
                assert refusal["code"] not in ("internal", "unavailable"), (text, refusal)
                assert len(refusal["message"]) > 10, (text, refusal)
                await socket.send('{"type":"ping"}')
                assert (await event(socket, "pong"))["type"] == "pong"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"type":"publish","channel":"room:x","data":NaN}', "NaN and Infinity"),
        ('{"type":"publish","channel":"room:x","data":"\\ud83d"}', "surrogate"),
        ('\ufeff{"type":"ping"}', "byte order mark"),
    ],
)
async def test_the_reason_says_what_it_is_in_each_way_to_publish(
    people: People, text: str, words: str
) -> None:
    token = await people.token("alice")
    async with connect(people.ws(path=f"/ws?token={token}"), proxy=None) as socket:
        assert words in (await told(socket, text))["message"]
    if "publish" in text:
        async with connect(people.ws(path=f"/ws/rooms/x?token={token}"), proxy=None) as socket:
            assert words in (await told(socket, text.replace("type", "kind")))["message"]
    data = text.partition('"data":')[2] or "1}"
    mark = "" if "publish" in text else "\ufeff"
    bodies = {
        "/v1/channels/room:x/messages": '{"data":' + data,
        "/v1/messages": '{"messages":[{"channel":"room:x","data":' + data + "]}",
        "/v1/broadcast": '{"channels":["room:x"],"data":' + data,
        "/notify/x": '{"message":' + data,
        "/auth/connect-tokens": '{"sub":"x","info":' + data,
    }
    for path, body in bodies.items():
        answer = await people.call(
            "POST",
            path,
            content=(mark + body).encode(),
            headers={"content-type": "application/json"},
        )
        if path == "/v1/messages" and answer.status_code == 200:
            assert words in answer.json()["results"][0]["message"]
            continue
        assert answer.status_code in (400, 422), answer.text
        assert words in answer.json()["detail"], (path, answer.text)


async def told(socket: ClientConnection, text: str) -> Any:
    await socket.send(text)
    return await event(socket, "error")


async def event(socket: ClientConnection, kind: str) -> Any:
    async with asyncio.timeout(20):
        while True:
            found = json.loads(await socket.recv())
            if found["type"] == kind:
                return found


FRAMES = [
    b"\x83\x80abcd",
    b"\xc1\x80abcd",
    b"\x81\x05hello",
    b"\x89\xfe\x00\x7eabcd" + b"x" * 126,
    b"\x09\x80abcd",
    b"\x80\x80abcd",
    b"\x88\x81abcdx",
    b"\x88\x82abcd" + bytes(a ^ b for a, b in zip(b"\x03\xed", b"abcd", strict=False)),
    b"\x81\xff" + b"\xff" * 8 + b"abcd",
    b"\x81\xff" + (2**40).to_bytes(8, "big") + b"abcd",
    b"\x81\x81abcd" + bytes([0xFF ^ ord("a")]),
]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("path", ["/ws", "/ws/rooms/x", "/ws/notify/x", "/ws/echo"])
async def test_every_broken_frame_ends_with_a_code_and_a_reason(
    people: People, path: str, door: int | None
) -> None:
    query = f"?token={await people.token('alice')}"

    async def send(frame: bytes) -> None:
        async with connect(people.ws(door, path + query), proxy=None, compression=None) as socket:
            socket.transport.write(frame)
            with contextlib.suppress(ConnectionClosed):
                async with asyncio.timeout(20):
                    while True:
                        await socket.recv()
        received = socket.protocol.close_rcvd
        assert received is not None, frame
        assert received.code in (1002, 1007, 1009), (frame, received)
        assert len(received.reason) > 10, (frame, received)

    await asyncio.gather(*map(send, FRAMES))


# ---------------------------------------------------------------------------------------------------------------- HTTP

TARGETS = [
    "/v1/channels/room:x/messages",
    "/v1/channels/nowhere:x/messages",
    "/v1/channels/%20/messages",
    "/v1/channels/%F0%9F%92%A9:x/messages",
    "/v1/channels/room:x/presence",
    "/v1/channels",
    "/v1/messages",
    "/v1/broadcast",
    "/v1/users/bob/messages",
    "/v1/users/%20/messages",
    "/v1/users/bob/disconnect",
    "/v1/users/bob/revoke%20",
    "/v1/connections/none/messages",
    "/v1/connections/none/disconnect",
    "/v1/nodes",
    "/v1/nothing",
    "/notify/x",
    "/notify/%20",
    "/notify/",
    "/auth/token",
    "/auth/revoke",
    "/auth/introspect",
    "/auth/register",
    "/auth/tickets",
    "/auth/connect-tokens",
    "/auth/jwks.json",
    "/auth/nothing",
    "/sse",
    "/sse?channel=",
    "/sse?channel=nowhere:x",
    "/sse?channel=room:x&cursor=nonsense",
    "/sse?channel=public:all&cursor=%00",
    "/sse?channel=public:all&token=",
    "/sse?channel=public:all&ticket=x",
    "/sse?channel=" + "x" * 3000,
    "/sse/",
    "/sse/x",
    "/sse/%00",
    "/sse/0123456789abcdef",
    "/sse/0123456789abcdef/x",
    "/ws/x",
]
BODIES = [
    (b"", "application/json"),
    (b"{", "application/json"),
    (b"null", "application/json"),
    (b"[1]", "application/json"),
    (b'"text"', "application/json"),
    (b'{"data":NaN}', "application/json"),
    (b"\xef\xbb\xbf{}", "application/json"),
    (b'{"data":"\xff"}', "application/json"),
    (b"[" * 100_000, "application/json"),
    (b'{"data":' + b"[" * 5_000 + b"]" * 5_000 + b"}", "application/json"),
    (b'{"data":' + b"9" * 5_000 + b"}", "application/json"),
    (b'{"messages":5,"channels":{},"channel":[],"code":"x","sub":{},"ttl":-1}', "application/json"),
    (b"a=1&a=2&%FF=%FF", "application/x-www-form-urlencoded"),
    (b"grant_type=password", "application/x-www-form-urlencoded"),
    (b"grant_type=%00&client_id=%00&client_secret=%00", "application/x-www-form-urlencoded"),
    (b"--x\r\nnonsense", "multipart/form-data; boundary=x"),
    (b"nonsense", "multipart/form-data"),
    (b"\x1f\x8b\x08", "application/gzip"),
    (b"x", "nonsense"),
    (b"x", "application/json; charset=\xff"),
]


@pytest.mark.parametrize("way", ["nginx", "direct"])
@pytest.mark.parametrize("target", TARGETS)
async def test_every_call_with_every_body_is_answered_in_words(
    people: People, target: str, way: str
) -> None:
    base = service(people, target) if way == "direct" else people.front_door
    bearers = [f"Bearer {await people.backend()}", "Bearer x", "Basic \xff", None]

    async def ask(method: str, body: tuple[bytes, str], bearer: str | None) -> None:
        headers = [(b"content-type", body[1].encode("latin-1"))]
        if bearer is not None:
            headers.append((b"authorization", bearer.encode("latin-1")))
        async with people.http.stream(
            method, base + target, content=body[0], headers=headers
        ) as answer:
            if answer.is_success:
                return
            await answer.aread()
        assert answer.status_code in REFUSED | {429}, (method, target, body, answer.text[:300])
        if method != "HEAD":
            explained(answer)

    bodies = BODIES if target.startswith(("/v1", "/notify", "/auth", "/sse")) else BODIES[:2]
    calls = [("POST", body, bearers[0]) for body in bodies]
    calls += [("POST", BODIES[1], bearer) for bearer in bearers[1:]]
    methods = ("GET", "DELETE", "PUT", "HEAD", "OPTIONS", "NONSENSE")
    calls += [(method, BODIES[0], bearer) for method, bearer in itertools.product(methods, bearers)]
    for call in calls:
        await ask(*call)


def service(people: People, target: str) -> str:
    """The base URL of the service behind a path."""
    name = target.split("/")[1].partition("?")[0]
    if name == "auth":
        return str(people.run["auth"])
    return str(people.run["gateways"][0] if name in ("sse", "ws") else people.run["publisher"])


def explained(answer: httpx2.Response) -> None:
    """A document that says what was wrong."""
    kind = answer.headers["content-type"].partition(";")[0]
    body = answer.json()
    if kind == "application/problem+json":
        assert body["status"] == answer.status_code
        assert len(body["detail"]) > 10, body
    else:
        assert kind == "application/json", answer.text
        assert body["error"]
        assert len(body["error_description"]) > 10, body


@pytest.mark.parametrize("way", ["nginx", "direct"])
async def test_a_packed_body_is_415_wherever_a_body_is_read(people: People, way: str) -> None:
    for target in TARGETS:
        if not target.startswith(
            ("/v1/channels/room:x/messages", "/v1/messages", "/auth", "/notify/x")
        ):
            continue
        if target in ("/auth/jwks.json", "/auth/nothing", "/auth/tickets"):
            continue
        base = service(people, target) if way == "direct" else people.front_door
        headers = {"content-encoding": "gzip", "content-type": "application/json"}
        answer = await people.call("POST", base + target, content=b"\x1f\x8b\x08", headers=headers)
        assert answer.status_code == 415, (target, answer.text)
        assert "Content-Encoding" in answer.text


@pytest.fixture(autouse=True)
async def still_well(people: People) -> AsyncIterator[None]:
    """Whoever behaves notices nothing."""
    yield
    channel = f"room:{secrets.token_hex(6)}"
    async with await people.connect("bob") as bob:
        await bob.subscribe(channel)
        await bob.ok("publish", channel=channel, data="fine")
        assert (await bob.message(channel))["data"] == "fine"


async def test_a_kept_connection_outlives_a_refusal_whose_body_comes_behind_its_head(
    people: People,
) -> None:
    """nginx, which passes a body on as it comes, ends the connection where the refusal overtakes it."""
    _, _, port = people.front_door.rpartition(":")
    reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
    head = b"POST /v1/broadcast HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\nContent-Length: 4\r\n\r\n"
    for _ in range(3):
        writer.write(head)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):  # longer than the publisher takes to refuse
                await reader.read(1)
        writer.write(b"null")
        async with asyncio.timeout(20):
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 401 "), answer
            length = re.search(rb"(?i)content-length: (\d+)", answer)
            assert length is not None
            await reader.readexactly(int(length[1]))
    writer.close()
    await writer.wait_closed()
