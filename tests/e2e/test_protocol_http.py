"""The native protocol over HTTP: a stream of events, and commands in requests that any gateway takes."""

from __future__ import annotations

import asyncio
import gzip
import json
import secrets
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from tests.support.people import People
from tests.support.streamed import StreamedClient


def room() -> str:
    return f"room:{secrets.token_hex(6)}"


def base(people: People, gateway: int | None) -> str:
    url: str = people.front_door if gateway is None else people.run["gateways"][gateway]
    return url


async def begun(
    people: People,
    *commands: Any,
    user: str | None = "alice",
    stream: int | None = None,
    to: int | None = None,
    **options: Any,
) -> AbstractAsyncContextManager[StreamedClient]:
    """A stream on a gateway (None: wherever the front door has it), and commands to another one."""
    auth = {"type": "auth", "id": "auth"}
    if user is not None:
        auth["token"] = await people.token(user)
    return StreamedClient.begin(
        people.http,
        base(people, stream),
        [auth, *commands],
        commands_to=base(people, to),
        **options,
    )


async def test_a_stream_begins_with_its_first_commands_in_their_order(people: People) -> None:
    channel = room()
    subscribe = {"type": "subscribe", "id": 2, "channel": channel}
    async with await begun(people, subscribe, {"type": "ping", "id": 3}) as client:
        await client.expect("pong")
        connected, auth, ack, pong = client.seen
        assert client.response.headers["content-type"].startswith("text/event-stream")
        assert client.response.headers["cache-control"].startswith("no-store")
        assert (connected["type"], connected["user"]) == ("connected", "alice")
        assert len(connected["secret"]) >= 32
        assert (auth["id"], ack["id"], ack["channel"], pong["id"]) == ("auth", 2, channel, 3)
        await people.publish(channel, {"n": 1})
        assert (await client.message(channel))["data"] == {"n": 1}


@pytest.mark.parametrize(("stream", "to"), [(None, None), (0, 0), (0, 1), (1, 0)])
async def test_commands_reach_the_stream_through_any_gateway(
    people: People, stream: int | None, to: int | None
) -> None:
    channel = room()
    # A user of its own: a gateway hands out 200 commands of a user at once, and the tests before have sent as many.
    auth = {"type": "auth", "token": await people.minted(f"u-{secrets.token_hex(4)}")}
    way = {"commands_to": base(people, to)}
    async with (
        StreamedClient.begin(people.http, base(people, stream), [auth], **way) as client,
        await people.connect("bob") as bob,
    ):
        await client.expect("connected")
        await client.subscribe(channel)
        await bob.subscribe(channel)
        answers = [await client.ok("publish", channel=channel, data=n, key=f"k{n}") for n in (1, 2)]
        assert [answer["offset"] for answer in answers] == [1, 2]
        assert [m["data"] for m in await bob.messages(channel, 2)] == [1, 2]
        assert (await client.refused("publish", channel="notify:x", data=1))["code"] == "forbidden"
        batch = [
            {"type": "publish", "id": f"b{n}", "channel": channel, "data": n} for n in range(3, 100)
        ]
        assert (await client.post(*batch)).status_code == 202
        for command in batch:
            answer = await client.expect(where=lambda e, sent=command: e.get("id") == sent["id"])
            assert answer["type"] == "ack", answer
        assert [m["data"] for m in await bob.messages(channel, 97)] == list(range(3, 100))
        presence = await client.ok("presence", channel=channel)
        assert presence["count"] == 2


async def test_a_stream_recovers_what_another_missed(people: People) -> None:
    channel = room()
    async with await begun(people, {"type": "subscribe", "id": 1, "channel": channel}) as client:
        ack = await client.expect(where=lambda e: e.get("id") == 1)
        former = client.connected["connection"]
    for n in range(3):
        await people.publish(channel, n)
    since = {"epoch": ack["epoch"], "offset": ack["offset"]}
    again = {"type": "subscribe", "id": 1, "channel": channel, "since": since}
    async with await begun(people, again) as client:
        ack = await client.expect(where=lambda e: e.get("id") == 1)
        assert ack["recovered"] is True
        assert [m["data"] for m in await client.messages(channel, 3)] == [0, 1, 2]
        assert client.connected["connection"] != former


