"""A busy machine is no failure of a broker: its servers are given more time here than in service."""

from __future__ import annotations

import pytest

from services.kernel.broker.redis import fleet, partitions
from services.kernel.redis import cluster, connections, sentinel


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """Tests of one of these times set it again."""
    for module, name in (
        (connections, "CONNECT_TIMEOUT"),
        (connections, "ANSWER_TIMEOUT"),
        (sentinel, "PATIENCE"),
        (cluster, "PATIENCE"),
        (partitions, "START_SECONDS"),
        (fleet, "HEALTH_SECONDS"),
    ):
        monkeypatch.setattr(module, name, 30.0)


@pytest.fixture
def server(started):
    """The server that a file has started, emptied."""
    with started.client() as client:
        client.flushall()
    return started


@pytest.fixture
def at(running, monkeypatch):
    """The servers between which a file moves a partition, emptied; a move does not wait for their files."""
    monkeypatch.setattr("services.handover.move.FILE_SECONDS", 0)
    running.empty()
    return running
