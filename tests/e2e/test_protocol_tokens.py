"""Who a connection speaks for: the token in each of its places, tickets, cookies, anonymous sessions, renewal."""

from __future__ import annotations

import asyncio
import json
import secrets
import time

import pytest

from tests.support.event_stream import PATIENCE, EventStream
from tests.support.lived import Lived
from tests.support.people import People
from tests.support.refused import handshake_refused
from tests.support.wire import WireClient


async def who(url: str, **headers: str) -> str | None:
    """The user of a connection that is opened without an auth message."""
    async with await WireClient.open(url, auth=False, additional_headers=headers) as client:
        connected = await client.expect("connected")
        assert client.seen[0] is connected
        user: str | None = connected["user"]
        return user


def name() -> str:
    return f"u-{secrets.token_hex(4)}"


async def ticket(people: People, token: str) -> str:
    answer = await people.http.post("/auth/tickets", headers={"authorization": f"Bearer {token}"})
    assert answer.is_success, answer.text
    value: str = answer.json()["ticket"]
    return value


# ------------------------------------------------------------------------------------------- places, and their order


async def test_a_token_counts_in_each_of_its_places(people: People) -> None:
    token = await people.token("alice")
    own = people.front_door
    assert await who(people.ws(), Authorization=f"Bearer {token}") == "alice"
    assert await who(people.ws() + f"?ticket={await ticket(people, token)}") == "alice"
    assert await who(people.ws() + f"?token={token}") == "alice"
    assert await who(people.ws(), Cookie=f"openline_token={token}", Origin=own) == "alice"


async def test_the_first_place_that_holds_a_token_counts(people: People) -> None:
    users = ["in-header", "in-ticket", "in-token", "in-cookie"]
    header, by_ticket, token, cookie = [await people.minted(user) for user in users]
    headers = {
        "Authorization": f"Bearer {header}",
        "Cookie": f"openline_token={cookie}",
        "Origin": people.front_door,
    }
    query = f"?token={token}&ticket={await ticket(people, by_ticket)}"
    assert await who(people.ws() + query, **headers) == "in-header"
    del headers["Authorization"]
    assert await who(people.ws() + query, **headers) == "in-ticket"
    assert await who(people.ws() + f"?token={token}", **headers) == "in-token"
    assert await who(people.ws(), **headers) == "in-cookie"
    foreign = {**headers, "Origin": "https://evil.example"}
    assert await who(people.ws() + f"?token={token}", **foreign) == "in-token"


@pytest.mark.parametrize("gateway", [None, 0])
async def test_a_bad_token_is_refused_with_401_before_the_upgrade(
    people: People, gateway: int | None
) -> None:
    good = await people.token("alice")
    expired = await people.minted("u-short", ttl=1)
    await asyncio.sleep(1.1)
    for bad in ("nonsense", good[:-8] + "AAAAAAAA", expired, "a.b.c", "%00", "%F0%9F%92%A9"):
        for path in ("/ws", "/ws/rooms/lobby", "/ws/notify/orders"):
            answer = await handshake_refused(people.ws(gateway, f"{path}?token={bad}"))
            problem = json.loads(answer.body)
            assert answer.status_code == 401
            assert answer.headers["content-type"] == "application/problem+json"
            assert problem["code"] == "unauthorized"
    header = {"Authorization": "Bearer nonsense"}
    assert (await handshake_refused(people.ws(gateway), headers=header)).status_code == 401
    stream = await people.http.get("/sse", params={"channel": "public:all", "token": expired})
    assert (stream.status_code, stream.json()["code"]) == (401, "unauthorized")


async def test_a_ticket_opens_one_connection_on_one_gateway(people: People) -> None:
    token = await people.token("alice")
    for path in ("/ws", "/ws/rooms/lobby"):
        used = await ticket(people, token)
        async with await WireClient.open(people.ws(0, f"{path}?ticket={used}"), auth=False) as one:
            assert (await one.expect("connected"))["user"] == "alice"
        for gateway in (0, 1):
            answer = await handshake_refused(people.ws(gateway, f"{path}?ticket={used}"))
            assert answer.status_code == 401
    asked = {"channel": "room:lobby", "ticket": await ticket(people, token)}
    async with EventStream.open(people.http, "/sse", params=asked) as stream:
        await stream.next("subscribed")
    assert (await people.http.get("/sse", params=asked)).status_code == 401
    assert (await handshake_refused(people.ws() + "?ticket=unknown")).status_code == 401


