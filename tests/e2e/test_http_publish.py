"""Publishing over HTTP through the front door: one message, many, raw bytes; keys and expectations."""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from tests.support.api_clients import add_client, demo_client, token_of
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
        await asyncio.sleep(1)
        answer = await post(people, channel, json={"data": {"n": 1}, "tags": {"a": "b"}})
        body = answer.json()
        assert (answer.status_code, answer.headers["content-type"]) == (201, "application/json")
        assert set(body) == {"channel", "epoch", "offset", "duplicate", "subscribers"}
        assert (body["channel"], body["offset"]) == (channel, 1)
        assert (body["duplicate"], body["subscribers"]) == (False, 1)
        message = await alice.message(channel)
        assert set(message) == {"type", "channel", "data", "offset", "ts", "tags"}
        assert (message["data"], message["tags"], message["offset"]) == ({"n": 1}, {"a": "b"}, 1)


@pytest.mark.parametrize(
    "data", [None, True, 0, -(2**63), 2**64 - 1, 1.5, "", "ünï 🦊", [], {"a": [{}]}]
)
async def test_data_is_any_json_value(people: People, data: Any) -> None:
    channel = room()
    assert (await post(people, channel, json={"data": data})).status_code == 201
    page = (await people.call("GET", f"/v1/channels/{channel}/messages")).json()
    assert page["messages"][0]["data"] == data


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


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
async def test_any_other_type_is_415_and_names_the_two(people: People, kind: str | None) -> None:
    headers = {"content-type": kind} if kind else {}
    detail = problem(
        await post(people, room(), content=b'{"data":1}', headers=headers), 415, "bad_request"
    )["detail"]
    assert "application/json" in detail
    assert "application/octet-stream" in detail


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
        ("room", 400, "bad_request"),
        ("room:", 400, "bad_request"),
        ("room:a%2Fb", 400, "bad_request"),
        ("room:a%20b", 400, "bad_request"),
        ("room:%C3%BC", 400, "bad_request"),
        ("room:%FF", 400, "bad_request"),
        ("room:a%00", 400, "bad_request"),
        ("Room:a", 400, "bad_request"),
        ("room:" + "x" * 201, 400, "bad_request"),
        ("n" * 33 + ":x", 400, "bad_request"),
    ],
)
async def test_a_bad_channel_is_named(people: People, name: str, status: int, code: str) -> None:
    for method, what in (("POST", "messages"), ("GET", "messages"), ("GET", "presence")):
        body = {"json": {"data": 1}} if method == "POST" else {}
        answer = await people.call(method, f"/v1/channels/{name}/{what}", **body)
        problem(answer, status, code)
    problem(await people.call("DELETE", f"/v1/channels/{name}/messages"), status, code)


# ------------------------------------------------------------------------------------------------ keys, expectations


async def test_a_key_counts_for_one_caller_and_one_channel(people: People, stack: Stack) -> None:
    channel, other = room(), room()
    first = (await post(people, channel, json={"data": 1, "key": "k"})).json()
    again = await post(people, channel, json={"data": 2, "key": "k"})
    assert again.status_code == 201
    assert again.json() == {**first, "duplicate": True}
    raw = {"content-type": "application/octet-stream"}
    again = await post(people, channel, content=b"3", params={"key": "k"}, headers=raw)
    assert (again.json()["offset"], again.json()["duplicate"]) == (1, True)
    assert (await post(people, other, json={"data": 1, "key": "k"})).json()["duplicate"] is False
    stranger = {"authorization": f"Bearer {token_of(stack, add_client(stack, 'publish'))}"}
    theirs = await post(people, channel, json={"data": 3, "key": "k"}, headers=stranger)
    assert (theirs.json()["offset"], theirs.json()["duplicate"]) == (2, False)
    page = (await people.call("GET", f"/v1/channels/{channel}/messages")).json()
    assert [(m["data"], m["key"]) for m in page["messages"]] == [(1, "k"), (3, "k")]


async def test_of_many_at_once_with_one_key_one_is_stored(people: People) -> None:
    channel = room()
    answers = await asyncio.gather(
        *(post(people, channel, json={"data": n, "key": "k"}) for n in range(20))
    )
    assert sorted(answer.json()["duplicate"] for answer in answers) == [False] + [True] * 19
    assert {answer.json()["offset"] for answer in answers} == {1}


