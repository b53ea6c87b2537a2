"""A message's way from an HTTP call or a socket, through nginx and Redis Streams, to every subscriber on any gateway."""

from __future__ import annotations

import asyncio
import secrets

from tests.support.people import People
from tests.support.wire import WireClient


def room() -> str:
    return f"room:{secrets.token_hex(6)}"


def offsets(messages: list[dict]) -> list[int]:
    return [message["offset"] for message in messages]


async def test_messages_from_http_and_from_sockets_on_two_gateways_reach_both_in_one_order(
    people: People,
) -> None:
    channel = room()
    async with (
        await people.connect("alice", gateway=0) as alice,
        await people.connect("bob", gateway=1) as bob,
    ):
        await alice.subscribe(channel)
        await bob.subscribe(channel)
        await asyncio.gather(
            *(people.publish(channel, {"n": n, "by": "http"}) for n in range(5)),
            *(alice.ok("publish", channel=channel, data={"n": n, "by": "a"}) for n in range(5)),
            *(bob.ok("publish", channel=channel, data={"n": n, "by": "b"}) for n in range(5)),
        )
        heard = [await alice.messages(channel, 15), await bob.messages(channel, 15)]

    assert heard[0] == heard[1]
    assert offsets(heard[0]) == list(range(1, 16))
    assert [m["from"] for m in heard[0] if m["data"]["by"] == "a"] == ["alice"] * 5
    assert all("from" not in m for m in heard[0] if m["data"]["by"] == "http")


async def test_a_notification_and_a_broadcast_reach_subscribers_of_both_gateways(
    people: People,
) -> None:
    topic = secrets.token_hex(6)
    async with (
        await people.connect("alice", gateway=0) as alice,
        await people.connect("bob", gateway=1) as bob,
    ):
        for client in (alice, bob):
            await client.subscribe(f"notify:{topic}")
        sent = await people.call(
            "POST", f"/notify/{topic}", json={"title": "Build", "level": "info"}
        )
        everyone = await people.publish("public:all", topic)
        for client in (alice, bob):
            notification = await client.message(f"notify:{topic}")
            assert notification["data"]["type"] == "notification"
            assert notification["data"]["title"] == "Build"
            broadcast = await client.expect("message", where=lambda e: e["data"] == topic)
            assert broadcast["offset"] == everyone["offset"]
    assert sent.json()["offset"] == 1


async def test_a_client_back_on_the_other_gateway_gets_what_it_missed_and_then_live_messages(
    people: People,
) -> None:
    channel = room()
    first = await people.connect("alice", gateway=0)
    await first.subscribe(channel)
    await people.publish(channel, 0)
    seen = await first.message(channel)
    position = {"epoch": (await people.publish(channel, 1))["epoch"], "offset": seen["offset"]}
    await first.vanish()

    for start in range(2, 202, 100):
        batch = [{"channel": channel, "data": n} for n in range(start, start + 100)]
        answer = await people.call("POST", "/v1/messages", json={"messages": batch})
        assert {result["status"] for result in answer.json()["results"]} == {201}

    async with await people.connect("alice", gateway=1) as again:
        ack = await again.subscribe(channel, since=position)
        await people.publish(channel, "live")
        missed = await again.messages(channel, 202)

    assert ack["recovered"] is True
    assert ack["offset"] == position["offset"]
    assert [m["data"] for m in missed] == [*range(1, 202), "live"]
    assert offsets(missed) == list(range(2, 204))


async def test_a_position_beyond_the_history_is_not_recovered_and_nothing_is_replayed(
    people: People,
) -> None:
    channel = f"live:{secrets.token_hex(6)}"  # keeps 50
    first = await people.publish(channel, 0)
    for _ in range(60):
        last = await people.publish(channel, "x")
    async with await people.connect("alice") as alice:
        ack = await alice.subscribe(channel, since={"epoch": first["epoch"], "offset": 1})
        await people.publish(channel, "live")
        live = await alice.message(channel)

    assert ack["recovered"] is False
    assert ack["offset"] == last["offset"]
    assert "began" in ack
    assert (live["data"], live["offset"]) == ("live", last["offset"] + 1)


async def test_a_position_of_another_epoch_is_not_recovered(people: People) -> None:
    channel = room()
    await people.publish(channel, 0)
    async with await people.connect("alice") as alice:
        ack = await alice.subscribe(channel, since={"epoch": "elsewhere", "offset": 1})
    assert ack["recovered"] is False


