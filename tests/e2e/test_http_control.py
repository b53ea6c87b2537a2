"""Commands of the back end through the front door, to every kind of connection: native, plain route and event stream."""

from __future__ import annotations

import asyncio
import secrets

import pytest

from tests.support.event_stream import EventStream
from tests.support.people import People
from tests.support.problem_documents import problem
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
            assert await client.wait_closed(patience=1.5) == (4042, "out")
        async with asyncio.timeout(1.5):
            await stream.ended.wait()
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
        assert (await client.wait_closed(patience=1.5))[0] == 4004
        assert len(client.taken_or_not("direct")) == 1


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
    assert (await client.wait_closed(patience=2))[0] == 4001
    with pytest.raises(Closed):
        await client.expect("direct")
