"""Plain routes: a room and a topic named by the URL, for a page or device with no client library."""

from __future__ import annotations

import contextlib
import json
import secrets
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from tests.support.people import People
from tests.support.wire import WireClient


def name() -> str:
    return secrets.token_hex(6)


async def enter(
    people: People, user: str, path: str, *, query: str = "", gateway: int | None = None
) -> WireClient:
    """A user's connection to a plain route."""
    token = await people.token(user)
    return await WireClient.open(people.ws(gateway, f"/ws/{path}?token={token}{query}"), auth=False)


# ------------------------------------------------------------------------------------------------------------- rooms


async def test_a_room_begins_with_connected_and_speaks_without_channel(people: People) -> None:
    room = name()
    async with await enter(people, "alice", f"rooms/{room}", gateway=0) as alice:
        connected = await alice.expect("connected")
        assert set(connected) - {"connection"} == {"type", "user", "epoch", "offset", "count"}
        assert (connected["user"], connected["offset"], connected["count"]) == ("alice", 0, 1)
        async with await enter(people, "bob", f"rooms/{room}", gateway=1) as bob:
            assert (await bob.expect("connected"))["count"] == 2
            join = await alice.expect("join")
            assert set(join) == {"type", "user", "connection", "count", "users", "first"}
            await bob.send({"type": "typing"})
            assert await alice.expect("typing") == {"type": "typing", "user": "bob"}
            await bob.send({"text": "hi", "n": 1})
            for client in (alice, bob):
                message = await client.expect("message")
                assert set(message) == {"type", "data", "offset", "from", "ts"}
                assert (message["data"], message["from"]) == ({"text": "hi", "n": 1}, "bob")
        assert (await people.soon(alice.expect("leave"), 2))["count"] == 1


async def test_a_room_is_the_channel_of_the_native_protocol(people: People) -> None:
    room = name()
    async with (
        await enter(people, "alice", f"rooms/{room}") as plain,
        await people.connect("bob") as native,
    ):
        await plain.expect("connected")
        await native.subscribe(f"room:{room}")
        await native.ok("publish", channel=f"room:{room}", data={"text": "native"})
        assert (await plain.expect("message"))["data"] == {"text": "native"}
        await plain.send({"text": "plain"})
        await native.message(f"room:{room}")
        message = await native.message(f"room:{room}")
        assert (message["data"], message["from"]) == ({"text": "plain"}, "alice")
        await people.publish(f"room:{room}", [1])
        assert (await plain.expect("message", where=lambda e: e["data"] == [1]))["offset"] == 3


@pytest.mark.parametrize(
    ("frame", "data"),
    [
        ("hello", {"text": "hello"}),
        ("", {"text": ""}),
        ("[1]", {"text": "[1]"}),
        ("5", {"text": "5"}),
        ("null", {"text": "null"}),
        ('"quoted"', {"text": '"quoted"'}),
        ("{}", {}),
        ('{"type":"shout","text":"hi"}', {"type": "shout", "text": "hi"}),
        ('{"type":5}', {"type": 5}),
        ('{"type":"subscribe","channel":"room:x"}', {"type": "subscribe", "channel": "room:x"}),
        ('\n { "a" :\n 1 } ', {"a": 1}),
        ("ü\n\u2028", {"text": "ü\n\u2028"}),
    ],
)
async def test_what_is_sent_in_a_room_is_published(people: People, frame: str, data: Any) -> None:
    async with await enter(people, "alice", f"rooms/{name()}") as alice:
        await alice.expect("connected")
        await alice.socket.send(frame)
        assert (await alice.expect("message"))["data"] == data


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ('{"broken', "invalid_data"),
        ("[" * 300, "invalid_data"),
        ("[" * 60_000, "invalid_data"),
        ('{"type":"auth","token":"x"}', "bad_request"),
        ('\ufeff{"type":"auth","token":"x"}', "bad_request"),
        ('{"type":"auth","token":"x"', "invalid_data"),
    ],
    ids=lambda value: value[:20],
)
async def test_what_a_room_cannot_take_is_an_error(people: People, frame: str, code: str) -> None:
    room = name()
    async with await enter(people, "alice", f"rooms/{room}") as alice:
        await alice.socket.send(frame)
        assert (await alice.expect("error"))["code"] == code
        await alice.socket.send("end")
        assert (await alice.expect("message"))["offset"] == 1


async def test_ping_and_pong_and_typing_are_not_published(people: People) -> None:
    async with await enter(people, "alice", f"rooms/{name()}") as alice:
        for kind in ("pong", "typing", "ping"):
            await alice.send({"type": kind})
        await alice.expect("pong")
        for bare in ("pong", "ping"):
            await alice.socket.send(bare)
        await alice.expect("pong")
        await alice.socket.send("end")
        assert (await alice.expect("message"))["offset"] == 1


