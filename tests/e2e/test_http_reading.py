"""Reading over HTTP through the front door: histories, dropping them, presence, channels, gateways."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

from services.kernel.broker.port import Beat, Member
from services.kernel.broker.redis.broker import RedisBroker
from tests.support.api_clients import add_client, token_of
from tests.support.event_stream import EventStream
from tests.support.people import People
from tests.support.problem_documents import problem
from tests.support.stack import Stack
from tests.support.wire import WireClient


def room() -> str:
    return f"room:{secrets.token_hex(6)}"


async def history(people: People, channel: str, **query: Any) -> dict[str, Any]:
    answer = await people.call("GET", f"/v1/channels/{channel}/messages", params=query)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    assert set(body) == {"messages", "epoch", "offset", "more"}
    return body


async def fill(people: People, channel: str, count: int) -> str:
    """Publish 1, 2, ...; the channel's epoch."""
    messages = [{"channel": channel, "data": n} for n in range(1, count + 1)]
    answer = await people.call("POST", "/v1/messages", json={"messages": messages})
    epoch: str = answer.json()["results"][0]["epoch"]
    return epoch


def data(page: dict[str, Any]) -> list[Any]:
    assert all(m["data"] == m["offset"] for m in page["messages"])
    return [m["data"] for m in page["messages"]]


# ------------------------------------------------------------------------------------------------------- history


async def test_a_history_is_read_in_pages_forward_and_back(people: People) -> None:
    channel = room()
    epoch = await fill(people, channel, 120)
    page = await history(people, channel)
    assert data(page) == list(range(1, 101))
    assert (page["epoch"], page["offset"], page["more"]) == (epoch, 120, True)
    page = await history(people, channel, since=f"{epoch}:100")
    assert (data(page), page["more"]) == (list(range(101, 121)), False)
    page = await history(people, channel, since=f"{epoch}:120")
    assert (data(page), page["more"]) == ([], False)
    page = await history(people, channel, reverse="true", limit=3)
    assert (data(page), page["more"]) == ([120, 119, 118], True)
    page = await history(people, channel, reverse="1", since=f"{epoch}:3", limit=500)
    assert (data(page), page["more"]) == ([2, 1], False)


async def test_what_a_member_wrote_names_it_and_what_came_over_http_does_not(
    people: People,
) -> None:
    channel = room()
    async with await people.connect("alice") as alice:
        await alice.subscribe(channel)
        await alice.ok("publish", channel=channel, data="socket", key="k")
    await people.publish(channel, "http", tags={"t": "1"})
    written, posted = (await history(people, channel))["messages"]
    assert set(written) == {"data", "offset", "ts", "from", "key"}
    assert (written["from"], written["key"]) == ("alice", "k")
    assert set(posted) == {"data", "offset", "ts", "tags"}


# ----------------------------------------------------------------------------------------------------------- drop


async def test_a_dropped_history_goes_on_counting_in_a_new_epoch_and_subscribers_are_reset(
    people: People,
) -> None:
    channel = room()
    old = await fill(people, channel, 3)
    token = await people.token("alice")
    async with (
        await people.connect("alice", gateway=0) as alice,
        await people.connect("bob", gateway=1) as bob,
        EventStream.open(
            people.http, "/sse", params={"channel": channel, "token": token}
        ) as stream,
    ):
        await stream.next("subscribed")
        for client in (alice, bob):
            await client.subscribe(channel)
        answer = await people.call("DELETE", f"/v1/channels/{channel}/messages")
        assert answer.status_code == 200
        dropped = answer.json()
        assert (dropped["channel"], dropped["offset"]) == (channel, 3)
        assert dropped["epoch"] != old
        for client in (alice, bob):
            reset = await people.soon(client.expect("reset"), 3)
            assert (reset["epoch"], reset["offset"]) == (dropped["epoch"], 3)
            assert set(reset) == {
                *("type", "channel", "epoch", "offset", "began", "reason", "within")
            }
        assert (await stream.next("reset")).data["epoch"] == dropped["epoch"]
        assert (await people.publish(channel, 4))["offset"] == 4
        for client in (alice, bob):
            assert (await client.message(channel))["offset"] == 4
        await alice.ok("unsubscribe", channel=channel)
        returned = await alice.subscribe(channel, since={"epoch": old, "offset": 3})
        assert returned["recovered"] is False
    page = await history(people, channel)
    assert (data(page), page["epoch"]) == ([4], dropped["epoch"])


# ------------------------------------------------------------------------------------------------------- presence


