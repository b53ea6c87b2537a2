"""Whatever a stranger may send to any call: a refusal that says what would be right, never an error of ours."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

import httpx2
import pytest

from tests.support.api_clients import demo_client
from tests.support.people import People
from tests.support.problem_documents import problem

CHANNEL = "/v1/channels/room:bad/messages"
JSON_CALLS = [
    CHANNEL,
    "/v1/messages",
    "/v1/broadcast",
    "/v1/users/bob/messages",
    "/v1/connections/c/messages",
    "/v1/users/nobody/subscribe",
    "/v1/users/nobody/unsubscribe",
    "/v1/users/nobody/disconnect",
    "/v1/connections/none/disconnect",
    "/notify/bad",
    "/auth/connect-tokens",
]
NOT_JSON = {
    "text": b"hello",
    "cut short": b'{"data":',
    "two": b'{"data":1}{"data":2}',
    "single quotes": b"{'data':1}",
    "not a number": b'{"data":NaN,"code":NaN}',
    "invalid UTF-8": b'\xff{"data":1}',
    "UTF-16": '{"data":1}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf" + b'{"data":1}',
    "a lone surrogate": b'{"data":"\\ud800","code":"\\ud800"}',
    "NUL": b"\0" * 100,
    "open brackets": b"[" * 50_000,
    "no object": b"[1]",
    "a string": b'"x"',
    "null": b"null",
}
WRONG: list[tuple[str, Any]] = [
    (CHANNEL, {}),
    (CHANNEL, {"data": 1, "key": 1}),
    (CHANNEL, {"data": 1, "key": ""}),
    (CHANNEL, {"data": 1, "key": "k" * 129}),
    (CHANNEL, {"data": 1, "key": "a\nb"}),
    (CHANNEL, {"data": 1, "tags": ["a"]}),
    (CHANNEL, {"data": 1, "tags": {"a": 1}}),
    (CHANNEL, {"data": 1, "tags": {f"t{n}": "" for n in range(17)}}),
    (CHANNEL, {"data": 1, "ephemeral": "yes"}),
    (CHANNEL, {"data": 1, "expect": "e:1"}),
    (CHANNEL, {"data": 1, "expect": {"epoch": "e"}}),
    (CHANNEL, {"data": 1, "expect": {"epoch": "e!", "offset": 1}}),
    (CHANNEL, {"data": 1, "expect": {"epoch": "e", "offset": -1}}),
    (CHANNEL, {"data": 1, "expect": {"epoch": "e", "offset": 2**63}}),
    (CHANNEL, {"data": 1, "expect": {"epoch": "e", "offset": True}}),
    ("/v1/messages", {}),
    ("/v1/messages", {"messages": {}}),
    ("/v1/messages", {"messages": [1]}),
    ("/v1/messages", {"messages": [{"data": 1}]}),
    ("/v1/messages", {"messages": [{"channel": "room:a"}]}),
    ("/v1/messages", {"messages": [{"channel": 1, "data": 1}]}),
    ("/v1/broadcast", {"data": 1}),
    ("/v1/broadcast", {"channels": ["room:a"]}),
    ("/v1/broadcast", {"channels": "room:a", "data": 1}),
    ("/v1/broadcast", {"channels": [1], "data": 1}),
]


@pytest.mark.parametrize("path", JSON_CALLS)
async def test_a_body_that_is_no_json_object_is_a_bad_request(people: People, path: str) -> None:
    headers = {"content-type": "application/json"}
    for content in NOT_JSON.values():
        answer = await people.call("POST", path, content=content, headers=headers)
        problem(answer, 400, "bad_request")


@pytest.mark.parametrize(("path", "body"), WRONG)
async def test_a_field_that_is_not_as_it_should_be_is_named(
    people: People, path: str, body: Any
) -> None:
    said = problem(await people.call("POST", path, json=body), 400, "bad_request")["detail"]
    wrong = [key for key in ("key", "tags", "ephemeral", "expect") if key in json.dumps(body)]
    assert all(key in said or key == "expect" for key in wrong)


@pytest.mark.parametrize(
    "content",
    [
        b'{"data":%b}' % (b"[" * 65 + b"]" * 65),
        b'{"data":%b}' % (b"[" * 100_000 + b"]" * 100_000),
        b'{"a":' * 10_000,
        b'{"data":18446744073709551616}',
        b'{"data":-9223372036854775809}',
        b'{"data":1e999}',
        b'{"data":%b}' % (b"9" * 5000),
        b'{"data":"\xff"}',
    ],
)
async def test_data_that_no_reader_could_hold_is_invalid_data(
    people: People, content: bytes
) -> None:
    headers = {"content-type": "application/json"}
    for path in (CHANNEL, "/v1/users/bob/messages", "/v1/connections/c/messages"):
        answer = await people.call("POST", path, content=content, headers=headers)
        problem(answer, 422, "invalid_data")


async def test_no_query_of_any_call_is_an_error_of_ours(people: People) -> None:
    calls = [
        ("GET", CHANNEL),
        ("DELETE", CHANNEL),
        ("GET", "/v1/channels/room:bad/presence"),
        ("GET", "/v1/channels"),
        ("GET", "/v1/nodes"),
        ("POST", CHANNEL),
        ("POST", "/notify/bad"),
        ("GET", "/auth/jwks.json"),
        ("POST", "/auth/tickets"),
    ]
    names = ("since", "limit", "reverse", "cursor", "prefix", "key", "ephemeral", "level", "%00")
    values = ("", "%00", "%FF", "%F0%9F%92%A9", "-1", "9" * 400, "a=b;c", "%", "[]", "'%22<>", "+")

    async def ask(method: str, path: str, query: str) -> httpx2.Response:
        body: dict[str, Any] = {}
        if path == CHANNEL and method == "POST":
            body = {"json": {"data": 1, "ephemeral": True}}
        return await people.call(method, f"{path}?{query}", **body)

    for method, path in calls:
        queries = [f"{name}={value}" for name, value in itertools.product(names, values)]
        queries += ["&".join(f"a{n}=1" for n in range(500)), "&&&", "=", "since=x:1&since=x:1"]
        for answer in await asyncio.gather(*(ask(method, path, query) for query in queries)):
            if not answer.is_success:
                assert answer.status_code in (400, 404, 409), answer.text
                problem(answer, answer.status_code, answer.json()["code"])


async def test_ten_megabytes_are_refused_and_cost_nobody_else(people: People) -> None:
    large = b'{"data":"' + b"x" * 10_000_000
    headers = {"content-type": "application/json"}

    async def send() -> None:
        try:
            answer = await people.call("POST", CHANNEL, content=large, headers=headers)
        except httpx2.WriteError:
            return  # refused and closed before all of it was sent
        problem(answer, 413, "too_large")

    async with await people.connect("alice") as alice:
        sending = [asyncio.create_task(send()) for _ in range(5)]
        assert (await alice.call("ping"))["type"] == "pong"
        await asyncio.gather(*sending)


async def test_forms_with_everything_in_them_are_refused_as_oauth_says(people: People) -> None:
    for path in ("/auth/token", "/auth/revoke", "/auth/introspect"):
        for name in ("grant_type", "scope", "token", "username", "password", "refresh_token"):
            for value in ("\0", "💩" * 1000, "'; drop table users; --", "x" * 20_000):
                form = {"grant_type": "refresh_token", "token": "t", name: value}
                answer = await people.http.post(path, data=form, auth=demo_client(people.run))
                assert answer.status_code in (200, 400), answer.text
                if answer.status_code == 400:
                    assert answer.json()["error"].startswith(("invalid_", "unsupported_"))