async def test_of_many_uses_of_a_ticket_at_once_one_is_good(people: People) -> None:
    used = await ticket(people, await people.token("alice"))

    async def try_it(gateway: int) -> bool:
        try:
            client = await WireClient.open(people.ws(gateway, f"/ws?ticket={used}"), auth=False)
        except Exception:  # noqa: BLE001 - refused, however the client says it
            return False
        await client.close()
        return True

    assert sum(await asyncio.gather(*(try_it(n % 2) for n in range(10)))) == 1


# ------------------------------------------------------------------------------------------------------------ cookies


@pytest.mark.parametrize(
    "origin", [None, "https://evil.example", "null", "http://127.0.0.1", "http://127.0.0.1:1"]
)
async def test_a_cookie_with_a_missing_or_foreign_origin_is_refused_with_403(
    people: People, origin: str | None
) -> None:
    headers = {"Cookie": f"openline_token={await people.token('alice')}"}
    if origin:
        headers["Origin"] = origin
    for path in ("/ws", "/ws/rooms/lobby"):
        answer = await handshake_refused(people.ws(path=path), headers=headers)
        assert (answer.status_code, json.loads(answer.body)["code"]) == (403, "forbidden")
    stream = await people.http.get("/sse?channel=room:lobby", headers=headers)
    assert (stream.status_code, stream.json()["code"]) == (403, "forbidden")


async def test_a_cookie_counts_from_our_own_and_from_allowed_origins(people: People) -> None:
    cookie = f"openline_token={await people.token('alice')}"
    for origin in (people.front_door, "http://localhost:5173"):
        assert await who(people.ws(), Cookie=cookie, Origin=origin) == "alice"
    own = people.run["gateways"][0]
    assert await who(people.ws(0), Cookie=cookie, Origin=own) == "alice"


async def test_same_origin_of_sec_fetch_site_counts_for_a_cookie_on_sse_alone(
    people: People,
) -> None:
    headers = {"Cookie": f"openline_token={await people.token('alice')}"}
    for site, status in (("same-origin", 200), ("same-site", 403), ("none", 403)):
        headers["Sec-Fetch-Site"] = site
        async with people.http.stream("GET", "/sse?channel=room:x", headers=headers) as answer:
            assert answer.status_code == status
    headers["Sec-Fetch-Site"] = "same-origin"
    assert (await handshake_refused(people.ws(), headers=headers)).status_code == 403


# --------------------------------------------------------------------------------------------------- the auth message


async def test_connected_comes_first_and_then_the_ack_of_auth(people: People) -> None:
    token = await people.minted("u-first", ttl=600)
    client = await WireClient.open(people.ws(0), auth=False)
    async with client:
        await client.send({"type": "auth", "id": "hello", "token": token, "unknown": [1]})
        await client.send({"type": "ping", "id": 7})
        await client.expect("pong")
        connected, ack, pong = client.seen
    assert set(connected) == {
        "type",
        "connection",
        "user",
        "node",
        "expires",
        "ping",
        "limits",
        "version",
        "channels",
    }
    assert connected["limits"].keys() == {"commands", "burst", "channels", "message_bytes"}
    assert connected["version"]
    assert (connected["user"], connected["ping"]) == ("u-first", 25)
    assert set(connected["channels"]) == {"user:u-first", "public:all"}
    for start in connected["channels"].values():
        assert set(start) == {"epoch", "offset"}
    assert abs(connected["expires"] - time.time() - 600) < 10
    expires = connected["expires"]
    assert ack == {"type": "ack", "id": "hello", "user": "u-first", "expires": expires}
    assert pong == {"type": "pong", "id": 7}


async def test_nothing_overtakes_connected_not_even_an_error(people: People) -> None:
    client = await WireClient.open(people.ws(), auth=False)
    async with client:
        await client.send({"type": "auth", "token": await people.token("alice")})
        await client.socket.send("nonsense")
        await client.send({"type": "nothing", "id": 2})
        await client.expect("error", where=lambda e: e.get("id") == 2)
    assert [event["type"] for event in client.seen[:2]] == ["connected", "ack"]


async def test_a_session_is_told_which_node_and_an_id_of_its_own(people: People) -> None:
    clients = [await people.connect("alice", gateway=n) for n in (0, 0, 1)]
    opened = [client.seen[0] for client in clients]
    nodes = (await people.call("GET", "/v1/nodes")).json()["nodes"]
    for client in clients:
        await client.close()
    assert len({event["connection"] for event in opened}) == 3
    assert opened[0]["node"] == opened[1]["node"] != opened[2]["node"]
    assert {event["node"] for event in opened} == {node["node"] for node in nodes}


