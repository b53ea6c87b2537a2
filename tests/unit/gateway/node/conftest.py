"""The node's tasks run by the clock of a loop that waits for nothing."""

from __future__ import annotations

from tests.support.virtual_clock import VirtualClockLoop


def pytest_asyncio_loop_factories():
    return {"virtual": VirtualClockLoop}