async def test_expect_that_fails_is_409_with_the_current_position(people: People) -> None:
    channel = room()
    page = (await people.call("GET", f"/v1/channels/{channel}/messages")).json()
    begin = {"epoch": page["epoch"], "offset": page["offset"]}
    stored = await post(people, channel, json={"data": 1, "expect": begin})
    assert stored.status_code == 201, stored.text
    now = {name: stored.json()[name] for name in ("epoch", "offset")}
    for wrong in (begin, {**now, "epoch": "other"}, {**now, "offset": 2}):
        refused = await post(people, channel, json={"data": 2, "expect": wrong})
        assert problem(refused, 409, "conflict")["position"] == now
    (in_batch,) = await batch(people, [{"channel": channel, "data": 2, "expect": begin}])
    assert (in_batch["status"], in_batch["code"], in_batch["position"]) == (409, "conflict", now)
    assert (await post(people, channel, json={"data": 2, "expect": now})).json()["offset"] == 2


async def test_of_writers_who_expect_the_same_one_wins(people: People) -> None:
    channel = room()
    page = (await people.call("GET", f"/v1/channels/{channel}/messages")).json()
    begin = {"epoch": page["epoch"], "offset": 0}
    answers = await asyncio.gather(
        *(post(people, channel, json={"data": n, "expect": begin}) for n in range(10))
    )
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 9


# ------------------------------------------------------------------------------------------------ many at once


async def test_a_batch_answers_in_order_and_each_message_fails_alone(people: People) -> None:
    channel = room()
    deep: Any = 1
    for _ in range(65):
        deep = [deep]
    results = await batch(
        people,
        [
            {"channel": channel, "data": 1, "key": "k"},
            {"channel": "nope:x", "data": 1},
            {"channel": "room", "data": 1},
            {"channel": channel, "data": deep},
            {"channel": channel, "data": 2, "key": "k"},
            {"channel": channel, "data": 3, "ephemeral": True},
            {"channel": channel, "data": 4, "tags": {"t": "1"}},
        ],
    )
    assert [(r["status"], r.get("code"), r.get("offset")) for r in results] == [
        (201, None, 1),
        (404, "unknown_namespace", None),
        (400, "bad_request", None),
        (422, "invalid_data", None),
        (201, None, 1),
        (201, None, None),
        (201, None, 2),
    ]
    assert [r["channel"] for r in results] == [channel, "nope:x", "room", *[channel] * 4]
    assert [r.get("duplicate") for r in results] == [False, None, None, None, True, False, False]
    assert all(set(r) == {"channel", "status", "code", "message"} for r in results[1:4])
    assert all(r["message"] for r in results[1:4])


async def test_a_thousand_messages_arrive_in_their_order_and_one_more_is_refused(
    people: People,
) -> None:
    channel = room()
    async with await people.connect("alice") as alice:
        await alice.subscribe(channel)
        results = await batch(people, [{"channel": channel, "data": n} for n in range(1000)])
        assert [r["offset"] for r in results] == list(range(1, 1001))
        seen = await alice.messages(channel, 1000)
        assert [(m["offset"], m["data"]) for m in seen] == [(n + 1, n) for n in range(1000)]
    many: dict[str, Any] = {"messages": [{"channel": channel, "data": 1}] * 1001}
    problem(await people.call("POST", "/v1/messages", json=many), 422, "limit_exceeded")
    many = {"channels": [channel] * 1001, "data": 1}
    problem(await people.call("POST", "/v1/broadcast", json=many), 422, "limit_exceeded")
    assert await batch(people, []) == []


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


# ---------------------------------------------------------------------------------------------------- claim channels


