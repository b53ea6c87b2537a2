"""Server-Sent Events: the same channels on one HTTP response, recovered through the id of the last event."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.support.event_stream import PATIENCE, EventStream
from tests.support.people import People


def room() -> str:
    return f"room:{secrets.token_hex(6)}"


@asynccontextmanager
async def stream(
    people: People, *channels: str, gateway: int | None = None, **options: Any
) -> AsyncIterator[EventStream]:
    """Alice's stream of channels; `cursor`, and `last` for the header that a browser sends."""
    query: dict[str, Any] = {"channel": channels, "token": await people.token("alice")}
    headers = {}
    if "cursor" in options:
        query["cursor"] = options["cursor"]
    if "last" in options:
        headers["last-event-id"] = options["last"]
    base = people.front_door if gateway is None else people.run["gateways"][gateway]
    async with EventStream.open(
        people.http, f"{base}/sse", params=query, headers=headers
    ) as opened:
        yield opened


async def test_a_stream_begins_with_a_hint_and_subscribed_for_each_channel(
    people: People,
) -> None:
    one, two = room(), "notify:" + secrets.token_hex(6)
    async with stream(people, one, two) as opened:
        assert opened.response.headers["content-type"].startswith("text/event-stream")
        assert opened.response.headers["cache-control"].startswith("no-store")
        assert opened.response.headers["x-content-type-options"] == "nosniff"
        first, second = [await opened.next("subscribed") for _ in "ab"]
        assert 1000 <= int(first.fields["retry"]) < 3000
        assert "retry" not in second.fields
        blocks = {b.data["channel"]: b for b in (first, second)}
    assert set(blocks) == {one, two}
    assert set(blocks[two].data) == {"type", "channel", "epoch", "offset"}
    assert set(blocks[one].data) == {"type", "channel", "epoch", "offset", "count"}
    assert blocks[one].data["type"] == "subscribed"


async def test_an_event_is_the_native_message_and_comes_at_once(people: People) -> None:
    channel = room()
    async with (
        stream(people, channel) as opened,
        await people.connect("bob") as bob,
    ):
        await opened.next("subscribed")
        await bob.subscribe(channel)
        assert (await people.soon(opened.next("join"), 1)).data["user"] == "bob"
        await bob.send({"type": "typing", "channel": channel})
        assert (await people.soon(opened.next("typing"), 1)).data["user"] == "bob"
        for data in ("text", {"a": "line\nbreak\r\u2028"}, None):
            await bob.ok("publish", channel=channel, data=data)
            native = await bob.message(channel)
            block = await people.soon(opened.next("message"), 1)
            assert block.data == native
            assert block.id
        raw = {"content-type": "application/octet-stream"}
        path = f"/v1/channels/{channel}/messages"
        await people.call("POST", path, content=b"\x00\xff", headers=raw)
        block = await opened.next("message")
        assert (block.data["data"], block.data["encoding"]) == ("AP8=", "base64")
        await people.publish(channel, {"pretty": [1, {"x": 2}]}, ephemeral=True)
        block = await opened.next("message")
        assert (block.id, "offset" in block.data) == ("", False)


@pytest.mark.parametrize("how", ["last", "cursor"])
async def test_the_last_id_recovers_every_channel_on_the_other_gateway(
    people: People, how: str
) -> None:
    one, two = room(), room()
    async with stream(people, one, two, gateway=0) as opened:
        await opened.next("subscribed")
        await opened.next("subscribed")
        await people.publish(one, 1)
        first = await opened.next("message")
        await people.publish(two, "a")
        last = await opened.next("message")
    assert first.id != last.id
    for n in (2, 3):
        await people.publish(one, n)
        await people.publish(two, f"b{n}")
    async with stream(people, one, two, gateway=1, **{how: last.id}) as opened:
        starts = [await opened.next("subscribed") for _ in "ab"]
        assert [(b.data["recovered"], b.data["offset"]) for b in starts] == [(True, 1), (True, 1)]
        got = [await opened.next("message") for _ in range(4)]
        await people.publish(one, "live")
        assert (await opened.next("message")).data["data"] == "live"
    for channel, data in ((one, [2, 3]), (two, ["b2", "b3"])):
        mine = [b.data for b in got if b.data["channel"] == channel]
        assert [(m["data"], m["offset"]) for m in mine] == list(zip(data, (2, 3), strict=True))
    # Each id on the way recovers exactly from there.
    async with stream(people, one, two, cursor=got[1].id) as opened:
        offsets = {
            b.data["channel"]: b.data["offset"]
            for b in [await opened.next("subscribed") for _ in "ab"]
        }
        assert sum(offsets.values()) == 4


async def test_what_cannot_be_recovered_says_so(people: People) -> None:
    channel = room()
    async with stream(people, channel) as opened:
        before = (await opened.next("subscribed")).id
    await people.publish(channel, 1)
    await people.call("DELETE", f"/v1/channels/{channel}/messages")
    async with stream(people, channel, cursor=before) as opened:
        start = (await opened.next("subscribed")).data
        assert start["recovered"] is False
        assert (start["offset"], "began" in start) == (1, True)
        await people.publish(channel, 2)
        assert (await opened.next("message")).data["offset"] == 2
        await people.call("DELETE", f"/v1/channels/{channel}/messages")
        reset = await opened.next("reset")
        assert set(reset.data) == {
            "type",
            "channel",
            "epoch",
            "offset",
            "began",
            "reason",
            "within",
        }
    async with stream(people, channel, cursor=reset.id) as opened:
        assert (await opened.next("subscribed")).data["recovered"] is True


