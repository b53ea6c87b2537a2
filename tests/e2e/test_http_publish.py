"""Publishing over HTTP through the front door: one message, many, raw bytes."""

from __future__ import annotations

import asyncio
import base64
import secrets
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from tests.support.api_clients import add_client, token_of
from tests.support.people import People
from tests.support.problem_documents import problem
from tests.support.stack import Stack
from tests.support.wire import WireClient

KIB = 1024


def room() -> str:
    return f"room:{secrets.token_hex(6)}"


async def post(people: People, channel: str, **options: Any) -> httpx2.Response:
    return await people.call("POST", f"/v1/channels/{channel}/messages", **options)


async def batch(people: People, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    answer = await people.call("POST", "/v1/messages", json={"messages": messages})
    assert answer.status_code == 200, answer.text
    assert set(answer.json()) == {"results"}
    results: list[dict[str, Any]] = answer.json()["results"]
    return results


# --------------------------------------------------------------------------------------------------- one message


async def test_a_publish_answers_201_with_where_it_went_and_to_how_many(people: People) -> None:
    channel = room()
    async with await people.connect("alice") as alice:
        await alice.subscribe(channel)
        await people.counted(channel, 1)
        answer = await post(people, channel, json={"data": {"n": 1}, "tags": {"a": "b"}})
        body = answer.json()
        assert (answer.status_code, answer.headers["content-type"]) == (201, "application/json")
        assert set(body) == {"channel", "epoch", "offset", "duplicate", "subscribers"}
        assert (body["channel"], body["offset"]) == (channel, 1)
        assert (body["duplicate"], body["subscribers"]) == (False, 1)
        message = await alice.message(channel)
        assert set(message) == {"type", "channel", "data", "offset", "ts", "tags"}
        assert (message["data"], message["tags"], message["offset"]) == ({"n": 1}, {"a": "b"}, 1)


async def test_an_ephemeral_message_is_heard_and_kept_nowhere(people: People) -> None:
    channel = room()
    async with await people.connect("alice") as alice:
        await alice.subscribe(channel)
        for options in (
            {"json": {"data": "e", "ephemeral": True}},
            {"content": b"e", "params": {"ephemeral": "true"}},
        ):
            octets = {"content-type": "application/octet-stream"} if "content" in options else {}
            answer = await post(people, channel, **options, headers=octets)
            assert answer.status_code == 201, answer.text
            assert {"epoch", "offset"}.isdisjoint(answer.json())
            assert "offset" not in await alice.message(channel)
    page = (await people.call("GET", f"/v1/channels/{channel}/messages")).json()
    assert (page["messages"], page["offset"]) == ([], 0)


async def test_a_message_to_a_user_is_one_in_its_channel(people: People) -> None:
    user = f"u-{secrets.token_hex(4)}"
    answer = await people.call("POST", f"/v1/users/{user}/messages", json={"data": 1})
    assert (answer.status_code, answer.json()["channel"]) == (201, f"user:{user}")
    raw = {"content-type": "application/octet-stream"}
    answer = await people.call("POST", f"/v1/users/{user}/messages", content=b"\0", headers=raw)
    assert (answer.status_code, answer.json()["offset"]) == (201, 2)


# ------------------------------------------------------------------------------------------------------- raw bytes


async def test_raw_bytes_are_base64_to_json_readers_and_bytes_to_messagepack_readers(
    people: People,
) -> None:
    channel, raw = room(), bytes(range(256))
    token = await people.token("alice")
    async with (
        await WireClient.open(people.ws(0), token) as text,
        await WireClient.open(people.ws(1), token, binary=True) as packed,
    ):
        await text.subscribe(channel)
        await packed.subscribe(channel)
        answer = await post(
            people,
            channel,
            content=raw,
            params={"key": "k+1"},
            headers={"content-type": "application/octet-stream"},
        )
        assert answer.status_code == 201, answer.text
        seen = await text.message(channel)
        assert (seen["encoding"], base64.b64decode(seen["data"])) == ("base64", raw)
        assert seen["key"] == "k+1"
        seen = await packed.message(channel)
        assert (seen["data"], "encoding" in seen) == (raw, False)
    page = (await people.call("GET", f"/v1/channels/{channel}/messages")).json()
    assert page["messages"][0]["encoding"] == "base64"
    assert base64.b64decode(page["messages"][0]["data"]) == raw


# -------------------------------------------------------------------------------------------------- sizes and names


async def test_a_message_is_at_most_64_kib_and_a_body_one_mebibyte(people: People) -> None:
    channel = room()
    raw = {"content-type": "application/octet-stream"}
    fits = await post(people, channel, content=b"x" * 64 * KIB, headers=raw)
    assert fits.status_code == 201
    for options in (
        {"content": b"x" * (64 * KIB + 1), "headers": raw},
        {"json": {"data": "x" * 64 * KIB}},
        {"content": b"x" * (KIB * KIB + 1), "headers": raw},
    ):
        problem(await post(people, channel, **options), 413, "too_large")
    large: list[dict[str, Any]] = [
        {"channel": channel, "data": "x" * 64 * KIB},
        {"channel": channel, "data": 1},
    ]
    assert [(r["status"], r.get("code")) for r in await batch(people, large)] == [
        (413, "too_large"),
        (201, None),
    ]

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(17):
            yield b"x" * 64 * KIB

    problem(await post(people, channel, content=chunks(), headers=raw), 413, "too_large")


@pytest.mark.parametrize(
    "written", ["a+b", "a%2Bb", "a.b:c@d|e=f-g_h", "a.b:c%40d%7Ce%3Df-g_h", "x" * 200]
)
async def test_names_of_the_whole_grammar_in_plain_and_percent_encoded(
    people: People, written: str
) -> None:
    prefix = f"room:{secrets.token_hex(3)}"
    name = f"{prefix}{httpx2.URL('http://x/' + written).path[1:]}"[:205]
    path = f"/v1/channels/{prefix}{written}"[: 205 + 13]
    body = {"data": 1}
    answer = await people.call("POST", f"{path}/messages", json=body)
    assert (answer.status_code, answer.json()["channel"]) == (201, name)
    async with await people.connect("alice") as alice:
        assert (await alice.subscribe(name))["offset"] == 1


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("nope:x", 404, "unknown_namespace"),
        ("room:a%2Fb", 400, "bad_request"),
        ("room:a%00", 400, "bad_request"),
    ],
)
async def test_a_bad_channel_is_named(people: People, name: str, status: int, code: str) -> None:
    for method, what in (("POST", "messages"), ("GET", "messages"), ("GET", "presence")):
        body = {"json": {"data": 1}} if method == "POST" else {}
        answer = await people.call(method, f"/v1/channels/{name}/{what}", **body)
        problem(answer, status, code)
    problem(await people.call("DELETE", f"/v1/channels/{name}/messages"), status, code)


