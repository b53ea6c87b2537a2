"""The agenda of looks: in time, each channel at most once."""

from __future__ import annotations

from services.gateway.hub.channel import Channel
from services.gateway.hub.look_schedule import LookSchedule
from services.gateway.hub.port import HubLimits
from services.gateway.hub.replay_budget import ReplayBudget
from tests.support.recording_audience import RecordingAudience


def channel(name):
    return Channel(name, RecordingAudience(), HubLimits(), budget=ReplayBudget(1 << 62))


def test_channels_are_taken_when_they_are_due_in_that_order():
    look_schedule, one, two, three = (
        LookSchedule(),
        channel("one"),
        channel("two"),
        channel("three"),
    )
    look_schedule.put(one, 2.0)
    look_schedule.put(two, 1.0)
    look_schedule.put(three, 1.0)
    assert look_schedule.next == 1.0
    assert look_schedule.pop_due(0.9) == []
    assert look_schedule.pop_due(1.0) == [two, three]
    assert look_schedule.pop_due(5.0) == [one]
    assert look_schedule.next is None


def test_one_that_is_due_already_stays_where_it_is():
    look_schedule, one = LookSchedule(), channel("one")
    look_schedule.put(one, 2.0)
    look_schedule.put(one, 1.0)
    assert look_schedule.pop_due(1.5) == []
    assert look_schedule.pop_due(2.0) == [one]


def test_one_that_is_moved_is_taken_once():
    look_schedule, one = LookSchedule(), channel("one")
    look_schedule.put(one, 1.0)
    look_schedule.move(one, 3.0)
    assert look_schedule.pop_due(2.0) == []
    assert look_schedule.pop_due(3.0) == [one]
    assert look_schedule.pop_due(9.0) == []
