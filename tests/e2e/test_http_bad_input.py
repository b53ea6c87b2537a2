"""Whatever a stranger may send to any call: a refusal that says what would be right, never an error of ours."""

from __future__ import annotations

import asyncio
import itertools
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


@pytest.mark.parametrize("path", JSON_CALLS)
async def test_a_body_that_is_no_json_object_is_a_bad_request(people: People, path: str) -> None:
    headers = {"content-type": "application/json"}
    answer = await people.call("POST", path, content=b'{"data":', headers=headers)
    problem(answer, 400, "bad_request")


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
