"""A system of its own for each file that mistreats one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.support.people import People
from tests.support.stack import Stack


@pytest.fixture(scope="module")
def stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """A system with the module's `SETTINGS`."""
    settings = getattr(request.module, "SETTINGS", {})
    with Stack(tmp_path_factory.mktemp("stack"), **settings) as running:
        yield running


@pytest.fixture
async def people(stack: Stack) -> AsyncIterator[People]:
    """Who talks to it."""
    async with People(stack.run) as talking:
        yield talking
