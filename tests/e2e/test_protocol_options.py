"""What an operator can change: namespaces of their own with a schema and sizes, and limits that are off for benches."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.support.people import People
from tests.support.stack import ROOT, Stack
from tests.support.wire import WireClient

pytestmark = pytest.mark.slow

NAMESPACES = """
[namespaces.form]
publish = "members"
message_bytes = 100

[namespaces.form.schema]
type = "object"
required = ["name"]
properties = { name = { type = "string" } }
"""


@pytest.fixture(scope="module")
def open_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A system without rates, with a namespace of its own."""
    folder = tmp_path_factory.mktemp("open")
    shipped = (ROOT / "deploy" / "namespaces.toml").read_text("utf-8")
    (folder / "namespaces.toml").write_text(shipped + NAMESPACES, "utf-8")
    own = {"OPENLINE_LIMITS": "off", "OPENLINE_NAMESPACES": str(folder / "namespaces.toml")}
    with Stack(folder, **own) as running:
        yield running


@pytest.fixture
async def people(open_stack: Stack) -> AsyncIterator[People]:
    """Who talks to it."""
    async with People(open_stack.run) as talking:
        yield talking


async def test_data_that_fails_the_schema_is_refused_with_the_reason(people: People) -> None:
    async with await people.connect("alice") as alice:
        await alice.subscribe("form:x")
        for data in ({}, {"name": 5}, "Zoë", None):
            refusal = await alice.refused("publish", channel="form:x", data=data)
            assert refusal["code"] == "invalid_data"
            assert "name" in refusal["message"] or "object" in refusal["message"]
        await alice.ok("publish", channel="form:x", data={"name": "Zoë"})
        big = await alice.refused("publish", channel="form:x", data={"name": "x" * 100})
        assert big["code"] == "too_large"


async def test_without_limits_rates_are_lifted_and_sizes_are_not(people: People) -> None:
    async with await people.connect("alice") as alice:
        for n in range(1000, 2000):
            await alice.send({"type": "ping", "id": n})
        await alice.expect("pong", where=lambda e: e["id"] == 1999)
        assert not alice.taken_or_not("error")
        await alice.subscribe("room:big")
        refusal = await alice.refused("publish", channel="room:big", data="x" * 70_000)
        assert refusal["code"] == "too_large"
        await alice.socket.send("x" * (2**20 + 1))
        assert (await alice.wait_closed())[0] == 1009


async def test_presence_of_more_than_1000_comes_in_pages(people: People) -> None:
    name = secrets.token_hex(6)
    token = await people.token("bob")
    path = f"/ws/rooms/{name}?token={token}"
    clients: list[WireClient] = []
    for _ in range(21):
        opened = (WireClient.open(people.ws(n % 2, path), auth=False) for n in range(50))
        clients += await asyncio.gather(*opened)
    for client in clients:
        await client.expect("connected", patience=20)
    async with await people.connect("alice") as alice:
        assert (await alice.subscribe(f"room:{name}"))["count"] == 1051
        first = await alice.ok("presence", channel=f"room:{name}")
        cursor = first["cursor"]
        rest = await alice.ok("presence", channel=f"room:{name}", cursor=cursor)
    assert (len(first["members"]), len(rest["members"])) == (1000, 51)
    assert rest["cursor"] is None
    assert [(page["count"], page["users"]) for page in (first, rest)] == [(1051, 2)] * 2
    connections = {m["connection"] for page in (first, rest) for m in page["members"]}
    assert len(connections) == 1051
    for client in clients:
        await client.vanish()