async def test_a_token_may_come_with_the_request_as_on_a_websocket(people: People) -> None:
    token = await people.token("alice")
    ways: list[dict[str, Any]] = [
        {"headers": {"authorization": f"Bearer {token}"}},
        {"path": f"/sse?token={token}"},
        {"headers": {"cookie": f"openline_token={token}", "origin": people.front_door}},
    ]
    for way in ways:
        async with StreamedClient.begin(people.http, people.front_door, [], **way) as client:
            assert (await client.expect("connected"))["user"] == "alice"
    async with StreamedClient.begin(
        people.http, people.front_door, [], path="/sse?anonymous=1"
    ) as client:
        assert (await client.expect("connected"))["user"] is None


@pytest.mark.parametrize(
    ("first", "code"),
    [
        ({"type": "auth", "token": "nonsense"}, 4001),
        ({"type": "ping"}, 4001),
        ("auth", 4001),
    ],
)
async def test_what_is_wrong_with_the_first_command_is_told_by_closing(
    people: People, first: Any, code: int
) -> None:
    async with StreamedClient.begin(people.http, people.front_door, [first]) as client:
        closed, reason = await client.wait_closed()
        assert (closed, len(reason) > 10) == (code, True)
        assert [event["type"] for event in client.seen] == ["closing"]


async def test_the_back_end_closes_a_stream_with_a_code(people: People) -> None:
    user = f"u-{secrets.token_hex(4)}"
    auth = {"type": "auth", "token": await people.minted(user)}
    async with StreamedClient.begin(people.http, people.front_door, [auth]) as client:
        await client.expect("connected")
        answer = await people.call("POST", f"/v1/users/{user}/disconnect")
        assert answer.status_code < 300
        assert (await client.wait_closed())[0] == 4004


# ------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("to", [0, 1])
async def test_only_the_secret_lets_commands_in(people: People, to: int) -> None:
    async with await begun(people, stream=0, to=to) as client:
        await client.expect("connected")
        ping = {"type": "ping", "id": "forged"}
        for secret in ("", "x", client.connected["secret"][:-1], "ü" * 32):
            answer = await client.post(ping, secret=secret)
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
        assert (await client.call("ping"))["type"] == "pong"
        assert not [e for e in client.seen if e.get("id") == "forged"]


async def test_a_connection_that_is_gone_is_not_found(people: People) -> None:
    # At once: that no gateway knows a connection is found out by waiting for five seconds.
    await asyncio.gather(*(is_not_found(people, to) for to in (None, 0, 1)))


async def is_not_found(people: People, to: int | None) -> None:
    async with await begun(people, stream=0, to=to) as client:
        await client.expect("connected")

        async def unknown(connection: str) -> None:
            answer = await client.post({"type": "ping"}, connection=connection)
            assert answer.status_code in (400, 404), answer.text
            assert answer.headers["content-type"] == "application/problem+json"

        await asyncio.gather(
            *(unknown(connection) for connection in ("0" * 16, "x", "0" * 17, "%00"))
        )
        await client.close()
        for _ in range(20):
            answer = await client.post({"type": "ping"})
            if answer.status_code == 404:
                break
        assert (answer.status_code, "another stream" in answer.json()["detail"]) == (404, True)


async def test_a_websocket_takes_no_commands_from_requests(people: People) -> None:
    async with (
        await people.connect("bob", gateway=0) as bob,
        await begun(people, stream=0) as client,
    ):
        await client.expect("connected")
        for gateway in (0,):
            answer = await client.post(
                {"type": "ping"},
                connection=bob.seen[0]["connection"],
                base=base(people, gateway),
            )
            assert answer.status_code == 404


BODIES: list[tuple[bytes, int]] = [
    (b"", 400),
    (b"{", 400),
    (b"[]", 400),
    (b"null", 400),
    (b"{}", 400),
    (b'{"commands":{}}', 400),
    (b'{"commands":null}', 400),
    (b'{"commands":[NaN]}', 400),
    (b'{"commands":["\xff"]}', 400),
    (b'{"commands":["\\ud800"]}', 400),
    (b"\xef\xbb\xbf{}", 400),
    (b'{"commands":' + b"[" * 30000 + b"]" * 30000 + b"}", 400),
    (json.dumps({"commands": [{"type": "ping"}] * 101, "secret": "x"}).encode(), 400),
    (b'{"commands":["' + b"x" * 65536 + b'"]}', 413),
    (b" " * 2_000_000, 413),
]


