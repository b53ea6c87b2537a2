"""When a client asks whether its connection lives, and when it gives up."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openline.heartbeat import Due, Heartbeat

pytestmark = pytest.mark.clients


@pytest.fixture
def heartbeat():
    return Heartbeat(0.0, probe=10, server_ping=25)


def test_nothing_is_asked_while_frames_come(heartbeat):
    for now in range(1, 60):
        heartbeat.heard(float(now))
        assert heartbeat.due(now + 0.5) is Due.NOTHING


def test_silence_is_asked_after_and_an_answer_is_life(heartbeat):
    assert heartbeat.due(10.0) is Due.PING
    heartbeat.heard(10.2)
    assert heartbeat.due(15.0) is Due.NOTHING
    assert heartbeat.next == pytest.approx(20.2)


def test_no_answer_is_death_fifteen_seconds_after_the_last_frame(heartbeat):
    assert heartbeat.due(10.0) is Due.PING
    assert heartbeat.due(14.9) is Due.NOTHING
    assert heartbeat.due(15.0) is Due.DEAD


def test_a_look_that_comes_late_proves_nothing(heartbeat):
    assert heartbeat.due(10.0) is Due.PING
    assert heartbeat.due(300.0) is Due.PING
    assert heartbeat.next == 310.0
    assert heartbeat.due(310.0) is Due.DEAD


def test_after_a_sleep_it_asks_and_gives_ten_seconds(heartbeat):
    assert heartbeat.due(500.0) is Due.PING
    assert heartbeat.next == 510.0


def test_without_a_probe_the_servers_ping_and_ten_seconds_count():
    heartbeat = Heartbeat(0.0, probe=0, server_ping=25)
    assert heartbeat.due(34.9) is Due.NOTHING
    assert heartbeat.due(35.0) is Due.PING


def test_whoever_does_not_read_says_that_he_lives_and_judges_nobody(heartbeat):
    heartbeat.hold(5.0, held=True)
    assert [heartbeat.due(now) for now in (17.5, 20.0, 30.0, 42.5)] == [
        Due.ALIVE,
        Due.NOTHING,
        Due.ALIVE,
        Due.ALIVE,
    ]
    heartbeat.hold(100.0, held=False)
    assert heartbeat.due(109.9) is Due.NOTHING
    assert heartbeat.due(110.0) is Due.PING


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0.01, 20), st.booleans()), max_size=50))
def test_it_never_dies_within_five_seconds_of_a_frame(steps):
    heartbeat, now, heard = Heartbeat(0.0, probe=10, server_ping=25), 0.0, 0.0
    for step, frame in steps:
        now += step
        if frame:
            heartbeat.heard(now)
            heard = now
        if heartbeat.due(now) is Due.DEAD:
            assert now - heard > 5
            return