async def test_members_are_who_is_there_now(people: People) -> None:
    channel = room()
    path = f"/v1/channels/{channel}/presence"
    nobody = (await people.call("GET", path)).json()
    assert nobody == {"members": [], "count": 0, "users": 0, "cursor": None}
    token = await people.minted("carol", info={"name": "Carol"})
    clients = [await WireClient.open(people.ws(n), token) for n in (0, 1)]
    for client in clients:
        await client.subscribe(channel)
    body = (await people.call("GET", path)).json()
    assert (body["count"], body["users"], body["cursor"]) == (2, 1, None)
    ids = {client.seen[0]["connection"] for client in clients}
    assert {member["connection"] for member in body["members"]} == ids
    for member in body["members"]:
        assert set(member) == {"user", "connection", "info", "since"}
        assert (member["user"], member["info"]) == ("carol", {"name": "Carol"})
    for client in clients:
        await client.close()

    async def all_have_left() -> None:
        while (await people.call("GET", path)).json() != nobody:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.02)

    async with asyncio.timeout(30):
        await people.soon(all_have_left(), 3)


async def test_presence_of_more_than_a_thousand_comes_in_pages(people: People) -> None:
    channel = room()
    broker = RedisBroker(people.run["redis"], lease=30)
    await broker.start()
    try:
        await broker.beat(0, Beat(incarnation="crowd", node=b'{"node":"crowd"}'))
        for first in range(0, 1001, 50):
            members = [
                Member(user=f"u{n % 500}", connection=f"c{n}", info=b"", since=1)
                for n in range(first, min(first + 50, 1001))
            ]
            await asyncio.gather(
                *(broker.enter(channel, member, "crowd", announce=False) for member in members)
            )
        path = f"/v1/channels/{channel}/presence"
        found: list[str] = []
        cursor: str | None = ""
        for size in (1000, 1):
            page = (await people.call("GET", path, params={"cursor": cursor})).json()
            assert (page["count"], page["users"], len(page["members"])) == (1001, 500, size)
            found += [member["connection"] for member in page["members"]]
            cursor = page["cursor"]
        assert cursor is None
        assert sorted(found) == sorted(f"c{n}" for n in range(1001))
        for bad in ("x" * 1025, "x=1&cursor=y"):
            answer = await people.call("GET", f"{path}?cursor={bad}")
            problem(answer, 400, "bad_request")
    finally:
        await broker.resign("crowd")
        await broker.close()


# ------------------------------------------------------------------------------------------------------- channels


async def test_channels_that_have_subscribers_come_in_pages_by_name(
    people: People, stack: Stack
) -> None:
    prefix = f"live:{secrets.token_hex(3)}+"
    names = [f"{prefix}{n:04}" for n in range(1045)]
    clients = []
    for group in range(11):
        user = await people.minted(f"many-{group}")
        client = await WireClient.open(people.ws(group % 2), user)
        clients.append(client)
        for name in names[group * 95 : group * 95 + 95]:
            await client.send({"type": "subscribe", "channel": name})
        await client.call("ping")
    await people.counted(prefix, len(names))
    found: list[dict[str, Any]] = []
    cursor = None
    for size in (1000, 45):
        query = {"prefix": prefix} | ({"cursor": cursor} if cursor else {})
        page = (await people.call("GET", "/v1/channels", params=query)).json()
        assert set(page) == {"channels", "cursor"}
        assert len(page["channels"]) == size
        found += page["channels"]
        cursor = page["cursor"]
    assert cursor is None
    assert found == [{"channel": name, "subscribers": 1} for name in names]
    limited = token_of(stack, add_client(stack, "read", {f"{names[0]}*": ["history"]}))
    headers = {"authorization": f"Bearer {limited}"}
    page = (await people.call("GET", "/v1/channels", headers=headers)).json()
    assert [entry["channel"] for entry in page["channels"]] == [names[0]]
    for client in clients:
        await client.close()


async def test_the_gateways_are_listed(people: People) -> None:
    answer = await people.call("GET", "/v1/nodes")
    assert (answer.status_code, set(answer.json())) == (200, {"nodes"})
    nodes = {node["node"]: node for node in answer.json()["nodes"]}
    assert {"gateway-1", "gateway-2"} <= set(nodes)
    for name in ("gateway-1", "gateway-2"):
        node = nodes[name]
        assert isinstance(node["connections"], int)
        assert isinstance(node["subscriptions"], int)
        assert node["lag"] >= 0
        assert (node["draining"], bool(node["version"])) == (False, True)
        assert node["uptime"] > 0