@pytest.mark.parametrize("gateway", [None, 0])
@pytest.mark.parametrize("path", ["/sse", "/sse/0123456789abcdef"])
async def test_a_body_of_any_wrong_kind_is_refused_with_a_reason(
    people: People, path: str, gateway: int | None
) -> None:
    url, kind = base(people, gateway) + path, {"content-type": "application/json"}
    # Too large by its announced length: without nginx the answer may go down with the connection.
    wrong = BODIES if gateway is None else BODIES[:-1]
    for body, status in wrong:
        answer = await people.http.post(url, content=body, headers=kind)
        assert answer.status_code == status, (body[:60], answer.text)
        assert len(answer.json()["detail"]) > 10
    for headers in (
        {},
        {"content-type": "text/plain"},
        {"content-type": "application/msgpack"},
        {"content-type": "multipart/form-data"},
    ):
        answer = await people.http.post(url, content=b"{}", headers=headers)
        assert (answer.status_code, "application/json" in answer.text) == (415, True)
    packed = gzip.compress(b'{"commands":[]}')
    answer = await people.http.post(
        url, content=packed, headers=kind | {"content-encoding": "gzip"}
    )
    assert (answer.status_code, "Content-Encoding" in answer.text) == (415, True)


async def test_who_brings_neither_token_nor_command_is_refused(people: People) -> None:
    for gateway in (None, 0):
        answer = await people.http.post(base(people, gateway) + "/sse", json={"commands": []})
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    for headers in (
        {"authorization": "Bearer nonsense"},
        {"cookie": "openline_token=nonsense", "origin": people.front_door},
    ):
        answer = await people.http.post("/sse", json={"commands": []}, headers=headers)
        assert answer.status_code == 401
    cookie = {"cookie": f"openline_token={await people.token('alice')}"}
    for origin in ({}, {"origin": "https://evil.example"}):
        answer = await people.http.post("/sse", json={"commands": []}, headers=cookie | origin)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


async def test_other_methods_are_named_wrong(people: People) -> None:
    for gateway in (None, 0):
        url = base(people, gateway) + "/sse/0123456789abcdef"
        for method in ("GET", "PUT", "DELETE", "HEAD"):
            answer = await people.http.request(method, url)
            assert answer.status_code == 405, (gateway, method, answer.text)


async def test_bad_commands_are_answered_on_the_stream_and_it_lives(people: People) -> None:
    async with await begun(people, stream=0, to=1) as client:
        await client.expect("connected")
        wrong = [5, None, [], "x", {}, {"type": "dance", "id": 1}, {"type": "subscribe", "id": 2}]
        assert (await client.post(*wrong)).status_code == 202
        for _ in wrong:
            assert (await client.expect("error"))["code"] == "bad_request"
        assert (await client.call("ping"))["type"] == "pong"


async def test_a_page_of_a_foreign_origin_may_read_nothing(people: People) -> None:
    asked = {
        "origin": "https://evil.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type",
    }
    for path in ("/sse", "/sse/0123456789abcdef"):
        for gateway in (None, 0):
            answer = await people.http.options(base(people, gateway) + path, headers=asked)
            assert "access-control-allow-origin" not in answer.headers


async def test_a_quick_client_is_refused_beyond_its_rate_and_not_beyond_it(people: People) -> None:
    """The same burst as on a WebSocket; the refusals say how long to wait."""
    # A user of its own: what a user may send at once is counted over all connections, those of other tests too.
    auth = {"type": "auth", "token": await people.minted(f"quick-{secrets.token_hex(4)}")}
    way = {"commands_to": base(people, 0)}
    async with StreamedClient.begin(people.http, base(people, 0), [auth], **way) as client:
        await client.expect("connected")
        # At once: what the machine takes between one request and the next would be given back.
        pings = [[{"type": "ping", "id": f"{n}.{m}"} for m in range(100)] for n in range(10)]
        answers = await asyncio.gather(*(client.post(*hundred) for hundred in pings))
        assert {answer.status_code for answer in answers} == {202}
        for _ in range(1000):
            await client.expect(where=lambda e: e["type"] in ("pong", "error"))
        refused = client.taken_or_not("error")
        assert refused
        assert {(e["code"], e["temporary"]) for e in refused} == {("rate_limited", True)}
        assert len(client.taken_or_not("pong")) >= 199
