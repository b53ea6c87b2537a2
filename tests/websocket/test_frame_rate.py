"""Frames are counted a second: who sends more waits for the next one, and who never stops is found out."""

from __future__ import annotations

import math

import pytest

from services.gateway.websocket.frame_rate import FEW, PATIENCE, FrameRate


class Timers:
    """Calls what was asked for when the test says that a second has passed."""

    def __init__(self):
        self.due = []

    def call_later(self, seconds, callback):
        assert seconds == 1
        self.due.append(callback)

    def second(self):
        due, self.due = self.due, []
        for callback in due:
            callback()


@pytest.fixture
def timers():
    return Timers()


@pytest.fixture
def rate(timers):
    return FrameRate(100, call_later=timers.call_later)


def test_what_was_sent_is_taken_from_what_is_left_until_the_next_second(rate, timers):
    rate.count("a", 30)
    rate.count("a", 20)
    assert (rate.left("a"), rate.left("b")) == (50, 100)
    timers.second()
    assert rate.left("a") == 100


def test_without_a_rate_everything_is_left(timers):
    free = FrameRate(0, call_later=timers.call_later)
    free.count("a", 10**9)
    assert free.left("a") > 10**9


def test_an_exempt_peer_may_send_any_number_until_it_is_forgotten(rate):
    rate.exempt("a")
    rate.count("a", 1000)
    assert (rate.left("a"), rate.left("b")) == (math.inf, 100)
    rate.forget("a")
    assert rate.left("a") == 100


def test_who_sends_more_goes_on_in_the_next_second(rate, timers):
    resumed = []
    rate.count("a", 100)
    assert rate.hold("a", lambda: resumed.append("a"))
    assert not resumed
    timers.second()
    assert resumed == ["a"]


def test_who_never_stops_is_found_out_and_who_stops_begins_again(rate, timers):
    def held(seconds):
        for _ in range(seconds):
            rate.count("a", 100)
            if not rate.hold("a", lambda: None):
                return False
            timers.second()
        return True

    assert held(PATIENCE)
    assert not held(1)
    rate.count("a", 1)
    timers.second()  # a second below the rate
    assert held(PATIENCE)
    assert not held(1)


def test_who_sends_more_than_a_few_is_busy_for_this_second_and_the_next(rate, timers):
    rate.count("a", FEW)
    assert not rate.is_busy("a")
    rate.count("a", 1)
    assert rate.is_busy("a")
    timers.second()
    assert rate.is_busy("a")
    timers.second()
    assert not rate.is_busy("a")


def test_time_is_counted_while_somebody_sends_and_no_longer(rate, timers):
    assert not timers.due
    rate.count("a", 1)
    rate.count("b", 1)
    assert len(timers.due) == 1
    timers.second()
    rate.count("a", 1)
    assert len(timers.due) == 1
    timers.second()
    timers.second()
    assert not timers.due


def test_who_has_gone_is_forgotten(rate, timers):
    for _ in range(2):
        rate.count("a", 100)
        rate.hold("a", lambda: pytest.fail("it has gone"))
        rate.forget("a")
        timers.second()
    assert not rate.is_busy("a")