# ------------------------------------------------------------------------------------------------ many at once


async def test_a_thousand_messages_arrive_in_their_order(people: People) -> None:
    channel = room()
    async with await people.connect("alice") as alice:
        await alice.subscribe(channel)
        results = await batch(people, [{"channel": channel, "data": n} for n in range(1000)])
        assert [r["offset"] for r in results] == list(range(1, 1001))
        seen = await alice.messages(channel, 1000)
        assert [(m["offset"], m["data"]) for m in seen] == [(n + 1, n) for n in range(1000)]


async def test_a_broadcast_reaches_each_channel_that_can_be(people: People) -> None:
    channels = [room(), "nope:x", f"live:{secrets.token_hex(3)}", room()]
    async with await people.connect("alice") as alice:
        good = [name for name in channels if name != "nope:x"]
        for name in good:
            await alice.subscribe(name)
        body = {"channels": channels, "data": {"all": 1}, "key": "k"}
        answer = await people.call("POST", "/v1/broadcast", json=body)
        results = answer.json()["results"]
        assert (answer.status_code, [r["channel"] for r in results]) == (200, channels)
        assert [r["status"] for r in results] == [201, 404, 201, 201]
        assert results[1]["code"] == "unknown_namespace"
        for name in good:
            assert (await alice.message(name))["data"] == {"all": 1}
        again = (await people.call("POST", "/v1/broadcast", json=body)).json()["results"]
        assert [r.get("duplicate") for r in again] == [True, None, True, True]


async def test_public_all_reaches_everyone_with_and_without_a_token(people: People) -> None:
    async with (
        await people.connect("alice", gateway=0) as alice,
        await WireClient.open(people.ws(1)) as stranger,
    ):
        mark = secrets.token_hex(4)
        await people.publish("public:all", mark)
        for client in (alice, stranger):
            await client.expect("message", where=lambda e: e["data"] == mark)


async def test_a_client_is_limited_when_its_record_says_so(people: People, stack: Stack) -> None:
    slow = [stack.bearer(token_of(stack, add_client(stack, "publish read", rate=3))) for _ in "ab"]
    path = f"/v1/channels/{room()}/messages"

    async def broadcast(count: int, headers: dict[str, str]) -> None:
        many = {"channels": [room() for _ in range(count)], "data": 1}
        answer = await people.http.post("/v1/broadcast", json=many, headers=headers)
        assert answer.status_code == 200

    began = time.monotonic()
    await broadcast(90, slow[0])
    for method, body in (("POST", {"json": {"data": 1}}), ("GET", {})):
        answer = await people.http.request(method, path, headers=slow[0], **body)
        refusal = problem(answer, 429, "rate_limited")
        # Ninety messages are thirty seconds' worth, of which one was at hand; and one for this call.
        assert 88 / 3 - (time.monotonic() - began) - 0.1 < refusal["retry_after"] <= 88 / 3
    await broadcast(9, slow[1])
    await asyncio.sleep(7 / 3)
    answer = await people.http.post(path, json={"data": 1}, headers=slow[1])
    assert answer.status_code == 201
    assert (await post(people, room(), json={"data": 1})).status_code == 201
