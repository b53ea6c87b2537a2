"""Limits as they were set, over two gateways."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.support.lived import Lived
from tests.support.people import People
from tests.support.stack import Stack
from tests.support.wire import WireClient

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    limits = {
        "CONNECTIONS_PER_ADDRESS": "10",
        "CONNECTIONS_PER_USER": "3",
        "CHANNELS_PER_CONNECTION": "2",
        "COMMAND_RATE": "5",
        "COMMAND_BURST": "7",
        "TICKET_SECONDS": "1",
        "NGINX_PAGE_RATE": "1",
        "NGINX_PAGE_BURST": "5",
        "HEAD_LINES": "60",
    }
    folder = tmp_path_factory.mktemp("limits")
    with Stack(folder, **{f"OPENLINE_{name}": value for name, value in limits.items()}) as running:
        yield running


@pytest.fixture
async def people(stack: Stack) -> AsyncIterator[People]:
    async with People(stack.run) as people:
        yield people


async def closed(clients: list[WireClient], number: int) -> list[tuple[int, str]]:
    """How those were closed that were, once so many are and half a second has passed."""
    deadline = time.monotonic() + 60
    while sum(client.closed is not None for client in clients) < number:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.6)
    return [client.closed for client in clients if client.closed is not None]


async def test_an_address_has_as_many_connections_over_the_fleet_as_were_set(
    people: People,
) -> None:
    clients = [
        await WireClient.open(people.ws(n % 2, "/ws?anonymous=1"), auth=False) for n in range(14)
    ]
    ends = await closed(clients, 4)
    assert [code for code, _ in ends] == [4104] * 4
    assert all("10 connections" in reason for _, reason in ends)
    for client in clients:
        await client.close()


async def test_a_user_and_a_connection_have_what_was_set(people: People) -> None:
    token = await people.minted(f"u-{secrets.token_hex(4)}")
    clients = [await WireClient.open(people.ws(n % 2), token) for n in range(4)]
    ends = await closed(clients, 1)
    assert [code for code, _ in ends] == [4104]
    client = next(client for client in clients if client.closed is None)
    for n in range(40):
        await client.send({"type": "ping", "id": n})
    refusal = await client.expect("error")
    assert refusal["code"] == "rate_limited"
    assert "5 a second" in refusal["message"]
    for client in clients:
        await client.close()


async def test_a_ticket_lives_as_long_as_was_set(people: People) -> None:
    token = await people.minted(f"u-{secrets.token_hex(4)}")
    answer = await people.http.post(
        f"{people.run['auth']}/auth/tickets", headers={"authorization": f"Bearer {token}"}
    )
    assert answer.json()["expires_in"] == 1


async def test_nginx_keeps_the_limits_that_were_set(people: People) -> None:
    began = time.monotonic()
    answers = await asyncio.gather(*(people.http.get("/") for _ in range(40)))
    seconds = time.monotonic() - began
    pages = [answer.status_code for answer in answers]
    assert set(pages) == {200, 429}
    assert 6 <= pages.count(200) <= 7 + seconds, "the burst, the first, and what came by again"
    assert (await people.http.get("/healthz")).status_code == 200
    assert (await people.call("GET", "/v1/channels")).status_code == 200


async def test_a_head_has_as_many_lines_as_were_set(people: People) -> None:
    many = {f"x-{number}": "y" for number in range(70)}
    for path in ("/sse?channel=public:all", "/v1/channels", "/auth/jwks.json"):
        answer = await people.http.get(path, headers=many)
        assert answer.status_code == 431
        assert "at most 60 headers" in answer.text


async def at_the_limit(people: People) -> tuple[list[WireClient], str]:
    """The connections that a user may have, on both gateways and known to the fleet, and a token for more."""
    user = f"u-{secrets.token_hex(4)}"
    token = await people.minted(user)
    clients = [await WireClient.open(people.ws(n % 2), token) for n in range(3)]
    await people.counted(f"user:{user}", 3)
    return clients, token


async def knock(people: People, token: str) -> WireClient:
    """A connection that was let in, or closed soon."""
    client = await WireClient.open(people.ws(0), auth=False)
    await client.send({"type": "auth", "token": token})
    async with Lived(people.answer) as lived:
        while client.closed is None and lived.seconds < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await asyncio.sleep(0.5)  # no client comes back at once
    return client


async def test_a_user_whose_phone_lost_its_network_gets_in_at_the_limit(people: People) -> None:
    clients, token = await at_the_limit(people)
    for client in clients[:2]:  # one on each gateway
        client.socket.transport.pause_reading()
    refused = []
    async with Lived(people.answer) as lived:
        while (client := await knock(people, token)).closed is not None:
            refused.append(client.closed[0])
            assert lived.seconds < 20, f"{refused}: before their heartbeat would have ended them"
    assert refused, "they counted at first"
    assert set(refused) == {4104}, "nobody was told to stay away"
    assert clients[2].closed is None
    assert (await clients[2].call("ping"))["type"] == "pong"
    for one in (*clients, client):
        one.socket.transport.resume_reading()
        await one.close()


async def test_connections_that_are_quiet_but_alive_keep_their_places(people: People) -> None:
    clients, token = await at_the_limit(people)
    began = time.monotonic()
    while time.monotonic() - began < 8:
        assert (await knock(people, token)).closed is not None
    assert [client.closed for client in clients] == [None] * 3
    for client in clients:
        await client.close()