async def test_what_is_said_as_soon_as_the_socket_is_open_is_published(people: People) -> None:
    room = name()
    async with await enter(people, "alice", f"rooms/{room}") as alice:
        for n in range(20):
            await alice.send({"n": n})
        messages = [await alice.expect("message") for _ in range(20)]
        assert alice.seen[0]["type"] == "connected"
        assert [m["data"]["n"] for m in messages] == list(range(20))
        assert not alice.taken_or_not("error")
    url = people.ws(path=f"/ws/rooms/{room}")
    async with await WireClient.open(url, auth=False) as bob:
        await bob.send({"type": "auth", "token": await people.token("bob")})
        await bob.socket.send("hello")
        assert (await bob.expect("message"))["data"] == {"text": "hello"}


async def test_a_room_is_recovered_from_since_or_begins_with_the_last(people: People) -> None:
    room = name()
    sent = [await people.publish(f"room:{room}", n) for n in range(1, 4)]
    at = f"{sent[0]['epoch']}:1"
    async with await enter(people, "alice", f"rooms/{room}", query=f"&since={at}") as alice:
        connected = await alice.expect("connected")
        assert (connected["recovered"], connected["offset"]) == (True, 1)
        assert [(await alice.expect("message"))["data"] for _ in range(2)] == [2, 3]
    async with await enter(people, "alice", f"rooms/{room}", query="&last=1") as alice:
        assert (await alice.expect("connected"))["offset"] == 2
        assert (await alice.expect("message"))["data"] == 3
    async with await enter(people, "alice", f"rooms/{room}", query="&since=gone:1") as alice:
        connected = await alice.expect("connected")
        assert (connected["recovered"], connected["offset"]) == (False, 3)
        assert "began" in connected


async def test_dropping_the_history_resets_a_room(people: People) -> None:
    room = name()
    async with await enter(people, "alice", f"rooms/{room}") as alice:
        await alice.expect("connected")
        await people.call("DELETE", f"/v1/channels/room:{room}/messages")
        reset = await alice.expect("reset")
    assert set(reset) == {"type", "epoch", "offset", "began", "reason", "within"}


async def test_what_a_room_refuses(people: People) -> None:
    room = name()
    async with await enter(people, "alice", f"rooms/{room}") as alice:
        await alice.expect("connected")
        for frame, code in (
            ('{"a":1e999}', "invalid_data"),
            ('{"a":18446744073709551616}', "invalid_data"),
            ('{"a":' * 65 + "1" + "}" * 65, "invalid_data"),
            ('{"a":' * 5000 + "1" + "}" * 5000, "invalid_data"),
            (json.dumps({"a": "x" * 65_536}), "too_large"),
            ("x" * 65_536, "too_large"),
        ):
            await alice.socket.send(frame)
            refusal = await alice.expect("error")
            assert refusal["code"] == code
            assert set(refusal) == {"type", "code", "message", "temporary"}
        await alice.socket.send("still here")
        assert (await alice.expect("message"))["offset"] == 1
        await alice.socket.send(b"bytes")
        assert (await alice.wait_closed())[0] == 1003


async def test_a_room_that_may_not_be_had_ends_with_4003(people: People) -> None:
    room = name()
    other = await people.minted("u-other", channels={"room:other": ["subscribe"]})
    for query in ("?anonymous=1", f"?token={other}"):
        client = await WireClient.open(people.ws(path=f"/ws/rooms/{room}{query}"), auth=False)
        code, reason = await client.wait_closed()
        assert (code, bool(reason), client.seen) == (4003, True, [])


@pytest.mark.parametrize(
    "path",
    [
        "rooms/a%20b",
        "rooms/%C3%BC",
        "rooms/" + "x" * 201,
        "notify/a%20b",
        "rooms/x?since=5",
        "rooms/x?since=a:-1",
        "rooms/x?last=-1",
        "rooms/x?last=1001",
        "rooms/x?last=x",
        "rooms/x?since=a:1&last=1",
        "rooms/a%20b?token=nonsense",
    ],
)
@pytest.mark.parametrize("gateway", [None, 0])
async def test_a_url_that_cannot_be_ends_with_4000_and_the_reason(
    people: People, gateway: int | None, path: str
) -> None:
    client = await WireClient.open(people.ws(gateway, f"/ws/{path}"), auth=False)
    code, reason = await client.wait_closed()
    assert (code, client.seen) == (4000, [])
    right = ("since" if "?since" in path else "last is") if "?" in path[:8] else "characters"
    assert right in reason


@pytest.mark.parametrize("gateway", [None, 0])
@pytest.mark.parametrize(
    "path",
    ["/ws/", "/ws/rooms", "/ws/rooms/", "/ws/rooms/a%2Fb", "/ws/x", "/wsx", "/sse", "/", "/v1/x"],
)
async def test_another_path_ends_with_4000_and_names_those_that_are(
    people: People, gateway: int | None, path: str
) -> None:
    client = await WireClient.open(people.ws(gateway, path), auth=False)
    code, reason = await client.wait_closed()
    assert code == 4000
    assert "/ws, /ws/rooms/{room}, /ws/notify/{topic}" in reason


