"""The running system that end-to-end tests share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.support.people import People
from tests.support.stack import Stack


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One system for all of them. A test that stops a part of it starts that part again."""
    running = Stack(tmp_path_factory.mktemp("stack")).start()
    yield running
    assert running.stop() == 0, "Ctrl-C is no failure"


@pytest.fixture
async def people(stack: Stack) -> AsyncIterator[People]:
    """Who talks to the shared system."""
    async with People(stack.run) as talking:
        yield talking
