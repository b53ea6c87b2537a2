"""The hub keeps the guarantee in thousands of random schedules, and each of its rules is needed for that.

OPENLINE_SCHEDULES sets how many schedules are run, OPENLINE_SEED where to begin. A failure names its seed and the few
steps that matter.
"""

from __future__ import annotations

import os
from random import SystemRandom

import pytest
from hypothesis import settings

from tests.property.simulator.gateway import Gateway
from tests.property.simulator.schedules import make, search, shrink, violation
from tests.property.simulator.switches import SWITCHES
from tests.property.simulator.world import Step, World

SCHEDULES = int(os.environ.get("OPENLINE_SCHEDULES") or 10 * settings.default.max_examples)
FIRST = int(os.environ.get("OPENLINE_SEED", "0"))
CHUNKS = 6
FOUND_WITHIN = 2000
# Where to look first for what few schedules show: hundreds of others would be run before.
NEAR = {
    "looks_are_not_fenced": 30,
    "every_reply_counts": 620,
    "newcomers_join_at_once": 60,
    "histories_of_replies_are_not_compared": 2980,
    "bus_ids_of_replies_are_not_compared": 660,
    "idle_channels_are_kept": 810,
    "looks_under_way_go_on": 300,
    "slow_clients_are_forgotten": 260,
}


@pytest.mark.timeout(0 if SCHEDULES > 20_000 else 900)
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_no_schedule_has_a_silent_gap_or_a_false_claim(chunk):
    size = SCHEDULES // CHUNKS
    found = search(FIRST + chunk * size, size)
    assert found is None, str(found)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "number", [2 * settings.default.max_examples, pytest.param(10_000, marks=pytest.mark.slow)]
)
def test_no_fresh_schedule_has_a_silent_gap_or_a_false_claim(number):
    """Other seeds each time: a failure names the one to begin with."""
    first = SystemRandom().randrange(10**6, 10**9)
    found = search(first, number)
    assert found is None, f"among seeds from {first}: {found}"


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", SWITCHES)
def test_a_rule_switched_off_is_found_out(name):
    with SWITCHES[name]():
        found = search(NEAR.get(name, 0), FOUND_WITHIN)
    assert found is not None, f"{FOUND_WITHIN} schedules did not notice that {name}"
    assert len(found.steps) <= 20


def test_reading_on_from_an_old_master_is_found_by_canaries_that_stay_away(monkeypatch):
    """The first reconnect renews looks and beats alone: the bus that is read on is the old master's, which is silent."""

    def renew_looks_first(gateway):
        master = gateway.world.store.master
        gateway.reads = gateway.looks if gateway.looks is master else gateway.reads
        gateway.looks = master

    monkeypatch.setattr(Gateway, "_reconnect", renew_looks_first)
    steps = [Step(0.1, "join", (client, client % 2)) for client in range(6)]
    steps += [Step(0.1, "publish", (channel, 1)) for channel in "abc"]
    steps += [Step(0.1, "promote", (0, 0, 60.0)), Step(3.0, "publish", ("a", 1))]
    assert violation(1, steps) is None
    monkeypatch.setattr(Gateway, "_watch", lambda *_: None)
    assert "has not reached the head" in violation(1, steps)


@pytest.mark.parametrize("seed", range(50))
def test_without_faults_nobody_loses_anything(seed):
    """No reset, no `recovered: false`, whoever leaves and returns where."""
    world = World(seed, roomy=True)
    world.run([step for step in make(seed, faults=False) if step.name != "join_last"])
    assert [client.losses for client in world.clients] == [0] * len(world.clients)
    assert [client.refusals for client in world.clients] == [0] * len(world.clients)


def test_a_counterexample_is_shrunk_to_the_steps_that_matter():
    """No single one of them can be left out."""
    with SWITCHES["slow_clients_are_forgotten"]():
        first = NEAR["slow_clients_are_forgotten"]
        seed = next(n for n in range(first, FOUND_WITHIN) if violation(n, make(n)))
        steps = shrink(seed, make(seed))
        without = [steps[:place] + steps[place + 1 :] for place in range(len(steps))]
        assert not any(violation(seed, fewer) for fewer in without)
