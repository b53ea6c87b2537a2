"""The running system that live tests of the client packages share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.stack import Stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One system for the whole session. A test that stops a part of it starts that part again."""
    with Stack(tmp_path_factory.mktemp("stack")) as running:
        yield running