async def test_a_claim_channels_limits_a_scope(people: People, stack: Stack) -> None:
    allowed = {"room:mine-*": ["publish"], "room:read": ["history", "presence"]}
    client = add_client(stack, "publish read manage", allowed)
    headers = {"authorization": f"Bearer {token_of(stack, client)}"}
    mine, data = f"room:mine-{secrets.token_hex(3)}", {"data": 1}

    async def status(method: str, path: str, **body: Any) -> int:
        json = {"json": body} if body else {}
        answer = await people.call(method, path, headers=headers, **json)
        if answer.status_code == 403:
            assert "claim channels" in problem(answer, 403, "forbidden")["detail"]
        return answer.status_code

    assert await status("POST", f"/v1/channels/{mine}/messages", **data) == 201
    assert await status("POST", "/v1/channels/room:other/messages", **data) == 403
    assert await status("POST", "/v1/users/bob/messages", **data) == 403
    assert await status("POST", "/v1/connections/c1/messages", **data) == 403
    assert await status("POST", "/notify/orders", **data) == 403
    assert await status("GET", f"/v1/channels/{mine}/messages") == 403
    assert await status("GET", "/v1/channels/room:read/messages") == 200
    assert await status("GET", "/v1/channels/room:read/presence") == 200
    assert await status("DELETE", "/v1/channels/room:read/messages") == 403
    assert await status("DELETE", f"/v1/channels/{mine}/messages") == 200
    assert await status("POST", "/v1/users/bob/subscribe", channel="room:other") == 403
    both = [mine, "room:other"]
    body = {"channels": both, "data": 1}
    answer = await people.call("POST", "/v1/broadcast", json=body, headers=headers)
    assert [r["status"] for r in answer.json()["results"]] == [201, 403]
    messages = {"messages": [{"channel": name, **data} for name in both]}
    answer = await people.call("POST", "/v1/messages", json=messages, headers=headers)
    assert [(r["status"], r.get("code")) for r in answer.json()["results"]] == [
        (201, None),
        (403, "forbidden"),
    ]


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("POST", "/v1/channels/room:a/messages", "publish"),
        ("POST", "/v1/messages", "publish"),
        ("POST", "/v1/broadcast", "publish"),
        ("POST", "/v1/users/bob/messages", "publish"),
        ("POST", "/v1/connections/c/messages", "publish"),
        ("POST", "/notify/orders", "publish"),
        ("GET", "/v1/channels/room:a/messages", "read"),
        ("GET", "/v1/channels/room:a/presence", "read"),
        ("GET", "/v1/channels", "read"),
        ("DELETE", "/v1/channels/room:a/messages", "manage"),
        ("POST", "/v1/users/nobody/disconnect", "manage"),
        ("POST", "/v1/connections/c/disconnect", "manage"),
        ("POST", "/v1/users/nobody/subscribe", "manage"),
        ("POST", "/v1/users/nobody/unsubscribe", "manage"),
        ("GET", "/v1/nodes", "manage"),
    ],
)
async def test_each_call_needs_its_scope_and_no_other(
    people: People, stack: Stack, method: str, path: str, scope: str
) -> None:
    body: dict[str, Any] = {"json": {}} if method == "POST" else {}
    scopes = {"publish", "read", "manage", "tokens"}
    without = stack.client_token(" ".join(sorted(scopes - {scope})))
    answer = await people.http.request(method, path, headers=stack.bearer(without), **body)
    assert scope in problem(answer, 403, "forbidden")["detail"]
    alone = stack.bearer(stack.client_token(scope))
    answer = await people.http.request(method, path, headers=alone, **body)
    assert answer.status_code in (200, 202, 400)
    user = stack.bearer(await people.token("alice"))
    problem(await people.http.request(method, path, headers=user, **body), 403, "forbidden")
    problem(await people.http.request(method, path, **body), 401, "unauthorized")


async def test_a_token_counts_in_the_header_only(people: People) -> None:
    token = await people.backend()
    tries: tuple[dict[str, Any], ...] = (
        {"params": {"token": token}},
        {"params": {"access_token": token}},
        {"headers": {"cookie": f"openline_token={token}"}},
        {"headers": {"authorization": token}},
        {"headers": {"authorization": f"Basic {token}"}},
        {"headers": {"authorization": f"Bearer {token}x"}},
        {"headers": {"authorization": "Bearer"}},
        {"auth": demo_client(people.run)},
    )
    for options in tries:
        problem(await people.http.get("/v1/nodes", **options), 401, "unauthorized")
    lower = {"authorization": f"bearer {token}"}
    assert (await people.http.get("/v1/nodes", headers=lower)).status_code == 200


async def test_a_client_is_limited_when_its_record_says_so(people: People, stack: Stack) -> None:
    slow = stack.bearer(token_of(stack, add_client(stack, "publish read", rate=3)))
    many = {"channels": [room() for _ in range(9)], "data": 1}
    answer = await people.http.post("/v1/broadcast", json=many, headers=slow)
    assert answer.status_code == 200
    path = f"/v1/channels/{room()}/messages"
    for method, body in (("POST", {"json": {"data": 1}}), ("GET", {})):
        answer = await people.http.request(method, path, headers=slow, **body)
        refusal = problem(answer, 429, "rate_limited")
        # Nine messages are three seconds' worth, of which one was at hand; and one for this call.
        assert 1 < refusal["retry_after"] <= 7 / 3
    await asyncio.sleep(refusal["retry_after"])
    answer = await people.http.post(path, json={"data": 1}, headers=slow)
    assert answer.status_code == 201
    assert (await post(people, room(), json={"data": 1})).status_code == 201
