"""What a test of the gateway has begun and not ended is dropped behind it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.gateway_host import forget_unborn


@pytest.fixture(autouse=True)
def unborn() -> Iterator[None]:
    yield
    forget_unborn()