async def test_a_channel_that_is_new_to_the_cursor_begins_now(people: People) -> None:
    old, new = room(), room()
    async with stream(people, old) as opened:
        cursor = (await opened.next("subscribed")).id
    async with stream(people, old, new, cursor=cursor) as opened:
        starts = [(await opened.next("subscribed")).data for _ in "ab"]
    recovered = {start["channel"]: start.get("recovered") for start in starts}
    assert recovered == {old: True, new: None}


async def test_a_refused_channel_beside_a_good_one_is_a_problem_event(people: People) -> None:
    good = room()
    async with stream(people, good, "user:bob", "nowhere:x", "bad") as opened:
        problems = [(await opened.next("problem")).data for _ in range(3)]
        assert [p["code"] for p in problems] == ["forbidden", "unknown_namespace", "bad_request"]
        assert all(set(p) == {"type", "code", "message", "temporary"} for p in problems)
        assert "user:bob" in problems[0]["message"]
        await people.publish(good, "still")
        assert (await opened.next("message")).data["data"] == "still"


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("", 400, "bad_request"),
        ("channel=", 400, "bad_request"),
        ("channel=lobby", 400, "bad_request"),
        ("channel=nowhere:x", 404, "unknown_namespace"),
        ("channel=user:bob", 403, "forbidden"),
        ("channel=public:all&cursor=nonsense", 400, "bad_request"),
        ("channel=public:all&cursor=" + "x" * 9000, 400, "bad_request"),
        ("&".join(f"channel=public:{n}" for n in range(101)), 422, "limit_exceeded"),
        ("&".join(f"channel=public:{n:0200}" for n in range(60)), 422, "limit_exceeded"),
    ],
)
async def test_what_can_never_be_a_stream_is_a_problem_document(
    people: People, query: str, status: int, code: str
) -> None:
    headers = {"authorization": f"Bearer {await people.token('alice')}"}
    answer = await people.http.get(f"/sse?{query}", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_an_event_source_is_refused_by_an_event(people: People) -> None:
    headers = {"accept": "text/event-stream", "last-event-id": ""}
    url = "/sse?channel=user:bob"
    async with EventStream.open(people.http, url, headers=headers) as opened:
        block = await opened.next()
        assert (block.event, block.data["code"]) == ("problem", "forbidden")
        assert 1000 <= int(block.fields["retry"]) <= 2000
        await opened.ended.wait()
    headers["last-event-id"] = block.id
    answer = await people.http.get(url, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


async def test_head_joins_nothing(people: People) -> None:
    channel = room()
    async with stream(people, channel) as opened:
        await opened.next("subscribed")
        query = {"channel": channel, "token": await people.token("bob")}
        answer = await people.http.head("/sse", params=query)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert "content-length" not in answer.headers
        answer = await people.http.head("/sse", params={"channel": "nowhere:x"})
        assert answer.status_code == 404
        await people.publish(channel, "next")
        assert (await opened.next()).event == "message", "somebody joined"


async def test_other_methods_are_refused(people: People) -> None:
    answer = await people.http.put("/sse?channel=public:all")
    assert (answer.status_code, answer.json()["code"]) == (405, "bad_request")


async def test_authorization_works_and_channels_may_be_repeated(people: People) -> None:
    headers = {"authorization": f"Bearer {await people.token('alice')}"}
    channel = room()
    url = f"/sse?channel={channel}&channel={channel}"
    async with EventStream.open(people.http, url, headers=headers) as opened:
        await opened.next("subscribed")
        await people.publish(channel, 1)
        assert (await opened.next()).event in ("join", "message")


async def test_the_back_end_can_add_and_end_a_channel_and_end_the_stream(people: People) -> None:
    channel, other = room(), room()
    user = f"u-{secrets.token_hex(4)}"
    query = {"channel": channel, "token": await people.minted(user)}
    async with EventStream.open(people.http, "/sse", params=query) as opened:
        await opened.next("subscribed")
        await people.call("POST", f"/v1/users/{user}/subscribe", json={"channel": other})
        assert (await opened.next("subscribed")).data["channel"] == other
        await people.publish(other, "added")
        assert (await opened.next("message")).data["data"] == "added"
        await people.call("POST", f"/v1/users/{user}/unsubscribe", json={"channel": other})
        assert (await opened.next("unsubscribed")).data["channel"] == other
        await people.call("POST", f"/v1/users/{user}/disconnect")
        async with asyncio.timeout(PATIENCE):
            await people.soon(opened.ended.wait(), 2)


async def test_a_reader_that_leaves_is_no_subscriber_any_more(people: People) -> None:
    channel = "notify:" + secrets.token_hex(6)
    async with stream(people, channel) as opened:
        await opened.next("subscribed")
        await people.counted(channel, 1)
        assert (await people.publish(channel, 1))["subscribers"] == 1
    await people.counted(channel, 0)
    assert (await people.publish(channel, 2))["subscribers"] == 0


async def test_an_allowed_origin_gets_cors_headers_and_another_none(people: People) -> None:
    for origin, allowed in (("http://localhost:5173", True), ("https://evil.example", False)):
        async with people.http.stream(
            "GET", "/sse?channel=public:all", headers={"origin": origin}
        ) as answer:
            assert answer.headers.get("access-control-allow-origin") == (
                origin if allowed else None
            )
