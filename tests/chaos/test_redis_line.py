"""The line to Redis breaks under every service: no 500, readiness true to the facts, and what was revoked stays so."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from tests.support.people import People
from tests.support.redis_line import (
    RedisLine,
    healthy,
    redis_answers,
    refused_everywhere,
    revoke,
    settled,
)
from tests.support.wire import WireClient

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.asyncio(loop_scope="module"),
]


async def ticket(people: People, token: str) -> httpx2.Response:
    return await people.http.post("/auth/tickets", headers={"Authorization": f"Bearer {token}"})


async def test_after_a_reset_of_every_connection_all_calls_are_answered(line: RedisLine) -> None:
    async with People(line.stack.run) as people:
        alice = await people.token("alice")
        sub = {"sub": "carol"}
        ticket_of_alice = (await ticket(people, alice)).json()["ticket"]
        calls: list[Callable[[], Any]] = [
            lambda: ticket(people, alice),
            lambda: people.call("POST", "/auth/connect-tokens", json=sub),
            lambda: people.call("POST", "/v1/channels/room:a/messages", json={"data": 1}),
            lambda: people.call("POST", "/v1/users/nobody/disconnect"),
            lambda: people.call("GET", "/v1/channels/room:a/messages"),
        ]
        for call in calls:
            await settled(call)
            line.proxy.reset()
            await settled(call)

        line.proxy.reset()
        socket = people.ws(path=f"/ws?ticket={ticket_of_alice}")
        async with await WireClient.open(socket, auth=False) as client:
            assert (await client.expect("connected"))["user"] == "alice"

        line.proxy.reset()
        await line.say(healthy)
        assert not [name for name in ("auth", "publisher") if "Traceback" in line.stack.log(name)]


async def test_a_revocation_after_a_reset_holds_everywhere(line: RedisLine) -> None:
    async with People(line.stack.run) as people:
        tokens = {gateway: await people.minted(f"user{gateway}") for gateway in (0, 1)}
        clients = [await WireClient.open(people.ws(gateway), tokens[gateway]) for gateway in tokens]
        line.proxy.reset()
        for token in tokens.values():
            await revoke(people, token)
        for client in clients:
            assert (await client.wait_closed(patience=10))[0] == 4005
        for token in tokens.values():
            await refused_everywhere(people, token)


async def test_readiness_follows_an_outage_and_its_end(line: RedisLine) -> None:
    await line.say(healthy)
    line.proxy.hung = True
    states = await line.say(lambda state: not redis_answers(state))
    publisher, auth, *gateways = states
    assert publisher["status"] == 503, "nothing can be stored"
    assert auth["status"] == 200, "logins need no Redis"
    assert {gateway["status"] for gateway in gateways} == {200}, "all share it: sockets stay"
    line.proxy.hung = False
    await line.say(healthy)


async def test_a_failover_that_loses_the_record_of_revocations_lets_nobody_in(
    line: RedisLine,
) -> None:
    async with People(line.stack.run) as people:
        token = await people.minted("mallory")
        with contextlib.closing(line.redis.client()) as client:
            client.save()
        await revoke(people, token)
        await refused_everywhere(people, token)

        # The state before the revocation, as a replica has it that lagged when it was promoted.
        line.redis.stop(kill=True)
        line.redis.start()
        line.proxy.reset()
        await line.say(healthy)
        await refused_everywhere(people, token)
        # It is in the record again: a service that starts now learns it as well.
        await asyncio.to_thread(line.stack.kill, "gateway-1")
        await refused_everywhere(people, token)
