"""What the back end does to connections: subscribe, unsubscribe, direct messages, disconnect, revoke; and what it sees."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import pytest

from tests.support.people import People
from tests.support.wire import WireClient


def room() -> str:
    return f"room:{secrets.token_hex(6)}"


async def user_on_both(people: People) -> tuple[str, list[WireClient]]:
    """A new user and its connections, one a gateway."""
    user = f"u-{secrets.token_hex(4)}"
    token = await people.minted(user)
    return user, [await WireClient.open(people.ws(n), token) for n in (0, 1)]


async def accepted(people: People, path: str, **body: Any) -> None:
    answer = await people.call("POST", path, **({"json": body} if body else {}))
    assert answer.status_code == 202, answer.text


# ------------------------------------------------------------------------------------------- subscribe, unsubscribe


async def test_the_back_end_subscribes_and_unsubscribes_a_user_on_every_gateway(
    people: People,
) -> None:
    channel = room()
    user, clients = await user_on_both(people)
    await accepted(people, f"/v1/users/{user}/subscribe", channel=channel)
    for client in clients:
        told = await client.expect("subscribed")
        assert set(told) == {"type", "channel", "epoch", "offset"}
        assert (told["channel"], told["offset"]) == (channel, 0)
    await people.publish(channel, 1)
    for client in clients:
        assert (await client.message(channel))["offset"] == 1
        assert (await client.refused("subscribe", channel=channel))["code"] == "already_subscribed"
        await client.ok("publish", channel=channel, data="mine")
    await accepted(people, f"/v1/users/{user}/unsubscribe", channel=channel)
    for client in clients:
        told = await client.expect("unsubscribed")
        assert set(told) == {"type", "channel", "reason"}
        assert told["channel"] == channel
        await client.messages(channel, 2)
    await people.publish(channel, "unheard")
    for client in clients:
        await client.subscribe(channel)
        await client.close()
        assert len(client.taken_or_not("message")) == 3


async def test_a_subscription_by_the_server_lasts_for_the_connection(people: People) -> None:
    channel = f"notify:{secrets.token_hex(6)}"
    user, clients = await user_on_both(people)
    await accepted(people, f"/v1/users/{user}/subscribe", channel=channel)
    for client in clients:
        await client.expect("subscribed")
        await client.close()
    async with await WireClient.open(people.ws(), await people.minted(user)) as again:
        assert channel not in again.seen[0]["channels"]
        assert (await again.refused("unsubscribe", channel=channel))["code"] == "not_subscribed"


async def test_a_publish_without_echo_is_acked_although_the_server_unsubscribes(
    people: People,
) -> None:
    user, (client, other) = await user_on_both(people)
    for _ in range(10):
        channel = room()
        await client.subscribe(channel)
        for n in range(10):
            await client.send(
                {"type": "publish", "id": f"{channel}{n}", "channel": channel, "data": n}
                | {"echo": False}
            )
        await accepted(people, f"/v1/users/{user}/unsubscribe", channel=channel)
        for n in range(10):
            await client.expect(where=lambda e, n=n, c=channel: e.get("id") == f"{c}{n}")
    await client.close()
    await other.close()


async def test_a_subscribe_is_answered_although_the_server_unsubscribes(people: People) -> None:
    user, (client, other) = await user_on_both(people)
    for _ in range(20):
        channel = room()
        path = f"/v1/users/{user}/unsubscribe"
        await asyncio.gather(
            client.call("subscribe", channel=channel), accepted(people, path, channel=channel)
        )
    assert (await client.call("ping"))["type"] == "pong"
    await client.close()
    await other.close()


# ---------------------------------------------------------------------------------------------------------- messages


async def test_a_message_to_a_user_reaches_each_of_its_connections(people: People) -> None:
    user, clients = await user_on_both(people)
    answer = await people.call("POST", f"/v1/users/{user}/messages", json={"data": {"n": 1}})
    assert answer.status_code == 201
    for client in clients:
        message = await client.message(f"user:{user}")
        assert (message["data"], message["offset"]) == ({"n": 1}, answer.json()["offset"])
        assert "from" not in message
        await client.close()


async def test_a_direct_message_reaches_one_connection(people: People) -> None:
    user, clients = await user_on_both(people)
    connection = clients[1].seen[0]["connection"]
    for data in ({"n": 1}, None, "text", [1.5]):
        await accepted(people, f"/v1/connections/{connection}/messages", data=data)
        direct = await clients[1].expect("direct")
        assert set(direct) == {"type", "data", "ts"}
        assert direct["data"] == data
    await people.publish(f"user:{user}", "end")
    for client in clients:
        await client.message()
        await client.close()
    assert not clients[0].taken_or_not("direct")
    await accepted(people, f"/v1/connections/{connection}/messages", data=1)


# -------------------------------------------------------------------------------------------------------- disconnect


@pytest.mark.parametrize(
    ("body", "code", "reason"),
    [
        ({}, 4004, None),
        ({"code": 4099}, 4099, None),
        ({"code": 4000, "reason": "go away"}, 4000, "go away"),
        ({"reason": "ü" * 100}, 4004, "ü" * 60 + "…"),
    ],
)
async def test_disconnect_closes_with_the_code_and_reason_that_were_given(
    people: People, body: dict[str, Any], code: int, reason: str | None
) -> None:
    user, clients = await user_on_both(people)
    await accepted(people, f"/v1/users/{user}/disconnect", **body)
    for client in clients:
        closed = await people.soon(client.wait_closed(), 1.5)
        assert closed[0] == code
        assert reason is None or closed[1] == reason


async def test_disconnect_of_a_connection_leaves_the_others(people: People) -> None:
    _, clients = await user_on_both(people)
    connection = clients[0].seen[0]["connection"]
    await accepted(people, f"/v1/connections/{connection}/disconnect", reason="you")
    assert await clients[0].wait_closed() == (4004, "you")
    assert (await clients[1].call("ping"))["type"] == "pong"
    await clients[1].close()


@pytest.mark.parametrize("code", [3999, 4100, 1000, "4004", None, 4004.5])
async def test_a_code_outside_4000_to_4099_is_a_bad_request(people: People, code: object) -> None:
    answer = await people.call("POST", "/v1/users/nobody/disconnect", json={"code": code})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")


# ------------------------------------------------------------------------------------------------------------ revoke


async def test_a_revoked_token_closes_its_connections_on_every_gateway_with_4005(
    people: People,
) -> None:
    user = f"u-{secrets.token_hex(4)}"
    revoked, kept = await people.minted(user), await people.minted(user)
    lost = [await WireClient.open(people.ws(n), revoked) for n in (0, 1)]
    query = f"/ws/rooms/x?token={revoked}"
    lost.append(await WireClient.open(people.ws(path=query), auth=False))
    await lost[-1].expect("connected")
    async with await WireClient.open(people.ws(0), kept) as still:
        client = people.run["clients"][0]
        answer = await people.http.post(
            "/auth/revoke",
            data={"token": revoked},
            auth=(client["client_id"], client["client_secret"]),
        )
        assert answer.status_code == 200, answer.text
        for connection in lost:
            assert (await people.soon(connection.wait_closed(), 1.5))[0] == 4005
        assert (await still.call("ping"))["type"] == "pong"
    for gateway in (0, 1):
        again = await WireClient.open(people.ws(gateway), auth=False)
        await again.send({"type": "auth", "token": revoked})
        assert (await again.wait_closed())[0] == 4001


# -------------------------------------------------------------------------------------------------- what can be seen


async def test_subscribers_are_counted_over_the_fleet_within_a_second(people: People) -> None:
    channel = f"notify:{secrets.token_hex(6)}"
    topic = channel[7:]
    alice = [await people.connect("alice", gateway=n % 2) for n in range(3)]
    for client in alice:
        await client.subscribe(channel)
    await people.soon(people.counted(channel, 3), 3)
    assert (await people.publish(channel, 1))["subscribers"] == 3
    assert (await people.call("POST", f"/notify/{topic}", json={"a": 1})).json()["sent"] == 3
    page = (await people.call("GET", f"/v1/channels?prefix={channel}")).json()
    assert page["channels"] == [{"channel": channel, "subscribers": 3}]
    await alice[0].ok("unsubscribe", channel=channel)
    await alice[1].vanish()
    await people.soon(people.counted(channel, 1), 3)
    assert (await people.publish(channel, 1))["subscribers"] == 1
    await alice[0].close()
    await alice[2].close()
    await people.soon(people.counted(channel, 0), 3)
    page = (await people.call("GET", f"/v1/channels?prefix={channel}")).json()
    assert page["channels"] == []


async def test_nodes_tell_of_themselves(people: People) -> None:
    client = await people.connect("alice", gateway=0)
    name = client.seen[0]["node"]

    def has_beaten(nodes: list[dict[str, Any]]) -> bool:
        """Whether each has told of itself in time, and the client's what came with it.

        Where a test before has restarted the store, gateways are told twice until the leases of their former incarnations end.
        """
        mine = [n["connections"] and n["subscriptions"] >= 2 for n in nodes if n["node"] == name]
        once = len({node["node"] for node in nodes}) == len(nodes)
        return any(mine) and once and all(node["lag"] < 1 for node in nodes)

    async with asyncio.timeout(30):
        while not has_beaten(nodes := await people.nodes()):  # noqa: ASYNC110 - it beats by itself
            await asyncio.sleep(0.1)
    await client.close()
    assert len(nodes) == 2
    for node in nodes:
        assert set(node) == {
            "node",
            "connections",
            "accepted",
            "subscriptions",
            "lag",
            "version",
            "draining",
            "uptime",
        }
        assert not node["draining"]
