"""The publisher as a real process on a real Redis: each call of the HTTP API, and whatever a stranger may send."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from services.kernel.broker.port import Beat, EntryType, Member
from services.kernel.broker.redis.broker import RedisBroker
from services.kernel.domain import control
from services.kernel.domain.control import Control
from services.kernel.tokens.revocations import Kind, Revocation
from tests.support.redis_server import RedisServer, start_redis
from tests.support.service_process import ROOT, ServiceProcess, refusal
from tests.support.token_issuer import TokenIssuer
from tests.support.waiting import wait_read, wait_until

TYPED = """
[namespaces.typed]
message_bytes = 1000
[namespaces.typed.schema]
type = "object"
required = ["n"]
[namespaces.typed.schema.properties.n]
type = "integer"
"""
ORIGIN = "https://app.example.org"
MIB = 1_048_576


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("publisher")


@pytest.fixture(scope="module")
def redis(folder) -> Iterator[RedisServer]:
    with start_redis(folder, "--appendonly", "yes") as server:
        yield server


@pytest.fixture(scope="module")
def issuer() -> Iterator[TokenIssuer]:
    with TokenIssuer() as issuer:
        yield issuer


@pytest.fixture(scope="module")
def publisher(folder, redis, issuer) -> Iterator[ServiceProcess]:
    file = folder / "namespaces.toml"
    file.write_text((ROOT / "deploy/namespaces.toml").read_text() + TYPED)
    with ServiceProcess(
        "publisher",
        folder,
        OPENLINE_REDIS_URL=redis.url,
        OPENLINE_NAMESPACES=str(file),
        OPENLINE_ALLOWED_ORIGINS=f"{ORIGIN},http://localhost:*",
        **issuer.environment,
    ) as process:
        yield process


@pytest.fixture(scope="module")
def api(publisher, issuer) -> Iterator[httpx2.Client]:
    """A client that may do everything."""
    with client(publisher, issuer.token()) as client_:
        yield client_


def client(process: ServiceProcess, token: str | None, **options: Any) -> httpx2.Client:
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    return httpx2.Client(base_url=process.url, headers=headers, timeout=60, **options)


_names = iter(range(10**6))


@pytest.fixture
def channel() -> str:
    return f"room:test{next(_names)}"


def problem(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document of an answer that must be this refusal."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert (body["status"], body["code"]) == (status, code)
    assert body["detail"]
    assert body["title"]
    assert body["type"]
    return body


def publish(api: httpx2.Client, channel: str, **body: Any) -> dict[str, Any]:
    answer = api.post(f"/v1/channels/{channel}/messages", json=body)
    assert answer.status_code == 201, answer.text
    result: dict[str, Any] = answer.json()
    return result


def history(api: httpx2.Client, channel: str, **query: Any) -> dict[str, Any]:
    answer = api.get(f"/v1/channels/{channel}/messages", params=query)
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.json()
    return result


def bus_end(redis: RedisServer) -> int:
    """The id of the last entry on the bus: to read all of it anew takes seconds after the tests of large messages."""
    with redis.client() as client:
        last = client.xrevrange("ol:{p0}:bus", count=1)
    return int(last[0][0].split(b"-")[1]) if last else 0


def told(redis: RedisServer, start: int) -> list[Control]:
    """The control messages on the bus after an entry."""

    async def read() -> list[Control]:
        broker, found, after = RedisBroker(redis.url), [], start
        while entries := await broker.read(0, after, block=0.05):
            after = entries[-1].id
            found += [entry for entry in entries if entry.type is EntryType.CONTROL]
        await broker.close()
        return [message for entry in found if (message := control.decode(entry.fragment))]

    return asyncio.run(read())


class TestPublishing:
    def test_a_message_gets_the_next_offset(self, api, channel):
        first = publish(api, channel, data={"text": "hi"})
        second = publish(api, channel, data=[1, None])
        assert (first["channel"], first["duplicate"], first["subscribers"]) == (channel, False, 0)
        assert re.fullmatch("[A-Za-z0-9]{1,32}", first["epoch"])
        assert (first["offset"], second["offset"]) == (1, 2)
        assert second["epoch"] == first["epoch"]

    @pytest.mark.parametrize(
        "data",
        [
            None,
            True,
            0,
            -1.5,
            "",
            "ü \U0001f600",
            [],
            {},
            {"a": [{"b": None}]},
            2**64 - 1,
            -(2**63),
        ],
    )
    def test_data_is_any_json_value(self, api, channel, data):
        publish(api, channel, data=data)
        assert history(api, channel)["messages"][0]["data"] == data

    def test_numbers_keep_their_spelling(self, api, channel):
        api.post(
            f"/v1/channels/{channel}/messages",
            content=b'{"data": [1.0, 1e2, 12345678901234567890]}',
            headers={"content-type": "application/json; charset=utf-8"},
        )
        text = api.get(f"/v1/channels/{channel}/messages").text
        assert "[1.0, 1e2, 12345678901234567890]" in text

    def test_key_and_tags_travel_and_there_is_no_sender(self, api, channel):
        publish(api, channel, data=1, key="order-7 ü", conflate_key="€", tags={"lang": "de"})
        message = history(api, channel)["messages"][0]
        assert message["conflate_key"] == "€"
        assert message["key"] == "order-7 ü"
        assert message["tags"] == {"lang": "de"}
        assert "from" not in message
        assert abs(message["ts"] / 1000 - time.time()) < 60

    @pytest.mark.parametrize("type", ["application/octet-stream", "application/json"])
    def test_a_conflate_key_may_stand_in_the_query(self, api, channel, type):
        api.post(
            f"/v1/channels/{channel}/messages?conflate_key=k",
            content=b'{"data":1}',
            headers={"content-type": type},
        )
        assert history(api, channel)["messages"][0]["conflate_key"] == "k"

    def test_a_key_of_a_raw_body_is_the_same_key(self, api, channel):
        publish(api, channel, data=1, key="k")
        answer = api.post(
            f"/v1/channels/{channel}/messages?key=k",
            content=b"2",
            headers={"content-type": "application/octet-stream"},
        )
        assert (answer.json()["offset"], answer.json()["duplicate"]) == (1, True)

    def test_a_repeated_key_is_a_duplicate(self, api, channel):
        first = publish(api, channel, data=1, key="k")
        again = publish(api, channel, data=2, key="k")
        assert again == {**first, "duplicate": True}
        assert len(history(api, channel)["messages"]) == 1

    def test_keys_of_different_callers_do_not_meet(self, api, publisher, issuer, channel):
        publish(api, channel, data=1, key="k")
        with client(publisher, issuer.token("client:other")) as other:
            assert publish(other, channel, data=2, key="k")["duplicate"] is False

    def test_a_key_counts_for_its_channel_only(self, api, channel):
        publish(api, channel, data=1, key="k")
        assert publish(api, channel + "b", data=1, key="k")["duplicate"] is False

    def test_many_requests_with_one_key_store_one_message(self, api, channel):
        with ThreadPoolExecutor(8) as pool:
            results = list(pool.map(lambda n: publish(api, channel, data=n, key="same"), range(32)))
        assert sum(not result["duplicate"] for result in results) == 1
        assert {result["offset"] for result in results} == {1}

    def test_requests_at_the_same_time_get_offsets_without_a_hole(self, api, channel):
        with ThreadPoolExecutor(8) as pool:
            results = list(pool.map(lambda n: publish(api, channel, data=n), range(64)))
        assert sorted(result["offset"] for result in results) == list(range(1, 65))

    def test_ephemeral_messages_have_no_position_and_no_history(self, api, channel):
        result = publish(api, channel, data=1, ephemeral=True)
        assert result == {"channel": channel, "duplicate": False, "subscribers": 0}
        assert history(api, channel)["messages"] == []

    def test_expect_lets_one_writer_win(self, api, channel):
        at = publish(api, channel, data=1)
        position = {"epoch": at["epoch"], "offset": at["offset"]}
        assert publish(api, channel, data=2, expect=position)["offset"] == 2
        answer = api.post(f"/v1/channels/{channel}/messages", json={"data": 3, "expect": position})
        body = problem(answer, 409, "conflict")
        assert body["position"] == {"epoch": at["epoch"], "offset": 2}

    def test_expect_begins_before_the_first_message_and_one_of_many_wins(self, api, channel):
        begin = {"epoch": history(api, channel)["epoch"], "offset": 0}
        path = f"/v1/channels/{channel}/messages"
        bodies = [{"data": n, "expect": begin} for n in range(10)]
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda body: api.post(path, json=body), bodies))
        assert sorted(answer.status_code for answer in answers) == [201] + [409] * 9

    def test_expect_of_another_epoch_or_of_the_future_is_a_conflict(self, api, channel):
        at = publish(api, channel, data=1)
        now = {"epoch": at["epoch"], "offset": 1}
        for wrong in ({**now, "epoch": "other"}, {**now, "offset": 2}):
            body = {"data": 2, "expect": wrong}
            answer = api.post(f"/v1/channels/{channel}/messages", json=body)
            assert problem(answer, 409, "conflict")["position"] == now

    def test_a_raw_body_is_binary_data(self, api, channel):
        answer = api.post(
            f"/v1/channels/{channel}/messages",
            params={"key": "k", "ephemeral": "false"},
            content=b"\x00\xff{",
            headers={"content-type": "application/octet-stream"},
        )
        assert answer.status_code == 201
        message = history(api, channel)["messages"][0]
        assert (message["data"], message["encoding"]) == ("AP97", "base64")
        assert message["key"] == "k"

    def test_an_ephemeral_raw_body(self, api, channel):
        answer = api.post(
            f"/v1/channels/{channel}/messages?ephemeral=1",
            content=b"x",
            headers={"content-type": "Application/Octet-Stream"},
        )
        assert answer.status_code == 201
        assert "offset" not in answer.json()

    @pytest.mark.parametrize("name", ["a+b", "a@b|c=d", "x" * 200, "a:b:c", "...", "-"])
    def test_names_of_the_whole_grammar(self, api, name):
        for written in (name, name.replace("+", "%2B").replace("|", "%7C")):
            answer = api.post(f"/v1/channels/room:{written}/messages", json={"data": 1})
            assert answer.status_code == 201, answer.text
            assert answer.json()["channel"] == f"room:{name}"

    def test_to_a_user(self, api):
        answer = api.post("/v1/users/bob|1/messages", json={"data": {"n": 1}})
        assert answer.status_code == 201
        assert answer.json()["channel"] == "user:bob|1"
        assert history(api, "user:bob|1")["messages"][0]["data"] == {"n": 1}


class TestManyAtOnce:
    def test_a_batch_answers_in_order_and_items_fail_alone(self, api, channel):
        messages = [
            {"channel": channel, "data": 1},
            {"channel": "nowhere:x", "data": 1},
            {"channel": "no channel", "data": 1},
            {"channel": "typed:a", "data": {"n": "no"}},
            {"channel": "typed:a", "data": {"n": 1, "pad": "x" * 1000}},
            {
                "channel": channel,
                "data": 1e300,
                "key": "k",
                "conflate_key": "c",
                "tags": {"a": "b"},
            },
            {"channel": channel, "data": 3, "expect": {"epoch": "none", "offset": 1}},
            {"channel": channel, "data": 4, "ephemeral": True},
            {"channel": channel, "data": 2**70},
        ]
        answer = api.post("/v1/messages", json={"messages": messages})
        assert answer.status_code == 200
        results = answer.json()["results"]
        assert [result["channel"] for result in results] == [m["channel"] for m in messages]
        assert [result["status"] for result in results] == [
            201, 404, 400, 422, 413, 201, 409, 201, 422,
        ]  # fmt: skip
        assert [result.get("code") for result in results] == [
            None, "unknown_namespace", "bad_request", "invalid_data", "too_large",
            None, "conflict", None, "invalid_data",
        ]  # fmt: skip
        assert [results[n]["offset"] for n in (0, 5)] == [1, 2]
        assert results[6]["position"] == {"epoch": results[0]["epoch"], "offset": 2}
        assert "offset" not in results[7]
        assert all(result["message"] for result in results if "code" in result)
        assert set(results[1]) == {"channel", "status", "code", "message"}

    def test_a_key_that_comes_twice_in_a_batch_is_a_duplicate(self, api, channel):
        messages = [{"channel": channel, "data": n, "key": "k"} for n in range(2)]
        results = api.post("/v1/messages", json={"messages": messages}).json()["results"]
        assert [(r["offset"], r["duplicate"]) for r in results] == [(1, False), (1, True)]

    def test_a_batch_of_one_thousand_keeps_its_order(self, api, channel):
        messages = [{"channel": channel, "data": n} for n in range(1000)]
        results = api.post("/v1/messages", json={"messages": messages}).json()["results"]
        assert [result["offset"] for result in results] == list(range(1, 1001))
        page = history(api, channel, limit=500)
        assert [message["data"] for message in page["messages"]] == list(range(500))

    def test_one_more_is_too_many(self, api, channel):
        messages = [{"channel": channel, "data": n} for n in range(1001)]
        problem(api.post("/v1/messages", json={"messages": messages}), 422, "limit_exceeded")
        channels = [channel] * 1001
        answer = api.post("/v1/broadcast", json={"channels": channels, "data": 1})
        problem(answer, 422, "limit_exceeded")

    def test_empty_lists_are_done_at_once(self, api):
        assert api.post("/v1/messages", json={"messages": []}).json() == {"results": []}
        answer = api.post("/v1/broadcast", json={"channels": [], "data": 1})
        assert answer.json() == {"results": []}

    def test_a_broadcast_reaches_each_channel(self, api, channel):
        channels = [channel, "bad", channel + "b", "nowhere:x"]
        body = {"channels": channels, "data": {"n": 1}, "key": "k", "tags": {"a": "b"}}
        body["conflate_key"] = "c"
        results = api.post("/v1/broadcast", json=body).json()["results"]
        assert [result["status"] for result in results] == [201, 400, 201, 404]
        for name in (channel, channel + "b"):
            message = history(api, name)["messages"][0]
            assert (message["data"], message["key"], message["tags"]) == ({"n": 1}, "k", {"a": "b"})
            assert message["conflate_key"] == "c"
        again = api.post("/v1/broadcast", json=body).json()["results"]
        assert [result.get("duplicate") for result in again] == [True, None, True, None]

    def test_a_broadcast_of_data_that_cannot_be_is_refused_as_a_whole(self, api, channel):
        answer = api.post("/v1/broadcast", json={"channels": [channel], "data": 2**70})
        problem(answer, 422, "invalid_data")


class TestHistory:
    def test_pages_forward_and_back(self, api, channel):
        for n in range(5):
            publish(api, channel, data=n)
        page = history(api, channel, limit=2)
        assert [m["offset"] for m in page["messages"]] == [1, 2]
        assert (page["offset"], page["more"]) == (5, True)
        since = f"{page['epoch']}:2"
        rest = history(api, channel, since=since)
        assert [m["offset"] for m in rest["messages"]] == [3, 4, 5]
        assert rest["more"] is False
        newest = history(api, channel, limit=2, reverse="true")
        assert [m["offset"] for m in newest["messages"]] == [5, 4]
        older = history(api, channel, reverse="1", since=f"{page['epoch']}:3")
        assert [m["offset"] for m in older["messages"]] == [2, 1]

    def test_a_position_of_another_epoch_is_a_conflict_with_the_current_one(self, api, channel):
        at = publish(api, channel, data=1)
        answer = api.get(f"/v1/channels/{channel}/messages?since=old:1")
        body = problem(answer, 409, "conflict")
        assert body["position"] == {"epoch": at["epoch"], "offset": 1}

    def test_a_dropped_history_goes_on_counting_in_a_new_epoch(self, api, channel):
        before = publish(api, channel, data=1)
        dropped = api.delete(f"/v1/channels/{channel}/messages").json()
        assert (dropped["channel"], dropped["offset"]) == (channel, 1)
        assert dropped["epoch"] != before["epoch"]
        assert history(api, channel)["messages"] == []
        after = publish(api, channel, data=2)
        assert (after["epoch"], after["offset"]) == (dropped["epoch"], 2)

    def test_a_channel_that_nobody_used_is_empty(self, api, channel):
        page = history(api, channel)
        assert (page["messages"], page["offset"], page["more"]) == ([], 0, False)

    @pytest.mark.parametrize(
        "query",
        [
            "limit=0", "limit=501", "limit=-1", "limit=x", "limit=", "limit=1e2", "limit=%2B1",
            "limit=99999999999999999999", "limit=1&limit=2", "reverse=yes", "reverse=",
            "since=abc", "since=:1", "since=a:-1", "since=a:01", "since=a:99999999999999999999",
            "since=", "since=x:", "since=x:1.5", "since=a+b:1", "since=x:1&since=x:2", "limit=%FF", "since=a:1:2", "since=%00:1", "since=%C3%28:1", "since=a%0A:1",
        ],
    )  # fmt: skip
    def test_a_bad_query_is_named(self, api, channel, query):
        answer = api.get(f"/v1/channels/{channel}/messages?{query}")
        problem(answer, 400, "bad_request")


@pytest.fixture(scope="module")
def people(redis, api) -> None:
    """Two connections of bob and one of a stranger in room:full; listeners in three channels; one node."""
    node = {"node": "n1", "connections": 3, "subscriptions": 4, "lag": 0.01, "version": "1"}
    beat = json.dumps({**node, "draining": False, "uptime": 5.5}).encode()

    async def enter() -> None:
        broker = RedisBroker(redis.url, lease=600)
        await broker.start()
        await broker.beat(0, Beat(incarnation="i1", node=beat))
        for user, connection in (("bob", "c1"), ("bob", "c2"), (None, "c3")):
            info = b'{"name":"Bob"}' if user else b""
            member = Member(user=user, connection=connection, info=info, since=1700)
            await broker.enter("room:full", member, "i1", announce=False)
        await broker.listeners("i1", {"room:full": 3, "room:half": 1, "live:x": 2})
        await broker.close()

    asyncio.run(enter())


@pytest.mark.usefixtures("people")
class TestPresenceAndChannels:
    def test_members_are_listed(self, api):
        body = api.get("/v1/channels/room:full/presence").json()
        assert body["count"] == 3
        assert body["cursor"] is None
        bob = next(m for m in body["members"] if m["connection"] == "c1")
        assert bob == {"user": "bob", "connection": "c1", "info": {"name": "Bob"}, "since": 1700}
        stranger = next(m for m in body["members"] if m["connection"] == "c3")
        assert (stranger["user"], stranger["info"]) == (None, None)

    def test_an_empty_channel_has_no_members(self, api):
        body = api.get("/v1/channels/room:void/presence").json()
        assert body == {"members": [], "count": 0, "users": 0, "cursor": None}

    def test_channels_are_listed_by_name(self, api):
        body = api.get("/v1/channels", params={"prefix": "room:", "cursor": ""}).json()
        assert body == {
            "channels": [
                {"channel": "room:full", "subscribers": 3},
                {"channel": "room:half", "subscribers": 1},
            ],
            "cursor": None,
        }
        assert len(api.get("/v1/channels").json()["channels"]) == 3

    def test_a_limited_token_sees_its_own_channels(self, publisher, issuer):
        token = issuer.token(channels={"live:*": ["history"]})
        with client(publisher, token) as limited:
            body = limited.get("/v1/channels").json()
            assert [entry["channel"] for entry in body["channels"]] == ["live:x"]

    def test_subscribers_are_counted_on_publish(self, api):
        assert publish(api, "room:full", data=1)["subscribers"] == 3

    def test_nodes_are_listed(self, api):
        (node,) = api.get("/v1/nodes").json()["nodes"]
        assert (node["node"], node["connections"], node["draining"]) == ("n1", 3, False)

    def test_a_drain_names_who_lives_and_needs_another_gateway(self, api):
        for call in (api.post, api.delete):
            body = problem(call("/v1/nodes/n%2F2/drain"), 404, "not_found")
            assert body["detail"] == "there is no gateway 'n/2'; living: n1"
        assert (
            "no other gateway" in problem(api.post("/v1/nodes/n1/drain"), 409, "conflict")["detail"]
        )
        answer = api.delete("/v1/nodes/n1/drain")
        assert (answer.status_code, answer.json()) == (202, {"node": "n1", "connections": 3})

    @pytest.mark.parametrize("path", ["/v1/channels", "/v1/channels/room:full/presence"])
    def test_a_cursor_that_was_never_handed_out_is_refused(self, api, path):
        for cursor in ("!", "room:a", "c6", "c%C3", "x" * 1025):
            problem(api.get(path, params={"cursor": cursor}), 400, "bad_request")
        assert api.get(path, params={"cursor": ""}).status_code == 200

    @pytest.mark.parametrize("prefix", ["room/", "a b", "x" * 234, "%", "é"])
    def test_a_bad_prefix_is_named(self, api, prefix):
        problem(api.get("/v1/channels", params={"prefix": prefix}), 400, "bad_request")

    def test_a_prefix_that_is_not_utf8_is_refused(self, api):
        problem(api.get("/v1/channels?prefix=%FF"), 400, "bad_request")


class TestControl:
    def test_every_gateway_is_told(self, api, redis):
        before = bus_end(redis)
        calls = [
            ("/v1/users/bob/disconnect", {"code": 4010, "reason": "bye"}),
            ("/v1/users/bob/disconnect", {}),
            ("/v1/connections/c1/disconnect", {"reason": "ü" * 100}),
            ("/v1/users/bob/subscribe", {"channel": "room:a"}),
            ("/v1/users/bob/unsubscribe", {"channel": "room:a"}),
            ("/v1/connections/c1/messages", {"data": {"n": [1.0]}}),
        ]
        for path, body in calls:
            answer = api.post(path, json=body)
            assert (answer.status_code, answer.json()) == (202, {})
        assert api.post("/v1/users/bob/disconnect").status_code == 202
        messages = told(redis, before)
        assert messages[:5] == [
            control.DisconnectUser(user="bob", code=4010, reason="bye"),
            control.DisconnectUser(user="bob", code=4004, reason=""),
            control.DisconnectConnection(connection="c1", code=4004, reason="ü" * 60 + "…"),
            control.SubscribeUser(user="bob", channel="room:a"),
            control.UnsubscribeUser(user="bob", channel="room:a"),
        ]
        direct = messages[5]
        assert isinstance(direct, control.Direct)
        assert (direct.connection, bytes(direct.data)) == ("c1", b'{"n":[1.0]}')
        assert messages[6] == messages[1]

    @pytest.mark.parametrize(
        "body",
        [
            {"code": 3999}, {"code": 4100}, {"code": "4004"}, {"code": None}, {"code": 4004.5},
            {"code": True}, {"reason": 1}, {"reason": "x" * 124}, [], 1, "x",
        ],
    )  # fmt: skip
    def test_a_bad_disconnect_is_named(self, api, body):
        answer = api.post("/v1/users/bob/disconnect", json=body)
        problem(answer, 400, "bad_request")

    def test_a_bad_subscription_is_named(self, api):
        for body in (
            {},
            {"channel": 1},
            {"channel": "x"},
            {"channel": "room:a b"},
            {"channel": None},
            [],
        ):
            for call in ("subscribe", "unsubscribe"):
                problem(api.post(f"/v1/users/bob/{call}", json=body), 400, "bad_request")
        for call in ("subscribe", "unsubscribe"):
            answer = api.post(f"/v1/users/bob/{call}", json={"channel": "nowhere:x"})
            problem(answer, 404, "unknown_namespace")

    def test_a_direct_message_has_a_limit_and_must_be_data(self, api):
        path = "/v1/connections/c1/messages"
        assert api.post(path, json={"data": "x" * 65_534}).status_code == 202
        problem(api.post(path, json={"data": "x" * 65_535}), 413, "too_large")
        problem(api.post(path, json={"data": 2**70}), 422, "invalid_data")
        problem(api.post(path, json={}), 400, "bad_request")

    @pytest.mark.parametrize("data", [b"1e999", b"18446744073709551616", b"[" * 65 + b"]" * 65])
    @pytest.mark.parametrize("path", ["/v1/users/bob/messages", "/v1/connections/c1/messages"])
    def test_what_can_be_no_data_is_sent_to_nobody(self, api, redis, path, data):
        before = bus_end(redis)
        problem(api.post(path, content=b'{"data":%b}' % data, headers=JSON), 422, "invalid_data")
        assert told(redis, before) == []
        assert history(api, "user:bob")["messages"] == []

    @pytest.mark.parametrize("name", ["a b", "a%2Fb", "a/b", "%C3%A9", "x" * 129, "a%00"])
    @pytest.mark.parametrize("kind", ["users", "connections"])
    def test_a_bad_name_is_named(self, api, kind, name):
        problem(api.post(f"/v1/{kind}/{name}/messages", json={"data": 1}), 400, "bad_request")
        problem(api.post(f"/v1/{kind}/{name}/disconnect"), 400, "bad_request")


class TestNotify:
    def sent(self, api: httpx2.Client, topic: str) -> dict[str, Any]:
        message = history(api, f"notify:{topic}", limit=1, reverse="1")["messages"][0]
        data: dict[str, Any] = message["data"]
        return data

    @pytest.fixture
    def topic(self) -> str:
        return f"t{next(_names)}"

    def test_json(self, api, topic):
        body = {"title": "Hi", "message": "there", "level": "warning", "n": [1], "deep": {"a": 1}}
        answer = api.post(f"/notify/{topic}", json=body)
        assert (answer.status_code, answer.json()) == (200, {"sent": 0, "offset": 1})
        data = self.sent(api, topic)
        stamp = datetime.fromisoformat(data.pop("timestamp"))
        assert stamp.utcoffset() == timedelta(0)
        assert abs(stamp.timestamp() - time.time()) < 60
        assert data == {"type": "notification", **body}

    def test_type_and_timestamp_are_kept_when_given(self, api, topic):
        api.post(f"/notify/{topic}", json={"type": "alarm", "timestamp": "now"})
        assert self.sent(api, topic) == {"type": "alarm", "timestamp": "now"}

    def test_numbers_keep_their_spelling(self, api, topic):
        api.post(f"/notify/{topic}", content=b'{"price": 1.50, "n": [1e2, 1.0]}', headers=JSON)
        text = api.get(f"/v1/channels/notify:{topic}/messages").text
        assert '"price": 1.50' in text or '"price":1.50' in text
        assert re.search(r"\[1e2, ?1\.0\]", text)

    def test_form_and_query_and_multipart(self, api, topic):
        api.post(f"/notify/{topic}?level=info&a=1", data={"message": "m ü", "b": ["1", "2"]})
        data = self.sent(api, topic)
        assert (data["level"], data["a"], data["message"]) == ("info", "1", "m ü")
        assert data["b"] == ["1", "2"]
        api.post(f"/notify/{topic}?title=only+query")
        assert self.sent(api, topic)["title"] == "only query"
        boundary = b'--b\r\nContent-Disposition: form-data; name="title"\r\n\r\nparts\r\n--b--\r\n'
        answer = api.post(
            f"/notify/{topic}",
            content=boundary,
            headers={"content-type": "multipart/form-data; boundary=b"},
        )
        assert answer.status_code == 200, answer.text
        assert self.sent(api, topic)["title"] == "parts"

    def test_a_body_counts_before_the_query(self, api, topic):
        api.post(f"/notify/{topic}?title=t&message=query", json={"message": "body"})
        data = self.sent(api, topic)
        assert (data["title"], data["message"]) == ("t", "body")

    @pytest.mark.parametrize(
        ("query", "body"),
        [
            ("", {"level": "fatal"}), ("", {"level": 1}), ("", {"title": None}),
            ("", {"message": ["x"]}), ("", []), ("", 1), ("", "x"),
            ("level=fatal", {}), ("title=a&title=b", {}), ("token=secret", {}),
            ("access_token=secret", {}), ("a=%C3%28", {}),
            ("&".join(f"f{n}=1" for n in range(101)), {}),
        ],
    )  # fmt: skip
    def test_a_bad_notification_is_named(self, api, topic, query, body):
        problem(api.post(f"/notify/{topic}?{query}", json=body), 400, "bad_request")

    @pytest.mark.parametrize(
        ("content", "content_type", "refusal"),
        [
            (b"level=fatal", "application/x-www-form-urlencoded", (400, "bad_request")),
            (b"title=a&title=b", "application/x-www-form-urlencoded", (400, "bad_request")),
            (b"&".join(b"a%d=1" % n for n in range(101)), "application/x-www-form-urlencoded", (400, "bad_request")),
            (b"a=%C3%28", "application/x-www-form-urlencoded", (400, "bad_request")),
            (b"\xff\xfe=1", "application/x-www-form-urlencoded", (400, "bad_request")),
            (b"not multipart", "multipart/form-data", (400, "bad_request")),
            (b"not multipart", "multipart/form-data; boundary=b", (400, "bad_request")),
            (b"--b\r\nX: y\r\n\r\nz\r\n--b--\r\n", "multipart/form-data; boundary=b", (400, "bad_request")),
            (
                b'--b\r\nContent-Disposition: form-data; name="title"\r\n\r\nCut o',
                "multipart/form-data; boundary=b",
                (400, "bad_request"),
            ),
            (
                b'--b\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\nz\r\n--b--\r\n',
                "multipart/form-data; boundary=b",
                (400, "bad_request"),
            ),
            *(
                (
                    b'--b\r\nContent-Disposition: form-data; name="title"\r\n\r\n\\ud800\r\n--b--\r\n',
                    f"multipart/form-data; boundary=b; charset={codec}",
                    (415, "bad_request"),
                )
                for codec in ("punycode", "undefined", "unicode_escape", "latin-1")
            ),
            (b"<a/>", "application/xml", (415, "bad_request")),
            (b'{"a":1}', "", (415, "bad_request")),
            (b'{"a":' + b"[" * 65 + b"]" * 65 + b"}", "application/json", (422, "invalid_data")),
            (b'{"a":1e999}', "application/json", (422, "invalid_data")),
            (b'{"a":"\xff"}', "application/json", (422, "invalid_data")),
            (b'{"a":"' + b"x" * 66_000 + b'"}', "application/json", (413, "too_large")),
        ],
    )  # fmt: skip
    def test_a_bad_body_is_named(self, api, topic, content, content_type, refusal):
        answer = api.post(
            f"/notify/{topic}", content=content, headers={"content-type": content_type}
        )
        problem(answer, *refusal)

    def test_a_bad_topic_is_named(self, api):
        for name in ("a%2Fb", "a/b", "a%20b", "x" * 201):
            problem(api.post(f"/notify/{name}", json={}), 400, "bad_request")

    def test_a_duplicate_field_counts_once_the_last_time(self, api, topic):
        answer = api.post(
            f"/notify/{topic}",
            content=b'{"title":"a","title":"b"}',
            headers={"content-type": "application/json"},
        )
        assert answer.status_code == 200
        assert self.sent(api, topic)["title"] == "b"


class TestPermissions:
    EVERY = (
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
        ("POST", "/v1/users/bob/disconnect", "manage"),
        ("POST", "/v1/connections/c/disconnect", "manage"),
        ("POST", "/v1/users/bob/subscribe", "manage"),
        ("POST", "/v1/users/bob/unsubscribe", "manage"),
        ("POST", "/v1/users/nobody-else/revoke", "manage"),
        ("GET", "/v1/nodes", "manage"),
        ("POST", "/v1/nodes/n1/drain", "manage"),
        ("DELETE", "/v1/nodes/n1/drain", "manage"),
    )

    @pytest.mark.parametrize(("method", "path", "scope"), EVERY)
    def test_each_call_needs_its_scope(self, publisher, issuer, method, path, scope):
        others = " ".join({"publish", "read", "manage", "tokens"} - {scope})
        with client(publisher, issuer.token(scope=others)) as wrong:
            body = problem(wrong.request(method, path), 403, "forbidden")
            assert scope in body["detail"]
        with client(publisher, None) as nobody:
            answer = nobody.request(method, path)
            problem(answer, 401, "unauthorized")
            assert answer.headers["www-authenticate"] == "Bearer"
        with client(publisher, issuer.token("alice", scope="")) as user:
            problem(user.request(method, path), 403, "forbidden")
        body = {"json": {}} if method == "POST" else {}
        with client(publisher, issuer.token(scope=scope)) as enough:
            assert enough.request(method, path, **body).status_code in (200, 202, 400, 404, 409)

    def test_every_call_is_listed_above(self, publisher):
        paths = httpx2.get(publisher.url + "/openapi.json").json()["paths"]
        documented = {(m.upper(), path) for path, calls in paths.items() for m in calls}
        assert len(documented) == len(self.EVERY)

    @pytest.mark.parametrize(
        "headers",
        [
            {"authorization": "Bearer nonsense"},
            {"authorization": "Bearer"},
            {"authorization": ""},
            {"authorization": "Basic Zm9vOmJhcg=="},
            {"authorization": "Bearer a.b.c"},
            {"authorization": "Bearer " + "x" * 20_000},
            {"cookie": "openline_token=x"},
        ],
    )
    def test_a_token_that_is_none_is_unauthorized(self, publisher, headers):
        answer = httpx2.get(publisher.url + "/v1/channels", headers=headers)
        problem(answer, 401, "unauthorized")

    def test_a_token_anywhere_else_does_not_count(self, publisher, issuer):
        for name in ("token", "access_token", "ticket"):
            answer = httpx2.get(publisher.url + "/v1/channels", params={name: issuer.token()})
            problem(answer, 401, "unauthorized")
        token = issuer.token()
        for headers in (
            {"cookie": f"openline_token={token}"},
            {"authorization": token},
            {"authorization": f"Basic {token}"},
            {"authorization": f"Bearer {token}x"},
        ):
            answer = httpx2.get(publisher.url + "/v1/channels", headers=headers)
            problem(answer, 401, "unauthorized")

    def test_expired_foreign_and_doubled_tokens(self, publisher, issuer):
        for token in (
            issuer.token(exp=int(time.time()) - 1),
            issuer.token(iss="https://elsewhere.test"),
            issuer.token(aud="other"),
            issuer.token(sub="a b"),
            issuer.token(channels={"*x": []}),
        ):
            with client(publisher, token) as wrong:
                problem(wrong.get("/v1/channels"), 401, "unauthorized")
        twice = [("authorization", f"Bearer {issuer.token()}")] * 2
        answer = httpx2.get(publisher.url + "/v1/channels", headers=twice)
        problem(answer, 401, "unauthorized")

    def test_the_scheme_is_written_as_one_likes(self, publisher, issuer):
        headers = {"authorization": f"bEARER {issuer.token()}"}
        assert httpx2.get(publisher.url + "/v1/channels", headers=headers).status_code == 200

    def test_a_channels_claim_limits_a_scope(self, publisher, issuer):
        token = issuer.token(
            channels={
                "room:mine*": ["publish"],
                "room:read": ["history", "presence"],
                "notify:a*": ["publish"],
            }
        )
        with client(publisher, token) as limited:
            publish(limited, "room:mine1", data=1)
            assert limited.post("/notify/any", json={}).status_code == 200
            for path in ("/v1/channels/room:other/messages", "/v1/users/bob/messages"):
                problem(limited.post(path, json={"data": 1}), 403, "forbidden")
            body = problem(limited.get("/v1/channels/room:mine1/messages"), 403, "forbidden")
            assert "claim channels" in body["detail"]
            problem(limited.post("/notify/orders", json={}), 403, "forbidden")
            for what in ("messages", "presence"):
                assert limited.get(f"/v1/channels/room:read/{what}").status_code == 200
            problem(limited.delete("/v1/channels/room:read/messages"), 403, "forbidden")
            assert limited.delete("/v1/channels/room:mine1/messages").status_code == 200
            problem(limited.get("/v1/channels/room:mine1/presence"), 403, "forbidden")
            problem(limited.post("/v1/connections/c/messages", json={"data": 1}), 403, "forbidden")
            body = {"channels": ["room:mine2", "room:other"], "data": 1}
            results = limited.post("/v1/broadcast", json=body).json()["results"]
            assert [result["status"] for result in results] == [201, 403]
            items = [{"channel": name, "data": 1} for name in body["channels"]]
            results = limited.post("/v1/messages", json={"messages": items}).json()["results"]
            assert [result["status"] for result in results] == [201, 403]
            answer = limited.post("/v1/users/bob/subscribe", json={"channel": "room:x"})
            problem(answer, 403, "forbidden")

    def test_manage_calls_are_for_administrative_networks(self, folder, redis, issuer):
        with (
            ServiceProcess(
                "publisher",
                folder,
                OPENLINE_REDIS_URL=redis.url,
                OPENLINE_ADMIN_NETWORKS="10.99.0.0/16",
                **issuer.environment,
            ) as process,
            client(process, issuer.token()) as api,
        ):
            for method, path, scope in self.EVERY:
                if scope == "manage":
                    body = problem(api.request(method, path), 403, "forbidden")
                    assert "OPENLINE_ADMIN_NETWORKS" in body["detail"]
            assert api.get("/v1/channels").status_code == 200
            # The proxy beside it is trusted to say whom it speaks for.
            inside = {"x-forwarded-for": "10.99.1.1"}
            assert api.get("/v1/nodes", headers=inside).status_code == 200
            for path in ("/docs", "/openapi.json", "/v1/openapi.json"):
                problem(api.get(path), 403, "forbidden")
                assert api.get(path, headers=inside).status_code == 200

    def test_a_revoked_token_is_refused_within_seconds(self, publisher, issuer, redis):
        jti = f"revoked{next(_names)}"
        with client(publisher, issuer.token(jti=jti)) as revoked:
            assert revoked.get("/v1/channels").status_code == 200
            revocation = Revocation(kind=Kind.TOKEN, value=jti, exp=time.time() + 60)
            with redis.client() as store:
                store.zadd("ol:{p0}:revoked", {revocation.member: revocation.exp})
            deadline = time.monotonic() + 15
            while revoked.get("/v1/channels").status_code == 200 and time.monotonic() < deadline:
                time.sleep(0.05)
            problem(revoked.get("/v1/channels"), 401, "unauthorized")


JSON = {"content-type": "application/json"}


class TestBadInput:
    @pytest.mark.parametrize(
        ("content", "status", "code"),
        [
            (b"", 400, "bad_request"),
            (b"not json", 400, "bad_request"),
            (b"{", 400, "bad_request"),
            (b'{"data":1} 2', 400, "bad_request"),
            (b"\xef\xbb\xbf{}", 400, "bad_request"),
            ('{"data":1}'.encode("utf-16"), 400, "bad_request"),
            (b"\xff\xff", 400, "bad_request"),
            (b"null", 400, "bad_request"),
            (b"[]", 400, "bad_request"),
            (b'"x"', 400, "bad_request"),
            (b"{}", 400, "bad_request"),
            (b'{"data":1,"key":1}', 400, "bad_request"),
            (b'{"data":1,"key":""}', 400, "bad_request"),
            (b'{"data":1,"key":"a\\u0000b"}', 400, "bad_request"),
            (b'{"data":1,"key":"a\\n"}', 400, "bad_request"),
            (b'{"data":1,"key":"\xff"}', 400, "bad_request"),
            (b'{"data":1,"key":"' + b"x" * 129 + b'"}', 400, "bad_request"),
            (b'{"data":1,"conflate_key":""}', 400, "bad_request"),
            (b'{"data":1,"conflate_key":"a\\nb"}', 400, "bad_request"),
            (b'{"data":1,"tags":[]}', 400, "bad_request"),
            (b'{"data":1,"tags":{"a":1}}', 400, "bad_request"),
            (b'{"data":1,"tags":{"":"x"}}', 400, "bad_request"),
            (b'{"data":1,"tags":{"a":"' + b"x" * 257 + b'"}}', 400, "bad_request"),
            (b'{"data":1,"tags":{"' + b"x" * 65 + b'":"a"}}', 400, "bad_request"),
            (
                json.dumps({"data": 1, "tags": {str(n): "" for n in range(17)}}).encode(),
                400,
                "bad_request",
            ),
            (b'{"data":1,"ephemeral":"yes"}', 400, "bad_request"),
            (b'{"data":1,"ephemeral":1}', 400, "bad_request"),
            (b'{"data":1,"expect":"a:1"}', 400, "bad_request"),
            (b'{"data":1,"expect":{"epoch":"a","offset":true}}', 400, "bad_request"),
            (b"{'data':1}", 400, "bad_request"),
            (b'{"data":"\\ud800"}', 400, "bad_request"),
            (b"\0" * 100, 400, "bad_request"),
            (b"[" * 50_000, 400, "bad_request"),
            (b'{"data":' + b'{"a":' * 10_000, 422, "invalid_data"),
            (b'{"data":1,"expect":{"epoch":"a"}}', 400, "bad_request"),
            (b'{"data":1,"expect":{"epoch":"a-b","offset":1}}', 400, "bad_request"),
            (b'{"data":1,"expect":{"epoch":"a","offset":-1}}', 400, "bad_request"),
            (b'{"data":1,"expect":{"epoch":"a","offset":1.5}}', 400, "bad_request"),
            (b'{"data":1,"expect":{"epoch":"a","offset":1e400}}', 400, "bad_request"),
            (b'{"data":1,"expect":{"epoch":"a","offset":9223372036854775808}}', 400, "bad_request"),
            (b'{"data":1,"expect":{"epoch":"a","offset":99999999999999999999}}', 400, "bad_request"),
            (b'{"data":' + b"[" * 100_000 + b"]" * 100_000 + b"}", 422, "invalid_data"),
            (b'{"data":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001, 422, "invalid_data"),
            (b'{"data":' + b"[" * 65 + b"]" * 65 + b"}", 422, "invalid_data"),
            (b'{"data":1e999}', 422, "invalid_data"),
            (b'{"data":-1e999}', 422, "invalid_data"),
            (b'{"data":18446744073709551616}', 422, "invalid_data"),
            (b'{"data":-9223372036854775809}', 422, "invalid_data"),
            (b'{"data":' + b"9" * 5000 + b"}", 422, "invalid_data"),
            (b'{"data":NaN}', 400, "bad_request"),
            (b'{"data":01}', 400, "bad_request"),
            (b'{"data":"\xff"}', 422, "invalid_data"),
            (b'{"data":"' + b"x" * 70_000 + b'"}', 413, "too_large"),
        ],
    )  # fmt: skip
    def test_a_bad_body_is_named(self, api, channel, content, status, code):
        answer = api.post(f"/v1/channels/{channel}/messages", content=content, headers=JSON)
        problem(answer, status, code)
        assert history(api, channel)["messages"] == []

    @pytest.mark.parametrize(
        ("field", "value"), [("key", 1), ("tags", ["a"]), ("tags", {"a": 1}), ("ephemeral", "yes")]
    )
    def test_a_field_that_is_not_as_it_should_be_is_in_the_refusal(
        self, api, channel, field, value
    ):
        body = {"data": 1, field: value}
        answer = api.post(f"/v1/channels/{channel}/messages", json=body)
        assert field in problem(answer, 400, "bad_request")["detail"]

    @pytest.mark.parametrize(
        "path",
        [
            "/v1/messages", "/v1/broadcast", "/v1/users/bob/messages", "/v1/connections/c/messages",
            "/v1/users/bob/subscribe", "/v1/users/bob/unsubscribe", "/v1/users/bob/disconnect",
            "/v1/connections/c/disconnect", "/notify/bad",
        ],
    )  # fmt: skip
    def test_a_body_that_is_no_json_object_is_a_bad_request(self, api, path):
        for content in (
            b"hello", b'{"data":', b'{"data":1}{"data":2}', b"{'data':1}", b'{"data":NaN,"code":NaN}',
            b'\xff{"data":1}', '{"data":1}'.encode("utf-16"), b'\xef\xbb\xbf{"data":1}',
            b'{"data":"\\ud800","code":"\\ud800"}', b"\0" * 100, b"[" * 50_000, b"[1]", b'"x"', b"null",
        ):  # fmt: skip
            problem(api.post(path, content=content, headers=JSON), 400, "bad_request")

    @pytest.mark.parametrize("path", ["/v1/messages", "/v1/broadcast"])
    @pytest.mark.parametrize(
        "content",
        [b"", b"[]", b'{"messages":[{"data":1}],"channels":["room:a"]}', b'{"messages":{},"data":1}',
         b'{"messages":[{"channel":1,"data":1}],"channels":"room:a","data":1}', b'{"channels":[1],"data":1}', b"{}", b'{"messages":1,"channels":1}', b'{"messages":[1],"channels":[1]}',
         b'{"messages":[{}],"channels":["a"]}', b'{"messages":[{"channel":"room:a"}]}'],
    )  # fmt: skip
    def test_a_bad_list_is_named(self, api, path, content):
        problem(api.post(path, content=content, headers=JSON), 400, "bad_request")

    @pytest.mark.parametrize(
        "content_type",
        [
            "",
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/jsonp",
            ";",
            "a/b;" * 99,
        ],
    )
    def test_another_type_is_415_and_names_those_that_would_do(self, api, channel, content_type):
        answer = api.post(
            f"/v1/channels/{channel}/messages",
            content=b'{"data":1}',
            headers={"content-type": content_type},
        )
        body = problem(answer, 415, "bad_request")
        assert "application/json" in body["detail"]
        assert "application/octet-stream" in body["detail"]
        answer = api.post("/v1/messages", content=b"{}", headers={"content-type": content_type})
        problem(answer, 415, "bad_request")

    def test_no_type_at_all_is_415(self, api, channel):
        problem(api.post(f"/v1/channels/{channel}/messages"), 415, "bad_request")

    @pytest.mark.parametrize(
        "query", ["key=", "key=" + "x" * 129, "key=a%00", "key=a&key=b", "ephemeral=2", "key=%FF"]
    )
    def test_a_bad_query_of_a_raw_body_is_named(self, api, channel, query):
        answer = api.post(
            f"/v1/channels/{channel}/messages?{query}",
            content=b"x",
            headers={"content-type": "application/octet-stream"},
        )
        problem(answer, 400, "bad_request")

    @pytest.mark.parametrize(
        ("name", "status", "code"),
        [
            ("room", 400, "bad_request"),
            ("room:", 400, "bad_request"),
            (":a", 400, "bad_request"),
            ("Room:a", 400, "bad_request"),
            ("room:a%2Fb", 400, "bad_request"),
            ("room:a/b", 400, "bad_request"),
            ("room:a%20b", 400, "bad_request"),
            ("room:a%00", 400, "bad_request"),
            ("room:a;b", 400, "bad_request"),
            ("room:a%0A", 404, "bad_request"),
            ("room:%C3%A9", 400, "bad_request"),
            ("room:%FF", 400, "bad_request"),
            ("room:" + "x" * 201, 400, "bad_request"),
            ("x" * 33 + ":a", 400, "bad_request"),
            ("nowhere:a", 404, "unknown_namespace"),
        ],
    )
    def test_a_bad_channel_is_named(self, api, name, status, code):
        problem(api.get(f"/v1/channels/{name}/messages"), status, code)
        problem(api.get(f"/v1/channels/{name}/presence"), status, code)
        problem(api.delete(f"/v1/channels/{name}/messages"), status, code)
        answer = api.post(f"/v1/channels/{name}/messages", json={"data": 1})
        problem(answer, status, code)

    def test_data_must_fit_its_namespace(self, api):
        path = "/v1/channels/typed:a/messages"
        assert api.post(path, json={"data": {"n": 1}}).status_code == 201
        body = problem(api.post(path, json={"data": {"n": "x"}}), 422, "invalid_data")
        assert "$.n" in body["detail"]
        binary = api.post(path, content=b"x", headers={"content-type": "application/octet-stream"})
        problem(binary, 422, "invalid_data")
        answer = api.post(path, json={"data": {"n": 1, "pad": "x" * 1000}})
        problem(answer, 413, "too_large")

    @pytest.mark.parametrize(
        "path",
        ["/v1/channels/room:a/messages", "/v1/messages", "/notify/a", "/v1/users/a/disconnect"],
    )
    def test_a_body_of_two_mebibytes_is_too_large(self, api, path):
        body = b'{"data":"' + b"x" * (2 * MIB) + b'"}'
        problem(api.post(path, content=body, headers=JSON), 413, "too_large")

        def pieces() -> Iterator[bytes]:
            for start in range(0, len(body), 65_536):
                yield body[start : start + 65_536]

        problem(api.post(path, content=pieces(), headers=JSON), 413, "too_large")

    def test_chunks_are_one_body(self, api, channel):
        answer = api.post(
            f"/v1/channels/{channel}/messages",
            content=iter([b'{"da', b'ta":', b"1}"]),
            headers=JSON,
        )
        assert answer.status_code == 201

    def test_a_field_that_comes_twice_counts_the_last_time(self, api, channel):
        answer = api.post(
            f"/v1/channels/{channel}/messages", content=b'{"data":1,"data":2}', headers=JSON
        )
        assert answer.status_code == 201
        assert history(api, channel)["messages"][0]["data"] == 2

    @pytest.mark.parametrize(
        ("path", "body", "nearest"),
        [
            ("/v1/channels/room:a/messages", {"data": 1, "ephemral": True}, "ephemeral"),
            ("/v1/channels/room:a/messages?kay=1", {"data": 1}, "key"),
            ("/v1/users/a/messages", {"data": 1, "idempotency_key": "a"}, "key"),
            ("/v1/messages", {"messages": [{"chanel": "room:a", "data": 1}]}, "channel"),
            ("/v1/broadcast", {"channels": ["room:a"], "date": 1}, "data"),
            ("/v1/connections/a/messages", {"data": 1, "datta": 1}, "data"),
            ("/v1/connections/a/disconnect", {"resaon": "x"}, "reason"),
            ("/v1/users/a/disconnect", {"Code": 4000}, "code"),
            ("/v1/users/a/subscribe", {"channel": "room:a", "since": 1}, "channel"),
            ("/v1/users/a/unsubscribe", {"chanel": "room:a"}, "channel"),
        ],
    )
    def test_a_misspelt_field_is_refused_naming_the_nearest(self, api, path, body, nearest):
        detail = problem(api.post(path, json=body), 400, "bad_request")["detail"]
        assert f"; the nearest is {nearest!r}" in detail

    def test_a_misspelt_field_of_a_query_is_refused_too(self, api, channel):
        answer = api.get(f"/v1/channels/{channel}/messages?limt=1")
        assert "'limit'" in problem(answer, 400, "bad_request")["detail"]

    def test_the_header_idempotency_key_counts_as_a_key(self, api, channel):
        header = {"Idempotency-Key": '"order 7"'}
        notify = f"/notify/{channel.partition(':')[2]}"
        for path, body in (
            (f"/v1/channels/{channel}/messages", {"data": 1}),
            (notify, {"title": "hi"}),
        ):
            first, again = (api.post(path, json=body, headers=header).json() for _ in range(2))
            assert first["offset"] == again["offset"] == 1
        broadcast = {"channels": [channel], "data": 1}
        (result,) = api.post("/v1/broadcast", json=broadcast, headers=header).json()["results"]
        assert result["duplicate"]
        assert history(api, channel)["messages"][0]["key"] == "order 7"

    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("/v1/messages", {"messages": []}),
            ("/v1/connections/a/messages", {"data": 1}),
        ],
    )
    def test_the_header_is_refused_where_no_key_counts(self, api, path, body):
        answer = api.post(path, json=body, headers={"Idempotency-Key": "a"})
        assert "Idempotency-Key" in problem(answer, 400, "bad_request")["detail"]

    def test_an_unknown_path_is_404_and_a_wrong_method_405(self, api):
        problem(api.get("/v1/nothing"), 404, "bad_request")
        problem(api.get("/v1/channels/"), 404, "bad_request")
        answer = api.put("/v1/channels/room:a/messages")
        problem(answer, 405, "bad_request")
        assert answer.headers["allow"] == "DELETE, GET, POST"

    def test_garbage_and_hanging_up_disturb_nobody(self, api, publisher, channel):
        requests = [
            b"\x16\x03\x01nonsense\r\n\r\n",
            b"GET\r\n\r\n",
            b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
            b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
            b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
            b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /v1/channels HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 100_000,
        ]
        for request in requests:
            with socket.create_connection(("127.0.0.1", publisher.port), 30) as raw:
                raw.sendall(request)
        assert publish(api, channel, data=1)["offset"] == 1

    def test_leaving_in_the_middle_of_a_body_is_no_error_of_ours(self, publisher, issuer, api):
        head = (
            "POST /v1/channels/room:a/messages HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {issuer.token()}\r\n"
            "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
        )
        with socket.create_connection(("127.0.0.1", publisher.port), 30) as raw:
            raw.sendall(head.encode())
            wait_read(raw)
        assert api.get("/v1/channels").status_code == 200

    def test_after_all_that_there_is_no_traceback_in_the_log(self, api, publisher):
        assert api.get("/healthz").status_code == 200
        assert "Traceback" not in publisher.log
        assert '"level": "error"' not in publisher.log
        assert "eyJ" not in publisher.log


class TestOperation:
    def test_browsers_of_allowed_origins_may(self, api):
        answer = api.get("/v1/channels", headers={"origin": ORIGIN})
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        preflight = {
            "origin": "http://localhost:5173",
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization,content-type",
        }
        answer = api.options("/v1/channels/room:a/messages", headers=preflight)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "http://localhost:5173"

    def test_browsers_of_other_origins_may_not(self, api):
        answer = api.get("/v1/channels", headers={"origin": "https://evil.example"})
        assert "access-control-allow-origin" not in answer.headers

    def test_what_it_says_of_itself(self, api, channel):
        publish(api, channel, data=1)
        assert api.get("/healthz").json() == {"status": "ok"}
        assert api.get("/readyz").json() == {
            "redis": "ok",
            "memory": "ok",
            "keys": "ok",
            "ready": True,
        }
        metrics = api.get("/metrics").text
        for line in (
            'openline_publisher_requests_total{method="POST",route="/v1/channels/{channel}/messages",status="201"}',
            'openline_publisher_publications_total{namespace="room",outcome="stored"}',
            "openline_publisher_publish_seconds_bucket",
            'openline_publisher_broker_calls_total{operation="publish"}',
        ):
            assert line in metrics
        assert channel not in metrics

    def test_every_answer_has_a_request_id(self, api):
        answer = api.get("/v1/channels", headers={"x-request-id": "abc-1"})
        assert answer.headers["x-request-id"] == "abc-1"

    @pytest.mark.parametrize(
        ("variables", "named"),
        [
            ({"OPENLINE_PUBLISHER_PORT": "x"}, "OPENLINE_PUBLISHER_PORT"),
            ({"OPENLINE_REDIS_URL": "http://x"}, "OPENLINE_REDIS_URL"),
            ({"OPENLINE_NAMESPACES": "/nowhere.toml"}, "OPENLINE_NAMESPACES"),
            ({"OPENLINE_HS256_SECRET": "short"}, "OPENLINE_HS256_SECRET"),
            ({"OPENLINE_PUBLISHER_HOST": "203.0.113.1"}, "OPENLINE_PUBLISHER_HOST"),
        ],
    )
    def test_a_wrong_setting_ends_the_start_with_one_line(self, variables, named):
        ended = refusal("publisher", **{"OPENLINE_PUBLISHER_PORT": "0", **variables})
        assert ended.returncode == 2
        assert len(ended.stderr.splitlines()) == 1
        assert named in ended.stderr

    def test_a_schema_that_cannot_be_ends_the_start(self, tmp_path):
        file = tmp_path / "n.toml"
        file.write_text('[namespaces.a]\n[namespaces.a.schema]\n"$ref" = "http://x.test/s"\n')
        ended = refusal("publisher", OPENLINE_NAMESPACES=str(file), OPENLINE_PUBLISHER_PORT="0")
        assert ended.returncode == 2
        assert len(ended.stderr.splitlines()) == 1
        assert "OPENLINE_NAMESPACES" in ended.stderr

    def test_a_port_in_use_is_named(self, publisher):
        ended = refusal("publisher", OPENLINE_PUBLISHER_PORT=str(publisher.port))
        assert ended.returncode == 2
        assert str(publisher.port) in ended.stderr
        assert "OPENLINE_PUBLISHER_PORT" in ended.stderr

    def test_a_redis_that_cannot_serve_ends_the_start(self, tmp_path, issuer):
        with start_redis(
            tmp_path, "--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru"
        ) as bad:
            ended = refusal(
                "publisher",
                OPENLINE_REDIS_URL=bad.url,
                OPENLINE_PUBLISHER_PORT="0",
                **issuer.environment,
            )
        assert ended.returncode == 2
        assert len(ended.stderr.splitlines()) == 1
        assert "noeviction" in ended.stderr
        assert "Traceback" not in ended.stdout

    def test_it_starts_without_redis_and_serves_when_it_comes(self, tmp_path, issuer):
        with start_redis(tmp_path) as redis:
            redis.stop()
            with (
                ServiceProcess(
                    "publisher",
                    tmp_path,
                    wait_for="/healthz",
                    OPENLINE_REDIS_URL=redis.url,
                    **issuer.environment,
                ) as process,
                client(process, issuer.token()) as api,
            ):
                answer = api.post("/v1/channels/room:a/messages", json={"data": 1})
                problem(answer, 503, "unavailable")
                assert api.get("/readyz").status_code == 503
                redis.start()
                wait_until(lambda: api.get("/readyz").status_code == 200)
                assert publish(api, "room:a", data=1)["offset"] == 1

    def test_an_outage_of_redis_is_said_and_ends(self, tmp_path, issuer):
        with (
            start_redis(tmp_path, "--appendonly", "yes", "--appendfsync", "always") as redis,
            ServiceProcess(
                "publisher", tmp_path, OPENLINE_REDIS_URL=redis.url, **issuer.environment
            ) as process,
            client(process, issuer.token()) as api,
        ):
            publish(api, "room:a", data=1)
            redis.stop()
            for answer in (
                api.post("/v1/channels/room:a/messages", json={"data": 2, "key": "k"}),
                api.get("/v1/channels/room:a/messages"),
                api.delete("/v1/channels/room:a/messages"),
                api.get("/v1/channels"),
                api.get("/v1/nodes"),
                api.post("/v1/users/bob/disconnect"),
                api.post("/notify/a", json={}),
            ):
                body = problem(answer, 503, "unavailable")
                assert int(answer.headers["retry-after"]) >= 1
                assert body["retry_after"] > 0
            body = {"channels": ["room:a", "room:b"], "data": 1}
            results = api.post("/v1/broadcast", json=body).json()["results"]
            assert [(r["status"], r["code"]) for r in results] == [(503, "unavailable")] * 2
            wait_until(lambda: api.get("/readyz").status_code == 503)
            redis.start()
            wait_until(lambda: api.get("/readyz").status_code == 200)
            assert publish(api, "room:a", data=2, key="k")["offset"] == 2

    def test_a_paused_redis_does_not_hold_requests_for_long(self, tmp_path, issuer):
        with (
            start_redis(tmp_path) as redis,
            ServiceProcess(
                "publisher", tmp_path, OPENLINE_REDIS_URL=redis.url, **issuer.environment
            ) as process,
            client(process, issuer.token()) as api,
        ):
            publish(api, "room:a", data=1)
            redis.pause()
            begun = time.monotonic()
            answer = api.post("/v1/channels/room:a/messages", json={"data": 2})
            assert time.monotonic() - begun < 12
            redis.resume()
            problem(answer, 503, "unavailable")

    def test_sigterm_lets_requests_end(self, tmp_path, issuer, redis):
        with ServiceProcess(
            "publisher", tmp_path, OPENLINE_REDIS_URL=redis.url, **issuer.environment
        ) as process:
            sent = b'{"data":1}'
            head = (
                "POST /v1/channels/room:last/messages HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                f"Authorization: Bearer {issuer.token()}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(sent)}\r\n\r\n"
            )
            with socket.create_connection(("127.0.0.1", process.port), 60) as raw:
                raw.sendall(head.encode())
                wait_read(raw)
                stopping = threading.Thread(target=process.stop)
                stopping.start()
                time.sleep(0.3)
                raw.sendall(sent)
                assert raw.recv(12) == b"HTTP/1.1 201"
                while raw.recv(4096):
                    pass
            stopping.join()
            assert process.process.returncode == 0