async def test_what_a_refused_client_says_first_does_not_cost_it_the_reason(people: People) -> None:
    client = await WireClient.open(people.ws(0, "/ws/rooms/a%20b"), auth=False)
    with contextlib.suppress(ConnectionClosed):
        await client.socket.send("x" * 100_000)
    assert (await client.wait_closed())[0] == 4000


async def test_plain_routes_name_the_subprotocol_of_json(people: People) -> None:
    for path in ("rooms", "notify"):
        url = people.ws(path=f"/ws/{path}/{name()}?token={await people.token('alice')}")
        for offered in (["openline.json.v1"], ["openline.msgpack.v1", "openline.json.v1"]):
            async with await WireClient.open(url, auth=False, subprotocols=offered) as client:
                assert client.socket.subprotocol == "openline.json.v1"


async def test_a_listener_of_a_room_may_not_publish(people: People) -> None:
    room = name()
    token = await people.minted("u-listener", channels={"room:*": ["subscribe"]})
    url = people.ws(path=f"/ws/rooms/{room}?token={token}")
    async with await WireClient.open(url, auth=False) as client:
        await client.expect("connected")
        await client.socket.send("hi")
        assert (await client.expect("error"))["code"] == "forbidden"
        await people.publish(f"room:{room}", "heard")
        assert (await client.expect("message"))["data"] == "heard"


async def test_a_room_from_which_the_back_end_unsubscribes_its_user_ends(people: People) -> None:
    room, user = name(), f"u-{name()}"
    url = people.ws(path=f"/ws/rooms/{room}?token={await people.minted(user)}")
    client = await WireClient.open(url, auth=False)
    await client.expect("connected")
    body = {"channel": f"room:{name()}"}
    await people.call("POST", f"/v1/users/{user}/unsubscribe", json=body)
    await people.call("POST", f"/v1/users/{user}/subscribe", json=body)
    await client.socket.send("still here")
    await client.expect("message")
    body = {"channel": f"room:{room}"}
    await people.call("POST", f"/v1/users/{user}/unsubscribe", json=body)
    assert (await client.wait_closed())[0] == 4004


# ------------------------------------------------------------------------------------------------------------ topics


async def test_notifications_come_exactly_as_published_and_nothing_else(people: People) -> None:
    topic = name()
    async with (
        await enter(people, "alice", f"notify/{topic}", gateway=0) as alice,
        await enter(people, "bob", f"notify/{topic}", gateway=1) as bob,
    ):
        for client in (alice, bob):
            async for _ in until_subscribed(people, f"notify:{topic}", 2):
                assert not client.seen
        await people.call("POST", f"/notify/{topic}", json={"title": "Build", "level": "info"})
        await people.publish(f"notify:{topic}", {"type": "own", "a": [1]})
        await people.publish(f"notify:{topic}", [1, 2])
        await people.publish(f"notify:{topic}", "text")
        raw = {"content-type": "application/octet-stream"}
        path = f"/v1/channels/notify:{topic}/messages"
        await people.call("POST", path, content=b"\x00\xff", headers=raw)
        await people.call("DELETE", path)
        for client in (alice, bob):
            await client.expect("reset")
            first, *rest, reset = client.seen
            assert set(first) == {"type", "timestamp", "title", "level"}
            assert (first["type"], first["title"]) == ("notification", "Build")
            assert rest == [
                {"type": "own", "a": [1]},
                {"type": "notification", "data": [1, 2]},
                {"type": "notification", "data": "text"},
                {"type": "notification", "data": "AP8=", "encoding": "base64"},
            ]
            assert set(reset) == {"type", "epoch", "offset", "began", "reason", "within"}
        await alice.send({"type": "ping"})
        await alice.socket.send("anything")
        await people.publish(f"notify:{topic}", {"n": 1})
        assert await alice.expect(where=lambda e: "n" in e) == {"n": 1}
        assert len(alice.seen) == 7


async def test_a_topic_begins_with_the_last_or_is_recovered(people: People) -> None:
    topic = name()
    sent = [await people.publish(f"notify:{topic}", {"n": n}) for n in range(1, 4)]
    async with await enter(people, "alice", f"notify/{topic}", query="&last=2") as alice:
        assert [(await alice.expect())["n"] for _ in range(2)] == [2, 3]
    since = f"&since={sent[0]['epoch']}:2"
    async with await enter(people, "alice", f"notify/{topic}", query=since) as alice:
        assert (await alice.expect())["n"] == 3


async def until_subscribed(people: People, channel: str, count: int) -> Any:
    """Yields until the fleet counts so many subscribers."""
    while True:
        answer = await people.call("GET", f"/v1/channels?prefix={channel}")
        if [c["subscribers"] for c in answer.json()["channels"]] == [count]:
            return
        yield
