"""A system whose services all reach their Redis through one proxy that a test steers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx2
import pytest

from loadtest.chaos.proxy import SteerableProxy
from tests.support.people import People
from tests.support.redis_server import RedisServer
from tests.support.stack import Stack
from tests.support.wire import Closed, WireClient

PATIENCE = 30.0
"""Seconds in which what services say of themselves must fit the facts: three, and the rest for a busy machine."""


class RedisLine:
    """The system, its Redis and the proxy between."""

    def __init__(self, redis: RedisServer, proxy: SteerableProxy, stack: Stack) -> None:
        self.redis, self.proxy, self.stack = redis, proxy, stack
        run = stack.run
        self.services: list[str] = [run["publisher"], run["auth"], *run["gateways"]]

    async def states(self) -> list[dict[str, Any]]:
        """What /readyz of each service says: its status and its body."""
        async with httpx2.AsyncClient(timeout=20) as http:
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


def redis_answers(state: dict[str, Any]) -> bool:
    """Whether a service says so, each in its own words."""
    return state.get("redis", state.get("store")) in ("ok", True)


def healthy(state: dict[str, Any]) -> bool:
    """Whether a service is ready and Redis answers it."""
    return state["status"] == 200 and redis_answers(state)


async def settled(call: Callable[[], Any], patience: float = 40) -> None:
    """Repeat a call until it is answered well: only `unavailable` may come before."""
    async with asyncio.timeout(patience):
        while not (answer := await call()).is_success:
            assert (answer.status_code, answer.json()["code"]) == (503, "unavailable"), answer.text


async def revoke(people: People, token: str) -> None:
    """Revoke a token as the demo client, whatever Redis does at first."""
    client = people.run["clients"][0]
    form = {"token": token, "token_type_hint": "access_token"}
    login = (client["client_id"], client["client_secret"])
    await settled(lambda: people.http.post("/auth/revoke", data=form, auth=login))


async def refused_everywhere(people: People, token: str) -> None:
    """Demand that neither a gateway nor the publisher takes this token."""
    for gateway in range(len(people.run["gateways"])):
        with pytest.raises(Closed) as closed:
            await WireClient.open(people.ws(gateway), token)
        assert closed.value.code == 4001
    # Whoever is refused before the body has come loses the connection behind the answer (nginx passes bodies on as they
    # come): what is kept could end under the next call.
    headers = {"Authorization": f"Bearer {token}", "Connection": "close"}
    call = partial(
        people.http.post, "/v1/channels/room:a/messages", json={"data": 1}, headers=headers
    )
    async with asyncio.timeout(PATIENCE):
        while (answer := await call()).status_code != 401:
            assert (answer.status_code, answer.json()["code"]) in (
                (403, "forbidden"),
                (503, "unavailable"),
            )
