"""Which channels a resync compares next: in batches, one under way at a time, spaced by the number of gateways."""

from __future__ import annotations

import pytest

from services.gateway.hub.channel import Channel
from services.gateway.hub.port import HubLimits
from services.gateway.hub.replay_budget import ReplayBudget
from services.gateway.hub.resync_queue import QUEUED, ResyncQueue
from tests.support.recording_audience import RecordingAudience

LIMITS = HubLimits(resync_batch=2, spacing=0.02, spaced=4, backoff=0.05, backoff_max=0.15)


def queue(*names: str) -> ResyncQueue:
    made = ResyncQueue(LIMITS)
    budget = ReplayBudget(1)
    made.begin([Channel(name, RecordingAudience(), LIMITS, budget=budget) for name in names], 1.0)
    return made


def names(batch: list[Channel]) -> str:
    return "".join(channel.name for channel in batch)


def test_a_batch_is_due_at_once_and_the_next_one_when_it_was_answered_and_spaced():
    at = queue("a", "b", "c")
    assert at.next == 1.0
    assert names(at.pop_due(1.0)) == "ab"
    at.sent(7, 1.0, gateways=1)
    assert at.next is None
    assert at.pop_due(9.0) == []
    assert at.answered(7, 1.0)
    assert at.next == 1.02
    assert at.pop_due(1.01) == []
    assert names(at.pop_due(1.02)) == "c"
    assert at.next is None


@pytest.mark.parametrize(("gateways", "pause"), [(0, 0.02), (4, 0.02), (8, 0.04), (50, 0.25)])
def test_the_spacing_grows_with_the_fleet(gateways: int, pause: float):
    at = queue("a", "b", "c")
    at.pop_due(1.0)
    at.sent(7, 1.0, gateways=gateways)
    at.answered(7, 1.0)
    assert at.next == pytest.approx(1.0 + pause)


def test_after_a_slow_answer_the_next_batch_waits_for_as_long():
    at = queue("a", "b", "c")
    at.pop_due(1.0)
    at.sent(7, 1.0, gateways=1)
    assert at.answered(7, 1.5)
    assert at.next == 2.0


def test_answers_to_other_calls_say_nothing():
    at = queue("a", "b", "c")
    at.pop_due(1.0)
    at.sent(7, 1.0, gateways=1)
    assert not at.answered(6, 1.0)
    assert at.answered(7, 1.0)
    assert not at.answered(7, 1.0)


def test_what_was_looked_at_meanwhile_is_left_out():
    at = queue("a", "b", "c")
    first, second = at.pop_due(1.0)
    at.put_back([first, second], 1.0)
    assert (first.due, second.due) == (QUEUED, QUEUED)
    first.due = 3.0
    assert names(at.pop_due(2.0)) == "bc"
    assert first.due == 3.0


def test_a_batch_that_failed_is_the_next_one_after_a_pause_that_doubles_up_to_a_bound():
    at = queue("a", "b", "c")
    now = 1.0
    for pause in (0.05, 0.1, 0.15, 0.15):
        batch = at.pop_due(now)
        assert names(batch) == "ab"
        at.put_back(batch, now)
        now += pause
        assert at.next == pytest.approx(now)
        now = at.next
    at.succeeded()
    at.put_back(at.pop_due(now), now)
    assert at.next == pytest.approx(now + 0.05)


def test_another_resync_begins_anew():
    at = queue("a", "b", "c")
    batch = at.pop_due(1.0)
    at.sent(7, 1.0, gateways=50)
    at.begin(batch, 1.1)
    assert at.next == 1.1
    assert not at.answered(7, 1.0)
    assert names(at.pop_due(1.1)) == "ab"
