"""Bytes are counted a second: after each piece a peer waits as long as the piece may take at the rate."""

from __future__ import annotations

import pytest

from services.gateway.websocket.byte_rate import PIECE, ByteRate


class Timers:
    """Calls what was asked for, in its order, when the test says so."""

    def __init__(self):
        self.due = []

    def call_later(self, seconds, callback):
        self.due.append((seconds, callback))

    def pass_until(self, seconds):
        for timer in sorted(self.due, key=lambda timer: timer[0]):
            if timer[0] <= seconds:
                self.due.remove(timer)
                timer[1]()


@pytest.fixture
def timers():
    return Timers()


@pytest.fixture
def rate(timers):
    return ByteRate(2 * PIECE, call_later=timers.call_later)


def test_after_a_piece_a_peer_waits_for_as_long_as_that_takes_at_the_rate(rate, timers):
    resumed = []
    assert not rate.count("a", PIECE - 1, lambda: resumed.append("a"))
    assert not rate.is_waiting("a")
    assert rate.count("a", 1, lambda: resumed.append("a"))
    assert rate.is_waiting("a")
    timers.pass_until(0.49)
    assert not resumed
    timers.pass_until(0.5)
    assert resumed == ["a"]
    assert not rate.is_waiting("a")


def test_other_peers_go_on(rate):
    rate.count("a", PIECE, list)
    assert not rate.count("b", PIECE - 1, list)
    assert not rate.is_waiting("b")


def test_what_was_on_its_way_already_counts_for_the_next_piece(rate, timers):
    rate.count("a", PIECE, list)
    assert rate.count("a", PIECE - 1, list)
    timers.pass_until(0.5)
    assert rate.count("a", 1, list)


def test_what_is_less_than_a_piece_a_second_is_forgotten(rate, timers):
    rate.count("a", PIECE - 1, list)
    timers.pass_until(1)
    assert not rate.count("a", PIECE - 1, list)
    timers.pass_until(1)
    assert not timers.due


def test_without_a_rate_nobody_waits(timers):
    free = ByteRate(0, call_later=timers.call_later)
    assert not free.count("a", 100 * PIECE, list)
    assert not timers.due


def test_who_has_gone_is_not_called_and_whoever_is_equal_to_it_is(rate, timers):
    resumed = []
    rate.count("a", PIECE, lambda: resumed.append("gone"))
    rate.forget("a")
    assert not rate.is_waiting("a")
    rate.count("a", PIECE, lambda: resumed.append("new"))
    timers.pass_until(0.5)
    assert resumed == ["new"]
