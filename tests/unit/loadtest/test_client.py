"""Load client, feeder and a baseline together: what is counted is what was sent."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from loadtest.bench import selftest, targets
from loadtest.bench.bench import Audience, join
from loadtest.bench.remote import Remote

pytestmark = [pytest.mark.server, pytest.mark.slow]


def test_gaps_reorders_and_repeats_of_a_known_script_are_counted():
    selftest.check()


@pytest.mark.parametrize("make", [targets.floor, targets.tutorials, targets.broadcast])
def test_each_message_of_a_baseline_arrives_once_at_every_reader(make):
    with ExitStack() as stack:
        target = make()
        stack.callback(target.stop)
        audience = Audience(target, 10, stack, sample=1)
        for _ in range(2):
            values = audience.measure("steady", rate=100, seconds=0.3)
            assert (values["published"], values["arrived"]) == (30, 1)
            assert (values["gaps"], values["reorders"], values["lost"]) == (0, 0, 0)
            assert 0 < values["cpu_us"] < 10_000
            assert 0 < values["p50_ms"] <= values["p99_ms"]


def test_a_flood_waits_for_what_comes_back():
    with ExitStack() as stack:
        target = targets.floor()
        stack.callback(target.stop)
        audience = Audience(target, 3, stack)
        values = audience.measure("flood", seconds=0.3, outstanding=16, batch=4)
        assert values["published"] > 16
        assert values["arrived"] == 1


def test_refused_connections_are_an_error_that_says_why():
    target = targets.tutorials_with_token()
    try:
        with Remote("client") as client, pytest.raises(RuntimeError, match="403"):
            join(client, {**target.subscribe, "paths": ["/ws/token?token=wrong"], "count": 2})
    finally:
        target.stop()
