"""What each command answers: the fields of its ack, its refusals, ids, and the order of what is sent without waiting."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import Any

import pytest

from tests.support.people import People
from tests.support.wire import WireClient


def room() -> str:
    return f"room:{secrets.token_hex(6)}"


def fields(event: dict[str, Any]) -> set[str]:
    """The fields of an answer beside its type and id."""
    return set(event) - {"type", "id"}


# ------------------------------------------------------------------------------------------------------------- ids


@pytest.mark.parametrize("id", [0, -1, 2**63, "", "a", "ü" * 64, "x" * 64])
async def test_an_id_comes_back_as_it_was_sent(people: People, id: int | str) -> None:
    async with await people.connect("alice") as alice:
        await alice.send({"type": "ping", "id": id})
        await alice.send({"type": "subscribe", "id": id, "channel": "nowhere:x"})
        await alice.send({"type": "history", "id": id, "channel": "user:alice"})
        assert (await alice.expect("pong"))["id"] == id
        assert (await alice.expect("error"))["id"] == id
        assert (await alice.expect("ack", where=lambda e: "messages" in e))["id"] == id


@pytest.mark.parametrize("id", ["x" * 65, 1.5, True, [], {}, 2**64, 10**30])
async def test_an_id_that_cannot_be_is_a_bad_request(people: People, id: object) -> None:
    async with await people.connect("alice") as alice:
        await alice.send({"type": "ping", "id": id})
        refusal = await alice.expect("error")
        assert refusal["code"] == "bad_request"
        assert "id" not in refusal
        await alice.ok("subscribe", channel=room())


async def test_without_an_id_the_answer_has_none(people: People) -> None:
    async with await people.connect("alice") as alice:
        await alice.send({"type": "ping"})
        assert await alice.expect("pong") == {"type": "pong"}
        await alice.send({"type": "subscribe", "channel": room()})
        ack = await alice.expect("ack", where=lambda e: "channel" in e)
        assert "id" not in ack
        await alice.send({"type": "pong"})
        await alice.send({"type": "nothing"})
        assert "id" not in await alice.expect("error")


# ----------------------------------------------------------------------------------------- subscribe, unsubscribe


async def test_the_ack_of_subscribe_says_where_the_messages_begin(people: People) -> None:
    channel = room()
    async with await people.connect("alice") as alice:
        ack = await alice.subscribe(channel)
        assert fields(ack) == {"channel", "epoch", "offset", "count"}
        assert (ack["channel"], ack["offset"], ack["count"]) == (channel, 0, 1)
        assert ack["epoch"].isalnum()
        async with await people.connect("bob", gateway=1) as bob:
            assert (await bob.subscribe(channel))["count"] == 2
        without_presence = await alice.subscribe(f"notify:{channel[5:]}")
        assert fields(without_presence) == {"channel", "epoch", "offset"}


async def test_recovered_comes_with_since_alone_and_began_when_it_is_false(
    people: People,
) -> None:
    channel = room()
    first = await people.publish(channel, 1)
    async with await people.connect("alice") as alice:
        here = {"epoch": first["epoch"], "offset": 1}
        ack = await alice.subscribe(channel, since=here)
        assert fields(ack) == {"channel", "epoch", "offset", "recovered", "count"}
        assert (ack["recovered"], ack["offset"]) == (True, 1)
        await alice.ok("unsubscribe", channel=channel)
        ack = await alice.subscribe(channel, since={"epoch": "other", "offset": 0})
        assert fields(ack) == {"channel", "epoch", "offset", "recovered", "began", "count"}
        assert (ack["recovered"], ack["offset"]) == (False, 1)
        await alice.ok("unsubscribe", channel=channel)
        ahead = await alice.subscribe(channel, since={"epoch": first["epoch"], "offset": 99})
        assert (ahead["recovered"], ahead["offset"]) == (False, 1)
        await people.publish(channel, 2)
        assert (await alice.message(channel))["offset"] == 2


async def test_last_begins_before_the_newest_messages(people: People) -> None:
    channel = room()
    for n in range(3):
        await people.publish(channel, n)
    async with await people.connect("alice") as alice:
        for last, offset in ((0, 3), (1, 2), (3, 0), (1000, 0)):
            ack = await alice.subscribe(channel, last=last)
            assert ack["offset"] == offset
            got = await alice.messages(channel, 3 - offset)
            assert [m["offset"] for m in got] == list(range(offset + 1, 4))
            await alice.ok("unsubscribe", channel=channel)
        for wrong in ({"last": 1001}, {"last": -1}, {"last": "1"}, {"last": 1.5}):
            assert (await alice.refused("subscribe", channel=channel, **wrong))["code"] == (
                "bad_request"
            )


async def test_what_subscribe_refuses(people: People) -> None:
    channel = room()
    async with await people.connect("alice") as alice:
        await alice.subscribe(channel)
        for target, code in (
            (channel, "already_subscribed"),
            ("public:all", "already_subscribed"),
            ("user:alice", "already_subscribed"),
            ("user:bob", "forbidden"),
            ("nowhere:x", "unknown_namespace"),
            ("lobby", "bad_request"),
            ("room:", "bad_request"),
            (":x", "bad_request"),
            ("Room:x", "bad_request"),
            ("room:a/b", "bad_request"),
            ("room:ü", "bad_request"),
            ("room:a b", "bad_request"),
            ("room:x\n", "bad_request"),
            ("room:" + "x" * 201, "bad_request"),
            (5, "bad_request"),
            (None, "bad_request"),
        ):
            refusal = await alice.refused("subscribe", channel=target)
            assert refusal["code"] == code, target
            assert fields(refusal) == {"code", "message", "temporary"}
            assert refusal["message"]
            assert refusal["temporary"] is False
        for since in ("x", 5, [], {}, {"epoch": "a"}, {"epoch": "", "offset": 1}):
            refusal = await alice.refused("subscribe", channel=room(), since=since)
            assert refusal["code"] == "bad_request", since
        for offset in (-1, 2**63, "1", 1.5, None):
            since = {"epoch": "a", "offset": offset}
            refusal = await alice.refused("subscribe", channel=room(), since=since)
            assert refusal["code"] == "bad_request", since
        await alice.subscribe("room:" + "x" * 200)
        await alice.subscribe("room:" + secrets.token_hex(4) + "_.:@|=+-")


async def test_the_101st_channel_is_refused_and_a_place_can_be_given_back(
    people: People,
) -> None:
    async with await people.connect("bob") as bob:
        channels = [room() for _ in range(101)]
        for number, channel in enumerate(channels):
            await bob.send({"type": "subscribe", "id": number, "channel": channel})
        refusal = await bob.expect("error")
        assert (refusal["id"], refusal["code"]) == (100, "limit_exceeded")
        await bob.ok("unsubscribe", channel=channels[0])
        await bob.subscribe(channels[100])


async def test_after_unsubscribe_nothing_more_comes(people: People) -> None:
    channel, other = room(), room()
    async with await people.connect("alice", gateway=0) as alice:
        await alice.subscribe(channel)
        await alice.subscribe(other)
        for n in range(20):
            await alice.send({"type": "publish", "channel": channel, "data": n})
        await alice.send({"type": "unsubscribe", "id": "off", "channel": channel})
        ack = await alice.expect("ack", where=lambda e: e.get("id") == "off")
        assert ack == {"type": "ack", "id": "off", "channel": channel}
        await people.publish(channel, "unheard")
        await people.publish(other, "end")
        await alice.message(other)
        after = alice.seen[alice.seen.index(ack) :]
        assert not [e for e in after if e.get("channel") == channel and e["type"] == "message"]
        for target, code in (
            (channel, "not_subscribed"),
            ("nowhere:x", "unknown_namespace"),
            ("x", "bad_request"),
        ):
            assert (await alice.refused("unsubscribe", channel=target))["code"] == code
        again = await alice.subscribe(channel)
        assert again["offset"] == 21


async def test_a_channel_that_the_server_subscribed_can_be_left_and_joined_again(
    people: People,
) -> None:
    async with await people.connect("alice") as alice:
        start = alice.seen[0]["channels"]["user:alice"]
        await alice.ok("unsubscribe", channel="user:alice")
        await people.publish("user:alice", 1)
        ack = await alice.subscribe("user:alice", since=start)
        assert ack["recovered"] is True
        assert (await alice.message("user:alice"))["offset"] == start["offset"] + 1


async def test_commands_sent_without_waiting_take_effect_in_their_order(people: People) -> None:
    channel = room()
    steps: list[dict[str, Any]] = [
        {"type": "publish", "channel": channel, "data": "too early"},
        {"type": "subscribe", "channel": channel},
        {"type": "publish", "channel": channel, "data": 1},
        {"type": "publish", "channel": channel, "data": 2, "echo": False},
        {"type": "history", "channel": channel},
        {"type": "presence", "channel": channel},
        {"type": "unsubscribe", "channel": channel},
        {"type": "publish", "channel": channel, "data": "too late"},
        {"type": "subscribe", "channel": channel, "last": 1},
        {"type": "ping"},
    ]
    async with await people.connect("alice") as alice:
        for number, step in enumerate(steps):
            await alice.send({**step, "id": number})
        await alice.expect("pong")
        await alice.expect(where=lambda e: e.get("id") == 3)
        await alice.expect("message", where=lambda e: e["data"] == 2)
        answers = {e["id"]: e for e in alice.seen if "id" in e}
    # The ack of a publish without echo takes the place of its message, which may be behind later answers.
    assert [number for number in answers if number != 3] == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert (answers[0]["code"], answers[7]["code"]) == ("not_subscribed", "not_subscribed")
    assert (answers[1]["offset"], answers[2]["offset"], answers[3]["offset"]) == (0, 1, 2)
    assert [m["data"] for m in answers[4]["messages"]] == [1, 2]
    assert answers[5]["count"] == 1
    assert answers[8]["offset"] == 1
    # Message 1 comes unless the unsubscribe was faster than its way round.
    assert [m["data"] for m in alice.taken_or_not("message")][-1] == 2


# ----------------------------------------------------------------------------------------------------------- publish


async def test_the_ack_of_publish_and_the_message_it_becomes(people: People) -> None:
    channel = room()
    async with await people.connect("alice") as alice:
        joined = await alice.subscribe(channel)
        ack = await alice.ok("publish", channel=channel, data={"a": [1, None, "ü", 1.5]}, key="k")
        message = await alice.message(channel)
    assert fields(ack) == {"epoch", "offset", "duplicate"}
    assert (ack["epoch"], ack["offset"], ack["duplicate"]) == (joined["epoch"], 1, False)
    assert fields(message) == {"channel", "data", "offset", "from", "ts", "key"}
    assert message["data"] == {"a": [1, None, "ü", 1.5]}
    assert (message["from"], message["key"], message["offset"]) == ("alice", "k", 1)
    assert abs(message["ts"] / 1000 - time.time()) < 30


async def test_a_message_from_http_carries_its_tags_and_no_sender(people: People) -> None:
    channel = room()
    async with await people.connect("alice") as alice:
        await alice.subscribe(channel)
        await people.publish(channel, None, tags={"kind": "test"}, key="k")
        message = await alice.message(channel)
    assert fields(message) == {"channel", "data", "offset", "ts", "key", "tags"}
    assert (message["data"], message["tags"]) == (None, {"kind": "test"})


@pytest.mark.parametrize("data", [0, "", None, False, [], {}, "\u2028\x00", -(2**63), 2**64 - 1])
async def test_any_json_value_can_be_published(people: People, data: object) -> None:
    channel = room()
    async with await people.connect("alice") as alice:
        await alice.subscribe(channel)
        await alice.ok("publish", channel=channel, data=data)
        assert (await alice.message(channel))["data"] == data


async def test_what_publish_refuses(people: People) -> None:
    channel = room()
    async with await people.connect("alice") as alice:
        await alice.subscribe(channel)
        for target, code in (
            (room(), "not_subscribed"),
            ("notify:x", "forbidden"),
            ("public:all", "forbidden"),
            ("live:x", "forbidden"),
            ("user:alice", "forbidden"),
            ("user:bob", "forbidden"),
            ("nowhere:x", "unknown_namespace"),
            ("x", "bad_request"),
        ):
            assert (await alice.refused("publish", channel=target, data=1))["code"] == code, target
        for wrong in ({}, {"data": 1, "key": ""}, {"data": 1, "key": 5}, {"data": 1, "echo": 1}):
            refusal = await alice.refused("publish", channel=channel, **wrong)
            assert refusal["code"] == "bad_request", wrong
        big = await alice.refused("publish", channel=channel, data="x" * 65_535)
        assert big["code"] == "too_large"
        await alice.ok("publish", channel=channel, data="x" * 65_534)


@pytest.mark.parametrize(
    "data",
    [
        "[" * 65 + "]" * 65,
        "1e999",
        str(2**64),
        str(-(2**63) - 1),
        "1" + "0" * 400,
        '{"a":' * 65 + "1" + "}" * 65,
        "[" * 50_000 + "]" * 50_000,
    ],
)
async def test_data_that_not_everybody_could_read_is_invalid(people: People, data: str) -> None:
    channel = room()
    async with await people.connect("alice") as alice:
        await alice.subscribe(channel)
        await alice.socket.send(f'{{"type":"publish","id":1,"channel":"{channel}","data":{data}}}')
        refusal = await alice.expect("error")
        assert refusal["code"] == "invalid_data", refusal
        await alice.ok("publish", channel=channel, data="after")


async def test_depth_64_is_not_too_deep(people: People) -> None:
    channel = room()
    async with await people.connect("alice") as alice:
        await alice.subscribe(channel)
        deep = "[" * 64 + "]" * 64
        await alice.socket.send(f'{{"type":"publish","id":1,"channel":"{channel}","data":{deep}}}')
        assert (await alice.expect("ack", where=lambda e: e.get("id") == 1))["offset"] == 1


async def test_a_key_belongs_to_its_channel_and_user(people: People) -> None:
    channel, other = room(), room()
    async with (
        await people.connect("alice", gateway=0) as alice,
        await people.connect("alice", gateway=1) as again,
        await people.connect("bob") as bob,
    ):
        for client in (alice, again, bob):
            await client.subscribe(channel)
            await client.subscribe(other)
        results = [
            await client.ok("publish", channel=where, data=1, key="k", echo=echo)
            for client, where, echo in (
                (alice, channel, True),
                (alice, other, True),
                (bob, channel, True),
                (again, channel, True),
                (again, channel, False),
                (alice, channel, False),
            )
        ]
    assert [r["duplicate"] for r in results] == [False, False, False, True, True, True]
    assert [r["offset"] for r in results] == [1, 1, 2, 1, 1, 1]


# ----------------------------------------------------------------------------------------------------------- history


async def test_history_pages_forwards_and_backwards(people: People) -> None:
    channel = room()
    batch = [{"channel": channel, "data": n} for n in range(1, 121)]
    assert (await people.call("POST", "/v1/messages", json={"messages": batch})).is_success

    def data(ack: dict[str, Any]) -> list[int]:
        return [m["data"] for m in ack["messages"]]

    async with await people.connect("alice") as alice:
        joined = await alice.subscribe(channel)
        page = await alice.ok("history", channel=channel)
        assert fields(page) >= {"messages", "epoch", "offset", "more"}
        assert set(page["messages"][0]) == {"data", "offset", "ts"}
        assert (page["epoch"], page["offset"]) == (joined["epoch"], 120)
        assert data(page) == list(range(1, 101))
        assert page["more"] is True
        at = {"epoch": page["epoch"], "offset": page["messages"][-1]["offset"]}
        rest = await alice.ok("history", channel=channel, since=at)
        assert (data(rest), rest["more"]) == (list(range(101, 121)), False)
        newest = await alice.ok("history", channel=channel, limit=2, reverse=True)
        assert (data(newest), newest["more"]) == ([120, 119], True)
        every = await alice.ok("history", channel=channel, limit=500)
        assert (data(every), every["more"]) == (list(range(1, 121)), False)
        at = {"epoch": page["epoch"], "offset": newest["messages"][-1]["offset"]}
        older = await alice.ok("history", channel=channel, since=at, limit=2, reverse=True)
        assert (data(older), older["more"]) == ([118, 117], True)
        at = {"epoch": page["epoch"], "offset": 3}
        oldest = await alice.ok("history", channel=channel, since=at, reverse=True)
        assert (data(oldest), oldest["more"]) == ([2, 1], False)
        void = {"epoch": "another", "offset": 3}
        assert (await alice.refused("history", channel=channel, since=void))["code"] == "conflict"
        for limit in (0, 501, -1, "5", 1.5):
            refusal = await alice.refused("history", channel=channel, limit=limit)
            assert refusal["code"] == "bad_request"


async def test_the_history_of_a_channel_that_was_never_used_is_empty(people: People) -> None:
    async with await people.connect("alice") as alice:
        page = await alice.ok("history", channel=f"notify:{secrets.token_hex(6)}")
    assert (page["messages"], page["offset"], page["more"]) == ([], 0, False)


async def test_history_and_presence_of_a_room_are_for_its_members(people: People) -> None:
    async with await people.connect("alice") as alice:
        for call in ("history", "presence", "typing"):
            assert (await alice.refused(call, channel=room()))["code"] == "not_subscribed"
            assert (await alice.refused(call, channel="nowhere:x"))["code"] == "unknown_namespace"
            assert (await alice.refused(call, channel="x"))["code"] == "bad_request"
        assert (await alice.refused("presence", channel="public:all"))["code"] == "forbidden"
        assert (await alice.refused("history", channel="user:bob"))["code"] == "forbidden"


# ------------------------------------------------------------------------------------------------------- MessagePack


async def test_everything_works_in_messagepack(people: People) -> None:
    channel = room()
    async with (
        await people.connect("alice", gateway=0, binary=True) as alice,
        await people.connect("bob", gateway=1) as bob,
    ):
        assert alice.socket.subprotocol == "openline.msgpack.v1"
        assert (await alice.subscribe(channel))["count"] == 1
        await bob.subscribe(channel)
        assert (await alice.expect("join"))["user"] == "bob"
        await bob.send({"type": "typing", "channel": channel})
        assert (await alice.expect("typing"))["user"] == "bob"
        await bob.ok("publish", channel=channel, data={"n": [1, 2.5, None]})
        assert (await alice.message(channel))["data"] == {"n": [1, 2.5, None]}
        ack = await alice.ok("publish", channel=channel, data="text", key="k")
        assert fields(ack) == {"epoch", "offset", "duplicate"}
        page = await alice.ok("history", channel=channel)
        assert [m["data"] for m in page["messages"]] == [{"n": [1, 2.5, None]}, "text"]
        members = await alice.ok("presence", channel=channel)
        assert {m["user"] for m in members["members"]} == {"alice", "bob"}
        assert (await alice.call("ping"))["type"] == "pong"
        assert (await alice.refused("subscribe", channel=channel))["code"] == "already_subscribed"
        await people.call(
            "POST",
            f"/v1/connections/{alice.seen[0]['connection']}/messages",
            json={"data": {"x": 1}},
        )
        assert (await alice.expect("direct"))["data"] == {"x": 1}
        await alice.ok("unsubscribe", channel=channel)


async def test_bytes_reach_messagepack_readers_as_bytes_and_json_readers_in_base64(
    people: People,
) -> None:
    channel = room()
    async with (
        await people.connect("alice", gateway=0, binary=True) as alice,
        await people.connect("bob", gateway=1) as bob,
    ):
        await alice.subscribe(channel)
        await bob.subscribe(channel)
        await alice.ok("publish", channel=channel, data=b"\x00\xff")
        await alice.ok("publish", channel=channel, data={"b": [b"\x00\xff"], "t": "x"})
        path = f"/v1/channels/{channel}/messages"
        raw = {"content-type": "application/octet-stream"}
        sent = await people.call("POST", path, content=b"\x01\x02", headers=raw)
        assert sent.status_code == 201
        binary = await alice.messages(channel, 3)
        text = await bob.messages(channel, 3)
        page = await bob.ok("history", channel=channel)
    assert [m["data"] for m in binary] == [b"\x00\xff", {"b": [b"\x00\xff"], "t": "x"}, b"\x01\x02"]
    assert not [m for m in binary if "encoding" in m]
    assert [(m["data"], m.get("encoding")) for m in text] == [
        ("AP8=", "base64"),
        ({"b": ["AP8="], "t": "x"}, None),
        ("AQI=", "base64"),
    ]
    assert [m.get("encoding") for m in page["messages"]] == ["base64", None, "base64"]


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (["openline.json.v1"], "openline.json.v1"),
        (["openline.msgpack.v1"], "openline.msgpack.v1"),
        (["other.v9", "openline.msgpack.v1"], "openline.msgpack.v1"),
        (None, None),
    ],
)
async def test_the_subprotocol_chooses_the_encoding(
    people: People, offered: list[str] | None, chosen: str | None
) -> None:
    url = people.ws() + "?anonymous=1"
    client = await WireClient.open(url, auth=False, subprotocols=offered)
    async with client:
        await client.expect("connected")
        assert client.socket.subprotocol == chosen
        client.binary = chosen == "openline.msgpack.v1"
        assert (await client.call("ping"))["type"] == "pong"


@pytest.mark.parametrize("gateway", [None, 0])
@pytest.mark.parametrize(
    ("path", "offered"),
    [
        ("/ws", ["other.v9"]),
        ("/ws", ["eyJhbGciOiJFZERTQSJ9.e30.x", "other"]),
        ("/ws/rooms/lobby", ["openline.msgpack.v1"]),
        ("/ws/notify/news", ["other.v9"]),
    ],
)
async def test_subprotocols_of_which_none_is_known_are_told_by_a_close(
    people: People, gateway: int | None, path: str, offered: list[str]
) -> None:
    """A browser takes only an answer that names one of its offer."""
    url = people.ws(gateway, path) + "?anonymous=1"
    client = await WireClient.open(url, auth=False, subprotocols=offered)
    code, reason = await client.wait_closed()
    assert (client.socket.subprotocol, code) == (offered[0], 4000)
    assert "offer openline.json.v1" in reason


async def test_many_clients_get_the_same_order_whatever_their_encoding(people: People) -> None:
    channel = room()
    clients = [await people.connect("alice", gateway=n % 2, binary=bool(n & 2)) for n in range(4)]
    for client in clients:
        await client.subscribe(channel)
    await asyncio.gather(
        *(c.ok("publish", channel=channel, data=n) for n in range(5) for c in clients)
    )
    heard = [[m["data"] for m in await c.messages(channel, 20)] for c in clients]
    for client in clients:
        await client.close()
    assert heard[0] == heard[1] == heard[2] == heard[3]
