"""The whole system on a master that Sentinels replace: its clients keep their sockets and miss nothing unflagged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from tests.support.people import People
from tests.support.sentinel_group import SentinelGroup
from tests.support.stack import Stack
from tests.support.traffic import under_traffic

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SentinelGroup]:
    """A master, two replicas, three Sentinels."""
    with SentinelGroup(tmp_path_factory.mktemp("group")) as running:
        yield running


@pytest.fixture(scope="module")
def system(group: SentinelGroup, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Everything else."""
    with Stack(tmp_path_factory.mktemp("stack"), OPENLINE_REDIS_URL=group.url) as running:
        yield running


@pytest.fixture
async def people(system: Stack) -> AsyncIterator[People]:
    """Who talks to it."""
    async with People(system.run) as talking:
        yield talking


def _kill(group: SentinelGroup) -> Callable[[], object]:
    master = group.master()
    master.stop(kill=True)
    return master.start


def _order(group: SentinelGroup) -> Callable[[], object]:
    group.failover()
    return lambda: None


@pytest.mark.parametrize("fault", [_order, _kill])
async def test_nothing_is_missed_unflagged_when_the_master_is_replaced(
    system: Stack,
    group: SentinelGroup,
    people: People,
    fault: Callable[[SentinelGroup], Callable[[], object]],
) -> None:
    async with under_traffic(people, seconds=16, before=2):
        back = await asyncio.to_thread(fault, group)

    token = await people.token("alice")
    answer = await people.http.post("/auth/tickets", headers={"authorization": f"Bearer {token}"})
    assert answer.is_success, "tickets follow the master, too"
    for service in ("gateway-1", "gateway-2", "publisher"):
        assert "master_moved" in system.log(service), service
    await asyncio.to_thread(back)
    await asyncio.to_thread(group.wait_whole)
