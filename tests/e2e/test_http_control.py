"""Commands of the back end through the front door, to every kind of connection: native, plain route and event stream."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from typing import Any

import pytest

from tests.support.event_stream import PATIENCE, EventStream
from tests.support.listener import Listener
from tests.support.people import People
from tests.support.problem_documents import problem
from tests.support.stack import Stack
from tests.support.wire import Closed, WireClient


def name() -> str:
    return f"u-{secrets.token_hex(4)}"


async def test_disconnecting_a_user_ends_every_kind_of_its_connections(people: People) -> None:
    user = name()
    token = await people.minted(user)
    native = await WireClient.open(people.ws(0), token)
    packed = await WireClient.open(people.ws(1), token, binary=True)
    plain = await WireClient.open(people.ws(1, f"/ws/rooms/{user}?token={token}"), auth=False)
    query = {"channel": "public:all", "token": token}
    async with (
        await WireClient.open(people.ws(0), await people.minted(name())) as other,
        EventStream.open(people.http, "/sse", params=query) as stream,
    ):
        await stream.next("subscribed")
        await plain.expect("connected")
        how = {"code": 4042, "reason": "out"}
        answer = await people.call("POST", f"/v1/users/{user}/disconnect", json=how)
        assert answer.status_code == 202
        for client in (native, packed, plain):
            assert await people.soon(client.wait_closed(), 1.5) == (4042, "out")
        async with asyncio.timeout(PATIENCE):
            await people.soon(stream.ended.wait(), 1.5)
        assert (await other.call("ping"))["type"] == "pong"


async def test_a_connection_is_told_and_closed_by_its_id_wherever_it_is(people: People) -> None:
    user = name()
    token = await people.minted(user)
    clients = [await WireClient.open(people.ws(n), token) for n in (0, 1)]
    for number, client in enumerate(clients):
        path = f"/v1/connections/{client.seen[0]['connection']}"
        answer = await people.call("POST", f"{path}/messages", json={"data": {"n": number}})
        assert (answer.status_code, answer.headers["content-type"]) == (202, "application/json")
        assert (await client.expect("direct"))["data"] == {"n": number}
        answer = await people.call("POST", f"{path}/disconnect")
        assert answer.status_code == 202
        assert (await people.soon(client.wait_closed(), 1.5))[0] == 4004
        assert len(client.taken_or_not("direct")) == 1


async def test_a_gateway_that_is_drained_by_name_gives_its_clients_to_the_others_and_nothing_is_lost(
    people: People, stack: Stack
) -> None:
    channel = f"room:{secrets.token_hex(6)}"
    tokens = [await people.minted(name()) for _ in range(12)]
    async with contextlib.AsyncExitStack() as opened:
        clients = [
            await opened.enter_async_context(
                Listener(people.ws(), lambda token=token: token, channel)
            )
            for token in tokens
        ]
        there = await nodes(people)
        async with asyncio.timeout(60):  # told with the next heartbeats
            while sum(node["connections"] for node in there.values()) < len(clients):
                await asyncio.sleep(0.1)
                there = await nodes(people)
        # Whoever has most of the twelve; the ring of a few clients may leave one gateway with none.
        drained = max(there, key=lambda node: there[node]["connections"])
        published: list[int] = []
        try:
            answer = await people.call("POST", f"/v1/nodes/{drained}/drain")
            assert answer.status_code == 202
            had = answer.json()["connections"]
            assert (answer.json()["node"], had >= 6) == (drained, True)
            async with asyncio.timeout(60):
                while (now := (await nodes(people))[drained])["connections"]:
                    await people.publish(channel, len(published))
                    published.append(len(published))
                    await asyncio.sleep(0.1)
            assert now["draining"]
            assert not stack.is_ready(drained)
            again = await people.call("POST", f"/v1/nodes/{drained}/drain")
            assert (again.status_code, again.json()["connections"]) == (202, 0)
            (other,) = there.keys() - {drained}
            problem(await people.call("POST", f"/v1/nodes/{other}/drain"), 409, "conflict")
            await people.publish(channel, len(published))
            published.append(len(published))
            for client in clients:
                await client.until(lambda client=client: client.data() == published)
                assert (client.holes, client.flagged, client.errors) == ([], 0, [])
            assert sum(client.connections == 2 for client in clients) >= 6
        finally:
            answer = await people.call("DELETE", f"/v1/nodes/{drained}/drain")
        assert (answer.status_code, answer.json()) == (202, {"node": drained, "connections": 0})
        await asyncio.to_thread(stack.wait_ready, drained)
        direct = people.ws(int(drained.partition("-")[2]) - 1)
        async with await WireClient.open(direct, tokens[0]) as client:
            assert client.seen[0]["node"] == drained


async def nodes(people: People) -> dict[str, dict[str, Any]]:
    return {node["node"]: node for node in await people.nodes()}


async def test_who_is_not_there_is_accepted_all_the_same(people: People) -> None:
    for path, body in (
        ("/v1/users/nobody/disconnect", {}),
        ("/v1/connections/none/disconnect", {}),
        ("/v1/connections/none/messages", {"data": 1}),
        ("/v1/users/nobody/subscribe", {"channel": "room:a"}),
        ("/v1/users/nobody/unsubscribe", {"channel": "room:a"}),
    ):
        assert (await people.call("POST", path, json=body)).status_code == 202


async def test_a_user_name_of_the_whole_grammar_in_plain_and_percent_encoded(
    people: People,
) -> None:
    user = f"Ab.c:d@e|f=g+h-{secrets.token_hex(3)}"
    client = await WireClient.open(people.ws(), await people.minted(user))
    assert client.seen[0]["user"] == user
    for written in (user, user.replace("+", "%2B").replace("|", "%7C").replace("@", "%40")):
        answer = await people.call("POST", f"/v1/users/{written}/messages", json={"data": 1})
        assert answer.json()["channel"] == f"user:{user}"
        await client.message(f"user:{user}")
    assert (await people.call("POST", f"/v1/users/{user}/disconnect")).status_code == 202
    assert (await client.wait_closed())[0] == 4004


@pytest.mark.parametrize("user", ["a%2Fb", "a/b", "%C3%BC"])
async def test_a_bad_user_or_connection_is_named(people: People, user: str) -> None:
    for path in (
        f"/v1/users/{user}/disconnect",
        f"/v1/users/{user}/subscribe",
        f"/v1/users/{user}/messages",
        f"/v1/connections/{user}/disconnect",
        f"/v1/connections/{user}/messages",
    ):
        answer = await people.call("POST", path, json={"data": 1, "channel": "room:a"})
        problem(answer, 400, "bad_request")


async def test_a_bad_disconnect_closes_nothing(people: People) -> None:
    user = name()
    async with await WireClient.open(people.ws(), await people.minted(user)) as client:
        answer = await people.call("POST", f"/v1/users/{user}/disconnect", json={"code": 3999})
        problem(answer, 400, "bad_request")
        text = {"content": b"bye", "headers": {"content-type": "text/plain"}}
        answer = await people.call("POST", f"/v1/users/{user}/disconnect", **text)
        problem(answer, 415, "bad_request")
        assert (await client.call("ping"))["type"] == "pong"


async def test_commands_reach_a_connection_in_the_middle_of_a_storm(people: People) -> None:
    """Traffic of its channels does not hold up a disconnect."""
    user = name()
    channel = f"live:{user}"
    client = await WireClient.open(people.ws(1), await people.minted(user))
    await client.subscribe(channel)
    messages = {"messages": [{"channel": channel, "data": "x" * 500}] * 1000}
    await people.call("POST", "/v1/messages", json=messages)
    await people.call("POST", f"/v1/users/{user}/disconnect", json={"code": 4001})
    assert (await people.soon(client.wait_closed(), 2))[0] == 4001
    with pytest.raises(Closed):
        await client.expect("direct")
