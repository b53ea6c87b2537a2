"""Who is warned that administrative calls are open to every private address."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from services.kernel.ops.admin_networks import warn_if_assumed
from services.kernel.ops.settings import Common


@pytest.mark.parametrize(
    ("given", "events"),
    [
        ({"public_url": "https://live.example.org"}, ["admin_networks_assumed"]),
        ({"public_url": "http://192.168.0.9:8080"}, ["admin_networks_assumed"]),
        ({"public_url": "https://live.example.org", "admin_networks": "10.1.0.0/16"}, []),
        ({"public_url": "http://127.0.0.1:8080"}, []),
        ({"public_url": "http://localhost:8080"}, []),
    ],
)
def test_a_service_that_strangers_reach_wants_the_networks_named(given, events):
    with capture_logs() as logs:
        warn_if_assumed(Common(**given))
    assert [line["event"] for line in logs] == events
