"""The line to Redis breaks under every service: no 500, readiness true to the facts, and what was revoked stays so."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from tests.support.people import People
from tests.support.redis_server import RedisServer, start_redis
from tests.support.stack import Stack
from tests.support.steerable_proxy import SteerableProxy
from tests.support.wire import Closed, WireClient

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.asyncio(loop_scope="module"),
]

PATIENCE = 10.0
"""Seconds in which what services say of themselves must fit the facts: three, and the rest for a busy machine."""


class Line:
    """A system whose services all reach their Redis through one proxy."""

    def __init__(self, redis: RedisServer, proxy: SteerableProxy, stack: Stack) -> None:
        self.redis, self.proxy, self.stack = redis, proxy, stack
        run = stack.run
        self.services: list[str] = [run["publisher"], run["auth"], *run["gateways"]]

    async def states(self) -> list[dict[str, Any]]:
        """What /readyz of each service says: its status and its body."""
        async with httpx2.AsyncClient(timeout=5) as http:
            answers = [await http.get(f"{service}/readyz") for service in self.services]
        return [{"status": answer.status_code, **answer.json()} for answer in answers]

    async def say(self, condition: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """Wait until the condition holds for what every service says."""
        states: list[dict[str, Any]] = []
        try:
            async with asyncio.timeout(PATIENCE):
                while not (states and all(map(condition, states))):
                    await asyncio.sleep(0.05)
                    states = await self.states()
        except TimeoutError:
            raise AssertionError(f"after {PATIENCE} s: {states}") from None
        return states


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def line(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Line]:
    """Redis, the proxy before it, and everything else behind that."""
    tmp_path = tmp_path_factory.mktemp("line")
    with start_redis(tmp_path / "redis", "--maxmemory-policy", "noeviction") as redis:
        async with SteerableProxy(redis.port) as proxy:
            url = f"redis://127.0.0.1:{proxy.port}/0"
            stack = Stack(tmp_path / "stack", OPENLINE_REDIS_URL=url)
            await asyncio.to_thread(stack.start)
            try:
                yield Line(redis, proxy, stack)
            finally:
                await asyncio.to_thread(stack.stop)


async def ticket(people: People, token: str) -> httpx2.Response:
    return await people.http.post("/auth/tickets", headers={"Authorization": f"Bearer {token}"})


async def settled(call: Callable[[], Any], patience: float = 15) -> None:
    """Repeat a call until it is answered well: only `unavailable` may come before."""
    async with asyncio.timeout(patience):
        while not (answer := await call()).is_success:
            assert (answer.status_code, answer.json()["code"]) == (503, "unavailable"), answer.text


async def revoke(people: People, token: str) -> None:
    client = people.run["clients"][0]
    form = {"token": token, "token_type_hint": "access_token"}
    login = (client["client_id"], client["client_secret"])
    await settled(lambda: people.http.post("/auth/revoke", data=form, auth=login))


def redis_answers(state: dict[str, Any]) -> bool:
    """Whether a service says so, each in its own words."""
    return state.get("redis", state.get("store")) in ("ok", True)


def healthy(state: dict[str, Any]) -> bool:
    return state["status"] == 200 and redis_answers(state)


async def test_after_a_reset_of_every_connection_all_calls_are_answered(line: Line) -> None:
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


async def test_a_revocation_after_a_reset_holds_everywhere(line: Line) -> None:
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


async def test_readiness_follows_an_outage_and_its_end(line: Line) -> None:
    await line.say(healthy)
    line.proxy.hung = True
    states = await line.say(lambda state: not redis_answers(state))
    publisher, auth, *gateways = states
    assert publisher["status"] == 503, "nothing can be stored"
    assert auth["status"] == 200, "logins need no Redis"
    assert {gateway["status"] for gateway in gateways} == {200}, "all share it: sockets stay"
    line.proxy.hung = False
    await line.say(healthy)


async def test_a_failover_that_loses_the_record_of_revocations_lets_nobody_in(line: Line) -> None:
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


async def refused_everywhere(people: People, token: str) -> None:
    for gateway in range(len(people.run["gateways"])):
        with pytest.raises(Closed) as closed:
            await WireClient.open(people.ws(gateway), token)
        assert closed.value.code == 4001
    headers = {"Authorization": f"Bearer {token}"}
    call = partial(
        people.http.post, "/v1/channels/room:a/messages", json={"data": 1}, headers=headers
    )
    async with asyncio.timeout(PATIENCE):
        while (answer := await call()).status_code != 401:
            assert (answer.status_code, answer.json()["code"]) in (
                (403, "forbidden"),
                (503, "unavailable"),
            )
