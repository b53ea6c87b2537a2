"""What a gateway says of itself and its limits."""

from __future__ import annotations

from services.gateway.session.announcement import announcement
from services.kernel.domain import namespaces
from services.kernel.domain.limits import Limits

KNOWN = namespaces.parse({"namespaces": {"a": {"message_bytes": 100}, "b": {"message_bytes": 900}}})


def test_the_limits_are_what_a_client_may_use_and_the_largest_message_of_any_namespace():
    limits = Limits(command_rate=12.5, command_burst=40, channels_per_connection=7, ping_seconds=20)
    assert announcement("here", limits, KNOWN, version="1.2.3") == {
        "node": "here",
        "ping": 20,
        "limits": {"commands": 12.5, "burst": 40, "channels": 7, "message_bytes": 900},
        "version": "1.2.3",
    }


def test_without_rates_there_is_nothing_to_pace_by_but_sizes_stay():
    limits = announcement("here", Limits(rates=False), KNOWN, version="1")["limits"]
    assert limits == {"commands": None, "burst": None, "channels": 100, "message_bytes": 900}
