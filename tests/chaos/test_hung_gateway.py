"""A gateway hangs (SIGSTOP): it accepts connections and says nothing. Nobody waits longer than a client's patience."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx2
import pytest
import websockets

from tests.support.people import People
from tests.support.stack import Stack

PATIENCE = 5.0
"""Seconds: half of what Python's websockets gives an opening handshake."""

pytestmark = [pytest.mark.slow, pytest.mark.alone]


@pytest.fixture
def hung(stack: Stack) -> Iterator[str]:
    """The name of a gateway that hangs, until the test is over."""
    stack.pause("gateway-1")
    yield "gateway-1"
    stack.resume("gateway-1")
    stack.wait_ready("gateway-1")


async def where(people: People, cookie: str = "") -> tuple[str, str, float]:
    """A handshake through the front door: the gateway it led to, the cookie that keeps it there, and its seconds."""
    url = people.ws() + "?anonymous=1"
    headers = {"cookie": cookie} if cookie else {}
    began = time.monotonic()
    async with websockets.connect(url, additional_headers=headers, open_timeout=30) as socket:
        took = time.monotonic() - began
        node = str(await socket.recv()).partition('"node":"')[2].partition('"')[0]
        given = socket.response.headers.get("set-cookie", "") if socket.response else ""
        return node, given.partition(";")[0] or cookie, took


async def bound_to(people: People, node: str) -> str:
    """The cookie of a client whose gateway is this one."""
    found, cookie = "", ""
    while found != node:
        found, cookie, _ = await where(people)
    return cookie


async def test_a_client_whose_cookie_names_a_hung_gateway_gets_another(
    stack: Stack, people: People
) -> None:
    cookie = await bound_to(people, "gateway-1")
    assert (await where(people, cookie))[0] == "gateway-1"
    stack.pause("gateway-1")
    try:
        tries = [await where(people, cookie) for _ in range(5)]
        assert {node for node, _, _ in tries} == {"gateway-2"}
        assert tries[0][2] < PATIENCE
        assert sorted(took for _, _, took in tries)[3] < 1.5, "the others need not find out again"
    finally:
        stack.resume("gateway-1")
    stack.wait_ready("gateway-1")
    deadline = time.monotonic() + 40
    while (await where(people, cookie))[0] != "gateway-1":
        assert time.monotonic() < deadline, "it is asked again when it answers again"


async def test_nobody_else_waits_for_it_longer(people: People, hung: str) -> None:
    tries = [await where(people) for _ in range(20)]
    assert hung not in {node for node, _, _ in tries}
    assert max(took for _, _, took in tries) < PATIENCE


async def test_an_event_stream_begins_as_well(people: People, hung: str) -> None:
    for _ in range(4):
        began = time.monotonic()
        async with (
            httpx2.AsyncClient(timeout=30) as http,
            http.stream("GET", f"{people.front_door}/sse?channel=public:all") as answer,
        ):
            assert answer.status_code == 200
        assert time.monotonic() - began < PATIENCE, hung