@pytest.mark.parametrize("token", ["nonsense", "", 5, None, "x" * 5000])
async def test_a_bad_token_in_a_message_ends_with_4001(people: People, token: object) -> None:
    if token is None:
        token = (await people.token("alice"))[:-6] + "AAAAAA"
    client = await WireClient.open(people.ws(), auth=False)
    await client.send({"type": "auth", "token": token})
    code, reason = await client.wait_closed()
    assert (code, bool(reason)) == (4001, True)


async def test_an_expired_token_in_a_message_ends_with_4200(people: People) -> None:
    token = await people.minted("u-late", ttl=1)
    live = await people.connect("alice")
    await asyncio.sleep(1.1)
    for path in ("/ws", "/ws/rooms/lobby"):
        client = await WireClient.open(people.ws(path=path), auth=False)
        await client.send({"type": "auth", "token": token})
        assert (await client.wait_closed())[0] == 4200
    await live.send({"type": "auth", "token": token})
    assert (await live.wait_closed())[0] == 4200


@pytest.mark.parametrize(
    "first",
    [
        '{"type":"subscribe","channel":"public:all"}',
        '{"type":"ping"}',
        '{"type":"nothing"}',
        "not json",
        "[]",
    ],
)
async def test_a_first_message_that_is_not_auth_ends_with_4001(people: People, first: str) -> None:
    for path in ("/ws", "/ws/rooms/lobby", "/ws/notify/orders"):
        client = await WireClient.open(people.ws(path=path), auth=False)
        await client.socket.send(first)
        code, reason = await client.wait_closed()
        assert (code, bool(reason), client.seen) == (4001, True, [])


# ------------------------------------------------------------------------------------------------- anonymous sessions


async def test_an_anonymous_session_has_no_user_and_what_is_given_to_anyone(
    people: People,
) -> None:
    async with await WireClient.open(people.ws()) as client:
        assert client.seen[0]["user"] is None
        assert client.seen[0]["expires"] is None
        assert set(client.seen[0]["channels"]) == {"public:all"}
        mine = f"public:{name()}"
        await client.subscribe(mine)
        sent = await people.publish(mine, "for all")
        assert (await client.message(mine))["offset"] == sent["offset"]
        assert (await client.ok("history", channel=mine))["offset"] == sent["offset"]
        for channel in ("room:x", "notify:x", "live:x", "user:alice"):
            assert (await client.refused("subscribe", channel=channel))["code"] == "forbidden"
        refusal = await client.refused("publish", channel=mine, data=1)
        assert refusal["code"] == "forbidden"
        for call in ("history", "presence", "typing"):
            refusal = await client.refused(call, channel="room:x")
            assert refusal["code"] in ("forbidden", "not_subscribed")


async def test_anonymous_1_opens_an_anonymous_session_without_a_message(people: People) -> None:
    assert await who(people.ws() + "?anonymous=1") is None
    async with EventStream.open(people.http, "/sse?channel=public:all") as stream:
        await stream.next("subscribed")
    refused = await people.http.get("/sse?channel=room:lobby")
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")


async def test_a_token_counts_before_anonymous_1(people: People) -> None:
    token = await people.token("alice")
    assert await who(people.ws() + f"?anonymous=1&token={token}") == "alice"


async def test_an_anonymous_session_cannot_become_somebody(people: People) -> None:
    async with await WireClient.open(people.ws()) as client:
        refusal = await client.refused("auth", token=await people.token("alice"))
        assert refusal["code"] == "forbidden"
        await client.ok("subscribe", channel=f"public:{name()}")


# ------------------------------------------------------------------------------------------------ renewal and expiry


async def test_auth_on_a_live_connection_refreshes_it(people: People) -> None:
    user = name()
    async with await WireClient.open(people.ws(), await people.minted(user, ttl=60)) as client:
        token = await people.minted(user, ttl=3600)
        ack = await client.ok("auth", token=token)
        assert set(ack) == {"type", "id", "user", "expires"}
        assert ack["user"] == user
        assert ack["expires"] > client.seen[0]["expires"] + 3000
        assert len(client.taken_or_not("connected")) == 1


async def test_auth_of_another_user_is_forbidden_and_changes_nothing(people: People) -> None:
    user, other = name(), name()
    async with await WireClient.open(people.ws(), await people.minted(user)) as client:
        refusal = await client.refused("auth", token=await people.minted(other))
        assert refusal["code"] == "forbidden"
        await people.publish(f"user:{user}", "still me")
        assert (await client.message())["data"] == "still me"
        refusal = await client.refused("subscribe", channel=f"user:{other}")
        assert refusal["code"] == "forbidden"


