"""Who is there and who types: members, joins and leaves, quick returns, large rooms."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from tests.support.people import People
from tests.support.wire import WireClient


def room() -> str:
    return f"room:{secrets.token_hex(6)}"


def signals(client: WireClient) -> list[tuple[str, str | None, int, int]]:
    """Joins and leaves that a client has seen."""
    return [
        (e["type"], e["user"], e["count"], e["users"])
        for e in client.seen
        if e["type"] in ("join", "leave")
    ]


@asynccontextmanager
async def crowd(people: People, channel: str, size: int) -> AsyncIterator[list[WireClient]]:
    """Connections of ten users, over both gateways, in a room by its plain route."""
    tokens = [await people.minted(f"crowd-{n}", ttl=600) for n in range(10)]
    path = f"/ws/rooms/{channel.removeprefix('room:')}?token="
    clients: list[WireClient] = []
    async with AsyncExitStack() as stack:
        for start in range(0, size, 50):
            numbers = range(start, min(start + 50, size))
            opened = await asyncio.gather(
                *(
                    WireClient.open(people.ws(n % 2, path + tokens[n % 10]), auth=False)
                    for n in numbers
                )
            )
            for client in opened:
                stack.push_async_callback(client.vanish)
            await asyncio.gather(*(client.expect("connected") for client in opened))
            clients += opened
        yield clients


# ------------------------------------------------------------------------------------------------- joins and leaves


async def test_others_are_told_of_a_join_and_a_leave_and_oneself_is_not(people: People) -> None:
    channel = room()
    async with await people.connect("alice", gateway=0) as alice:
        await alice.subscribe(channel)
        async with (
            await people.connect("bob", gateway=1) as bob,
            await people.connect("bob", gateway=0) as again,
        ):
            await bob.subscribe(channel)
            join = await alice.expect("join")
            assert join == {
                "type": "join",
                "channel": channel,
                "user": "bob",
                "connection": bob.seen[0]["connection"],
                "count": 2,
                "users": 2,
                "first": True,
            }
            await again.subscribe(channel)
            join = await alice.expect("join")
            assert (join["count"], join["users"], join["first"]) == (3, 2, False)
            assert (await bob.expect("join"))["connection"] == again.seen[0]["connection"]
            await again.ok("unsubscribe", channel=channel)
            leave = await people.soon(alice.expect("leave"), 2)
            assert leave["connection"] == again.seen[0]["connection"]
            assert (leave["count"], leave["users"], leave["last"]) == (2, 2, False)
            assert not again.taken_or_not("join") + again.taken_or_not("leave")
        leave = await people.soon(alice.expect("leave"), 2)
        assert (leave["user"], leave["count"], leave["users"]) == ("bob", 1, 1)
        assert leave["last"]
        await people.publish(channel, "end")
        await alice.message(channel)
        assert len(signals(alice)) == 4


async def test_a_quick_return_shows_nothing(people: People) -> None:
    await asyncio.gather(*(returns_quickly(people, gateway) for gateway in (0, 1)))


async def returns_quickly(people: People, gateway: int) -> None:
    channel = room()
    async with await people.connect("alice", gateway=0) as alice:
        await alice.subscribe(channel)
        bob = await people.connect("bob", gateway=0)
        await bob.subscribe(channel)
        await alice.expect("join")
        await bob.vanish()
        await asyncio.sleep(0.5)
        async with await people.connect("bob", gateway=gateway) as back:
            ack = await back.subscribe(channel)
            assert ack["count"] in (2, 3)
            await asyncio.sleep(5.5)
            # On a busy machine the one that vanished may be counted a little longer.
            async with asyncio.timeout(30):
                while (await alice.ok("presence", channel=channel))["count"] > 2:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            members = await alice.ok("presence", channel=channel)
            assert (members["count"], members["users"]) == (2, 2)
            assert {m["connection"] for m in members["members"]} == {
                alice.seen[0]["connection"],
                back.seen[0]["connection"],
            }
            assert signals(alice) == [("join", "bob", 2, 2)]


async def came_back(people: People, gateway: int, **auth: Any) -> WireClient:
    """A connection that begins with this `auth`."""
    client = await WireClient.open(people.ws(gateway), auth=False)
    await client.send({"type": "auth", **auth})
    await client.expect("connected")
    return client


async def test_who_comes_back_ends_the_connection_it_had_and_nobody_sees_it(
    people: People,
) -> None:
    await asyncio.gather(*(comes_back(people, gateway) for gateway in (0, 1)))


async def comes_back(people: People, gateway: int) -> None:
    channel = room()
    token = await people.token("bob")
    async with await people.connect("alice", gateway=0) as alice:
        await alice.subscribe(channel)
        ghost = await people.connect("bob", gateway=0)
        await ghost.subscribe(channel)
        await alice.expect("join")
        former = ghost.seen[0]["connection"]
        async with await came_back(people, gateway, token=token, previous=former) as back:
            assert (await back.subscribe(channel))["count"] == 2
            code, reason = await ghost.wait_closed()
            assert (code, "another connection" in reason) == (4004, True)
            await asyncio.sleep(5.5)
            members = await alice.ok("presence", channel=channel)
            assert (members["count"], members["users"]) == (2, 2)
            assert signals(alice) == [("join", "bob", 2, 2)]


async def test_nobody_ends_the_connection_of_another(people: People) -> None:
    channel = "public:" + secrets.token_hex(6)
    eve = await people.token("alice")
    name, guess = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
    async with (
        await people.connect("bob", gateway=0) as bob,
        await came_back(people, 0) as nobody,
        await came_back(people, 1, client=name) as somebody,
    ):
        victims = (bob, nobody, somebody)
        for victim in victims:
            former = victim.seen[0]["connection"]
            for gateway in (0, 1):
                for auth in ({"token": eve}, {}, {"client": guess}):
                    other = await came_back(people, gateway, previous=former, **auth)
                    await other.close()
        for victim in victims:
            assert (await victim.call("ping"))["type"] == "pong"
            await victim.subscribe(channel)
        former = somebody.seen[0]["connection"]
        async with await came_back(people, 0, previous=former, client=name):
            assert (await somebody.wait_closed())[0] == 4004


async def test_who_vanishes_leaves_after_the_grace(people: People) -> None:
    channel = room()
    async with await people.connect("alice", gateway=0) as alice:
        await alice.subscribe(channel)
        bob = await people.connect("bob", gateway=1)
        await bob.subscribe(channel)
        await alice.expect("join")
        gone = time.monotonic()
        await bob.vanish()
        leave = await people.soon(alice.expect("leave"), 7.5)
        assert time.monotonic() - gone > 4.5
        assert (leave["user"], leave["count"], leave["users"]) == ("bob", 1, 1)
        assert leave["last"]


@pytest.mark.parametrize("binary", [False, True])
async def test_a_join_says_what_the_token_says_of_who_came(people: People, *, binary: bool) -> None:
    channel, user = room(), f"u-{secrets.token_hex(4)}"
    small = await people.minted(user, info={"name": "Ann", "n": [1, None]})
    large = await people.minted(f"{user}-large", info={"name": "x" * 1024})
    async with await people.connect("alice", gateway=0, binary=binary) as alice:
        await alice.subscribe(channel)
        async with await WireClient.open(people.ws(1), small) as ann:
            await ann.subscribe(channel)
            assert (await alice.expect("join"))["info"] == {"name": "Ann", "n": [1, None]}
        assert (await alice.expect("leave"))["last"]
        async with await WireClient.open(people.ws(1), large) as one:
            await one.subscribe(channel)
            join = await alice.expect("join")
            assert ("info" in join, join["first"]) == (False, True)


async def test_who_is_away_for_less_than_the_grace_was_never_gone(people: People) -> None:
    """Two connections of a user on two gateways: one is cut, the other leaves within the grace."""
    channel = room()
    async with await people.connect("alice", gateway=0) as alice:
        await alice.subscribe(channel)
        cut, second = [await people.connect("bob", gateway=n) for n in (0, 1)]
        for client in (cut, second):
            await client.subscribe(channel)
            await alice.expect("join")
        await cut.vanish()
        await second.close()
        leave = await alice.expect("leave")
        assert (leave["connection"], leave["last"]) == (second.seen[0]["connection"], False)
        leave = await alice.expect("leave")
        assert (leave["connection"], leave["last"]) == (cut.seen[0]["connection"], True)


async def test_disconnected_by_the_server_leaves_at_once(people: People) -> None:
    channel, user = room(), f"u-{secrets.token_hex(4)}"
    async with await people.connect("alice", gateway=0) as alice:
        await alice.subscribe(channel)
        other = await WireClient.open(people.ws(1), await people.minted(user))
        await other.subscribe(channel)
        await alice.expect("join")
        await people.call("POST", f"/v1/users/{user}/disconnect")
        assert (await people.soon(alice.expect("leave"), 2))["user"] == user
        assert (await other.wait_closed())[0] == 4004


# ---------------------------------------------------------------------------------------------------------- presence


async def test_presence_names_each_connection_with_its_info(people: People) -> None:
    channel, user = room(), f"u-{secrets.token_hex(4)}"
    token = await people.minted(user, info={"name": "Zoë", "admin": True})
    async with (
        await people.connect("alice", gateway=0) as alice,
        await WireClient.open(people.ws(1), token) as one,
        await WireClient.open(people.ws(0), token) as two,
    ):
        for client in (alice, one, two):
            await client.subscribe(channel)
        ack = await alice.ok("presence", channel=channel)
        over_http = await people.call("GET", f"/v1/channels/{channel}/presence")
    assert set(ack) >= {"type", "id", "members", "count", "users", "cursor"}
    assert (ack["count"], ack["users"], ack["cursor"]) == (3, 2, None)
    members = {member["connection"]: member for member in ack["members"]}
    mine = members[one.seen[0]["connection"]]
    assert set(mine) == {"user", "connection", "info", "since"}
    assert (mine["user"], mine["info"]) == (user, {"name": "Zoë", "admin": True})
    assert abs(mine["since"] / 1000 - time.time()) < 30
    assert members[alice.seen[0]["connection"]]["user"] == "alice"
    assert len(over_http.json()["members"]) == 3


async def test_a_cursor_that_was_not_handed_out_is_a_bad_request(people: People) -> None:
    channel = room()
    async with await people.connect("alice") as alice:
        await alice.subscribe(channel)
        for cursor in ("nonsense", "c6", "x" * 5000, 5, "\u0000"):
            refusal = await alice.refused("presence", channel=channel, cursor=cursor)
            assert refusal["code"] == "bad_request", cursor


async def test_above_200_members_only_their_number_is_told_once_a_second(people: People) -> None:
    channel = room()
    async with await people.connect("alice", gateway=0) as alice:
        await alice.subscribe(channel)
        async with crowd(people, channel, 199):
            await alice.expect("join", where=lambda e: e["count"] == 200)
            before = len(signals(alice))
            assert before == 199
            began = time.monotonic()
            async with crowd(people, channel, 100):
                told = await alice.expect("count", where=lambda e: e["count"] == 300)
                assert (told["channel"], told["users"]) == (channel, 11)
                page = await alice.ok("presence", channel=channel)
                assert page["count"] == 300
                left = time.monotonic()
            assert len(signals(alice)) == before
            counts = alice.taken_or_not("count")
            assert len(counts) <= time.monotonic() - began + 2
            page = await alice.ok("presence", channel=channel)
            assert page["count"] == 300 or time.monotonic() - left > 5, "within the grace"


# ------------------------------------------------------------------------------------------------------------ typing


async def test_others_see_typing_at_most_once_a_second_and_oneself_does_not(
    people: People,
) -> None:
    channel = room()
    async with (
        await people.connect("alice", gateway=0) as alice,
        await people.connect("alice", gateway=1) as also,
        await people.connect("bob", gateway=1) as bob,
    ):
        for client in (alice, also, bob):
            await client.subscribe(channel)
        began = time.monotonic()

        async def type_for(seconds: float) -> None:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                await alice.send({"type": "typing", "channel": channel})
                await also.send({"type": "typing", "channel": channel})
                await asyncio.sleep(0.1)

        await type_for(2.2)
        while len(seen := bob.taken_or_not("typing")) < 2:  # until the test's time is over
            await type_for(0.2)
        assert seen[0] == {"type": "typing", "channel": channel, "user": "alice"}
        assert len(seen) <= time.monotonic() - began + 1, "one at first, and one a second"
        assert not alice.taken_or_not("typing") + also.taken_or_not("typing")
        ack = await bob.ok("typing", channel=channel)
        assert set(ack) == {"type", "id"}
        await alice.expect("typing")


async def test_typing_needs_what_publishing_needs(people: People) -> None:
    channel = room()
    listener = await people.minted("listener", channels={"room:*": ["subscribe"]})
    async with await WireClient.open(people.ws(), listener) as client:
        await client.subscribe(channel)
        assert (await client.refused("typing", channel=channel))["code"] == "forbidden"
    path = f"/ws/rooms/{channel[5:]}?token={listener}"
    async with await WireClient.open(people.ws(path=path), auth=False) as client:
        await client.expect("connected")
        await client.send({"type": "typing"})
        refusal: dict[str, Any] = await client.expect("error")
        assert refusal["code"] == "forbidden"
