"""A client that is limited to channels is limited in everything that it does and mints."""

from __future__ import annotations

import secrets

import pytest

from tests.support.api_clients import add_client, token_of
from tests.support.people import People
from tests.support.problem_documents import problem
from tests.support.stack import Stack
from tests.support.wire import WireClient


@pytest.fixture(scope="module")
def headers(stack: Stack) -> dict[str, str]:
    client = add_client(stack, "manage tokens read", {"room:team-*": ["subscribe", "publish"]})
    return {"authorization": f"Bearer {token_of(stack, client)}"}


async def test_what_it_mints_reads_no_personal_channel(
    people: People, headers: dict[str, str]
) -> None:
    user = f"u-{secrets.token_hex(4)}"
    body = {"sub": user, "channels": {"room:team-a": ["subscribe"]}}
    answer = await people.http.post("/auth/connect-tokens", json=body, headers=headers)
    token = answer.json()["token"]
    async with await WireClient.open(people.ws(0), token) as client:
        assert f"user:{user}" not in client.seen[0]["channels"]
        refusal = await client.call("subscribe", channel=f"user:{user}")
        assert refusal["code"] == "forbidden"
        await client.ok("subscribe", channel="room:team-a")


async def test_its_scope_manage_reaches_its_channels_only(
    people: People, headers: dict[str, str]
) -> None:
    for method, path in (
        ("POST", "/v1/users/alice/disconnect"),
        ("POST", "/v1/connections/c/disconnect"),
        ("GET", "/v1/nodes"),
        ("POST", "/auth/keys/rotate"),
    ):
        answer = await people.http.request(method, path, headers=headers)
        assert "beyond channels" in problem(answer, 403, "forbidden")["detail"], path
    for channel, status in (("room:team-a", 202), ("room:other", 403)):
        for call in ("subscribe", "unsubscribe"):
            path = f"/v1/users/alice/{call}"
            answer = await people.http.post(path, json={"channel": channel}, headers=headers)
            assert answer.status_code == status
    answer = await people.http.delete("/v1/channels/room:other/messages", headers=headers)
    problem(answer, 403, "forbidden")