async def test_the_newest_messages_come_first_when_asked_for(people: People) -> None:
    channel = room()
    for n in range(5):
        await people.publish(channel, n)
    async with await people.connect("alice") as alice:
        ack = await alice.subscribe(channel, last=2)
        messages = await alice.messages(channel, 2)
    assert ack["offset"] == 3
    assert "recovered" not in ack
    assert [m["data"] for m in messages] == [3, 4]


async def test_the_personal_channel_is_recovered_through_since_of_auth(people: People) -> None:
    user = f"u-{secrets.token_hex(4)}"
    token = await people.minted(user)
    channel = f"user:{user}"
    first = await WireClient.open(people.ws(0), token)
    at = first.seen[0]["channels"][channel]
    await first.vanish()
    for n in range(3):
        answer = await people.call("POST", f"/v1/users/{user}/messages", json={"data": n})
        assert answer.status_code == 201

    async with await WireClient.open(people.ws(1), token, since={channel: at}) as again:
        messages = await again.messages(channel, 3)
        connected = again.seen[0]
    assert connected["type"] == "connected"
    assert connected["channels"][channel] == {**at, "recovered": True}
    assert [m["data"] for m in messages] == [0, 1, 2]


async def test_a_publish_without_echo_is_acked_in_the_place_of_its_message(people: People) -> None:
    channel = room()
    async with (
        await people.connect("alice", gateway=0) as alice,
        await people.connect("bob", gateway=1) as bob,
    ):
        await alice.subscribe(channel)
        await bob.subscribe(channel)
        for n in range(20):
            await alice.send(
                {"type": "publish", "id": n, "channel": channel, "data": n, "echo": False}
            )
            await bob.send({"type": "publish", "channel": channel, "data": f"b{n}"})
        await bob.messages(channel, 40)
        await alice.messages(channel, 20)
        placed = [e for e in alice.seen if "offset" in e and e["type"] in ("message", "ack")]
        order = [e["offset"] for e in placed if e.get("channel", channel) == channel][1:]
    assert order == sorted(order)
    assert [m["data"] for m in alice.taken_or_not("message")] == [f"b{n}" for n in range(20)]


async def test_an_ephemeral_message_has_no_offset_and_is_not_in_the_history(people: People) -> None:
    channel = room()
    async with (
        await people.connect("alice", gateway=0) as alice,
        await people.connect("bob", gateway=1) as bob,
    ):
        await alice.subscribe(channel)
        await bob.subscribe(channel)
        await alice.ok("publish", channel=channel, data="now", ephemeral=True, echo=False)
        await alice.ok("publish", channel=channel, data="kept")
        assert "offset" not in await bob.message(channel)
        assert (await bob.message(channel))["offset"] == 1
        assert (await alice.message(channel))["data"] == "kept"
        history = await alice.ok("history", channel=channel)
    assert [m["data"] for m in history["messages"]] == ["kept"]


async def test_the_same_key_is_stored_once(people: People) -> None:
    channel = room()
    async with await people.connect("alice") as alice:
        await alice.subscribe(channel)
        first = await alice.ok("publish", channel=channel, data=1, key="k1")
        again = await alice.ok("publish", channel=channel, data=1, key="k1")
        over_http = [await people.publish(channel, 1, key="k1") for _ in range(2)]
    assert (first["duplicate"], again["duplicate"]) == (False, True)
    assert first["offset"] == again["offset"]
    assert [(r["offset"], r["duplicate"]) for r in over_http] == [(2, False), (2, True)]


async def test_dropping_a_history_tells_subscribers_by_a_reset_and_the_offset_goes_on(
    people: People,
) -> None:
    channel = room()
    async with await people.connect("alice") as alice:
        await alice.subscribe(channel)
        first = await people.publish(channel, 1)
        await alice.message(channel)
        dropped = await people.call("DELETE", f"/v1/channels/{channel}/messages")
        assert dropped.status_code == 200, dropped.text
        reset = await alice.expect("reset")
        after = await people.publish(channel, 2)
        message = await alice.message(channel)
    assert reset["epoch"] == after["epoch"] != first["epoch"]
    assert (after["offset"], message["offset"]) == (2, 2)
    assert reset["offset"] == reset["began"] == 1
