"""The order to move the clients of one front door: who may give it, and what it says."""

from __future__ import annotations

import json

import pytest
from starlette.requests import Request

from services.gateway.transports.moving import MovingRoute
from services.kernel.domain.codes import Code, OpenlineError


class Fleet:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.orders: list[tuple[str, float]] = []
        self.failure: OpenlineError | None = None

    async def order_move(self, proxy: str, seconds: float) -> None:
        if self.failure:
            raise self.failure
        self.orders.append((proxy, seconds))


def asking(caller: str, query: str = "seconds=30") -> Request:
    scope = {"type": "http", "client": (caller, 1), "query_string": query.encode(), "headers": []}
    return Request({**scope, "path_params": {"proxy": "nginx-1"}})


@pytest.mark.parametrize(
    ("trusted", "caller"),
    [(("10.0.0.0/8",), "10.2.3.4"), (("127.0.0.1", "::1"), "127.0.0.1"), (("*",), "203.0.113.9")],
)
async def test_who_may_speak_for_clients_may_move_them(trusted, caller):
    fleet = Fleet()
    answer = await MovingRoute(fleet, trusted).move(asking(caller))
    assert (answer.status_code, fleet.orders) == (202, [("nginx-1", 30)])


async def test_nobody_else_may():
    fleet = Fleet()
    answer = await MovingRoute(fleet, ("10.0.0.0/8",)).move(asking("203.0.113.9"))
    assert answer.status_code == 403
    assert "OPENLINE_TRUSTED_PROXIES" in json.loads(answer.body)["detail"]
    assert fleet.orders == []


@pytest.mark.parametrize("query", ["", "seconds=", "seconds=-1", "seconds=601", "seconds=1e2"])
async def test_the_seconds_must_be_said(query):
    answer = await MovingRoute(Fleet(), ("*",)).move(asking("127.0.0.1", query))
    assert answer.status_code == 400
    assert "0 to 600" in json.loads(answer.body)["detail"]


async def test_while_the_store_is_away_the_order_is_not_taken():
    fleet = Fleet()
    fleet.failure = OpenlineError(Code.UNAVAILABLE, "no store")
    assert (await MovingRoute(fleet, ("*",)).move(asking("127.0.0.1"))).status_code == 503
