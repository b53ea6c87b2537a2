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
