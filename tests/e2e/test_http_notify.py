"""Notifications by topic through the front door: in every form in which they may be sent, and who gets them."""

from __future__ import annotations

import asyncio
import secrets
from datetime import datetime
from typing import Any

import pytest

from tests.support.event_stream import EventStream
from tests.support.people import People
from tests.support.problem_documents import problem
from tests.support.wire import WireClient


def topic() -> str:
    return secrets.token_hex(6)


@pytest.mark.parametrize(
    "options",
    [
        {"json": {"title": "t", "message": "m", "level": "info", "extra": "x"}},
        {"data": {"title": "t", "message": "m", "level": "info", "extra": "x"}},
        {"params": {"title": "t", "message": "m", "level": "info", "extra": "x"}},
        {"params": {"title": "t", "message": "q"}, "json": {"message": "m", "level": "info", "extra": "x"}},
        {"files": {name: (None, value) for name, value in {"title": "t", "message": "m", "level": "info", "extra": "x"}.items()}},
    ],
    ids=["json", "form", "query", "query-and-json", "multipart"],
)  # fmt: skip
async def test_every_form_of_sending_makes_the_same_notification(
    people: People, options: dict[str, Any]
) -> None:
    name = topic()
    async with await people.connect("alice") as alice:
        await alice.subscribe(f"notify:{name}")
        answer = await people.call("POST", f"/notify/{name}", **options)
        assert (answer.status_code, set(answer.json())) == (200, {"sent", "offset"})
        assert answer.json()["offset"] == 1
        seen = (await alice.message())["data"]
        assert datetime.fromisoformat(seen.pop("timestamp")).tzinfo is not None
        fields = {"title": "t", "message": "m", "level": "info", "extra": "x"}
        assert seen == {"type": "notification", **fields}


async def test_json_values_and_what_the_sender_says_of_type_and_time_are_kept(
    people: People,
) -> None:
    name = topic()
    given = {"type": "alarm", "timestamp": "then", "n": 1.50, "deep": {"a": [None, True]}}
    async with await people.connect("alice") as alice:
        await alice.subscribe(f"notify:{name}")
        await people.call("POST", f"/notify/{name}", json=given)
        assert (await alice.message())["data"] == given


async def test_sent_counts_every_subscription_of_the_fleet_within_a_second(people: People) -> None:
    name = topic()
    token = await people.token("alice")
    path = f"/notify/{name}"
    assert (await people.call("POST", path, json={"n": 1})).json() == {"sent": 0, "offset": 1}
    plain = await WireClient.open(people.ws(0, f"/ws/notify/{name}?token={token}"), auth=False)
    native = await people.connect("bob", gateway=1)
    await native.subscribe(f"notify:{name}")
    query = {"channel": f"notify:{name}", "token": token}
    async with EventStream.open(people.http, "/sse", params=query) as stream:
        await stream.next("subscribed")
        await asyncio.sleep(1)
        assert (await people.call("POST", path, json={"n": 2})).json() == {"sent": 3, "offset": 2}
        assert (await plain.expect())["n"] == 2
        assert (await native.message())["data"]["n"] == 2
        assert (await stream.next("message")).data["data"]["n"] == 2
    await native.vanish()
    await asyncio.sleep(1)
    assert (await people.call("POST", path, json={"n": 3})).json()["sent"] == 1
    await plain.close()


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"json": {"level": "loud"}}, 400),
        ({"params": {"level": "loud"}}, 400),
        ({"json": {"title": 1}}, 400),
        ({"json": {"message": None}}, 400),
        ({"data": {"title": ["a", "b"]}}, 400),
        ({"json": [1]}, 400),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 400),
        ({"content": b"\xff", "headers": {"content-type": "application/json"}}, 400),
        ({"content": b"a=%FF", "headers": {"content-type": "application/x-www-form-urlencoded"}}, 400),
        ({"content": b"\xff", "headers": {"content-type": "application/x-www-form-urlencoded"}}, 400),
        ({"content": b"&".join(b"a%d=1" % n for n in range(101)), "headers": {"content-type": "application/x-www-form-urlencoded"}}, 400),
        ({"content": b"--", "headers": {"content-type": "multipart/form-data"}}, 400),
        ({"content": b"--x", "headers": {"content-type": "multipart/form-data; boundary=y"}}, 400),
        ({"files": {"f": ("name", b"content")}}, 400),
        ({"content": b"hi", "headers": {"content-type": "text/plain"}}, 415),
        ({"content": b"hi"}, 415),
        ({"params": {"token": "secret"}}, 400),
        ({"json": {"n": 2**64}}, 422),
        ({"json": {"big": "x" * 65_536}}, 413),
        ({"content": b'{"n":1e999}', "headers": {"content-type": "application/json"}}, 422),
    ],
)  # fmt: skip
async def test_a_bad_notification_is_named(
    people: People, options: dict[str, Any], status: int
) -> None:
    code = {413: "too_large", 422: "invalid_data"}.get(status, "bad_request")
    problem(await people.call("POST", f"/notify/{topic()}", **options), status, code)


async def test_a_bad_topic_is_named(people: People) -> None:
    for name in ("a%2Fb", "a/b", "a%20b", "x" * 201, ""):
        problem(await people.call("POST", f"/notify/{name}", json={}), 400, "bad_request")
