"""The agenda of looks: in time, each channel at most once."""

from __future__ import annotations

from services.gateway.hub.channel import Channel
from services.gateway.hub.look_schedule import Agenda
from services.gateway.hub.port import HubLimits
from tests.support.recording_audience import RecordingAudience


def channel(name):
    return Channel(name, RecordingAudience(), HubLimits())


def test_channels_are_taken_when_they_are_due_in_that_order():
    agenda, one, two, three = Agenda(), channel("one"), channel("two"), channel("three")
    agenda.put(one, 2.0)
    agenda.put(two, 1.0)
    agenda.put(three, 1.0)
    assert agenda.next == 1.0
    assert agenda.take(0.9) == []
    assert agenda.take(1.0) == [two, three]
    assert agenda.take(5.0) == [one]
    assert agenda.next is None


def test_one_that_is_due_already_stays_where_it_is():
    agenda, one = Agenda(), channel("one")
    agenda.put(one, 2.0)
    agenda.put(one, 1.0)
    assert agenda.take(1.5) == []
    assert agenda.take(2.0) == [one]


def test_one_that_is_moved_is_taken_once():
    agenda, one = Agenda(), channel("one")
    agenda.put(one, 1.0)
    agenda.move(one, 3.0)
    assert agenda.take(2.0) == []
    assert agenda.take(3.0) == [one]
    assert agenda.take(9.0) == []