async def test_a_renewed_token_that_allows_less_ends_subscriptions(people: People) -> None:
    user = name()
    both = {"room:a-*": ["subscribe"], "room:b-*": ["subscribe"]}
    one = {"room:a-*": ["subscribe"]}
    token = await people.minted(user, channels=both)
    async with await WireClient.open(people.ws(), token) as client:
        kept, lost = f"room:a-{name()}", f"room:b-{name()}"
        await client.subscribe(kept)
        await client.subscribe(lost)
        await client.ok("auth", token=await people.minted(user, channels=one))
        gone = await client.expect("unsubscribed")
        assert gone["channel"] == lost
        await people.publish(lost, "unheard")
        await people.publish(kept, "heard")
        assert (await client.message())["data"] == "heard"


async def test_an_expiring_session_is_told_and_closed_with_4200_five_seconds_after_exp(
    people: People,
) -> None:
    user = name()
    token = await people.minted(user, ttl=6, channels={"*": ["subscribe", "publish"]})
    renewed = await WireClient.open(people.ws(), token)
    native = await WireClient.open(people.ws(), token)
    room = await WireClient.open(people.ws(path=f"/ws/rooms/x?token={token}"), auth=False)
    exp = native.seen[0]["expires"]
    query = {"channel": "room:x", "token": token}
    async with (
        Lived(people.answer) as lived,
        EventStream.open(people.http, "/sse", params=query) as stream,
    ):
        told = await native.expect("expiring")
        assert told == {"type": "expiring", "expires": exp}
        # When two thirds of its life are over; nobody was kept waiting for as long as the last third lasts.
        assert time.time() > exp - 2.1
        assert lived.seconds < 6
        assert (await stream.next("expiring")).data == told
        await renewed.expect("expiring")
        await renewed.ok("auth", token=await people.minted(user, ttl=600))
        assert (await native.wait_closed())[0] == 4200
        assert time.time() - exp > 4.5
        assert lived.seconds < 6 + 6.5
        assert (await room.wait_closed())[0] == 4200
        async with asyncio.timeout(PATIENCE):
            await people.soon(stream.ended.wait(), 2)
    await renewed.subscribe("room:still-here")
    await renewed.close()


# -------------------------------------------------------------------------------------------------------- capabilities


async def test_the_channels_claim_is_the_whole_list_and_matches_by_name_or_prefix(
    people: People,
) -> None:
    user = name()
    claim = {
        "room:exact": ["subscribe"],
        "room:team-*": ["subscribe", "publish"],
        "live:*": ["subscribe", "publish", "history"],
        "notify:*": ["subscribe", "publish"],
        "public:*": ["publish"],
    }
    token = await people.minted(user, channels=claim)
    async with await WireClient.open(people.ws(), token) as client:
        assert f"user:{user}" in client.seen[0]["channels"]
        for channel in ("room:exact", "room:team-", "room:team-a", "live:x", "notify:x"):
            await client.subscribe(channel)
        for channel in ("room:exactly", "room:exac", "room:tea", "room:other", "user:other"):
            refusal = await client.refused("subscribe", channel=channel)
            assert (refusal["code"], refusal["temporary"]) == ("forbidden", False)
        await client.ok("publish", channel="room:team-a", data=1)
        await client.ok("publish", channel="live:x", data=1)
        await client.ok("history", channel="live:x")
        for call, channel in (
            ("publish", "room:exact"),
            ("publish", "notify:x"),
            ("publish", "public:all"),
            ("presence", "room:team-a"),
            ("history", "room:team-a"),
        ):
            refusal = await client.refused(call, channel=channel, data=1)
            assert refusal["code"] == "forbidden", (call, channel)
        await client.ok("history", channel=f"user:{user}")


async def test_an_empty_channels_claim_leaves_only_the_own_channel(people: People) -> None:
    user = name()
    async with await WireClient.open(people.ws(), await people.minted(user, channels={})) as client:
        await people.publish(f"user:{user}", 1)
        await client.message(f"user:{user}")
        for channel in ("room:x", f"public:{user}"):
            assert (await client.refused("subscribe", channel=channel))["code"] == "forbidden"


async def test_a_claim_with_more_than_100_patterns_is_not_minted(people: People) -> None:
    claim = {f"room:{n}": ["subscribe"] for n in range(101)}
    answer = await people.call(
        "POST", "/auth/connect-tokens", json={"sub": "many", "channels": claim}
    )
    assert answer.status_code == 400
    del claim["room:0"]
    assert await people.minted("many", channels=claim)
