"""The heartbeat of a connection and the end of its token, by times alone."""

from __future__ import annotations

import pytest

from services.gateway.session.heartbeat import Due, Heartbeat, expires
from services.kernel.domain.claims import Claims
from services.kernel.domain.limits import Limits

LIMITS = Limits(ping_seconds=25, pong_seconds=10)


def look(pulse, now, received):
    return pulse.due(now, received=received, limits=LIMITS), pulse.next(
        now, received=received, limits=LIMITS
    )


def test_who_speaks_is_not_asked_but_written_to():
    assert look(Heartbeat(), 110, 100) == (Due.ALIVE, 125)


def test_who_is_silent_is_asked_and_then_gone():
    pulse = Heartbeat()
    assert look(pulse, 125, 100) == (Due.PING, 135)
    assert look(pulse, 130, 100) == (Due.NOTHING, 135)
    assert look(pulse, 135, 100)[0] is Due.DEAD


def test_an_answer_within_the_clocks_tick_is_life():
    pulse = Heartbeat()
    look(pulse, 125, 100)
    assert look(pulse, 135, 125) == (Due.NOTHING, 150)
    assert look(pulse, 150, 125)[0] is Due.PING


def test_a_look_that_is_overdue_is_due_now():
    assert Heartbeat().next(200, received=100, limits=LIMITS) == 200


def test_a_long_wait_for_an_answer_is_looked_at_as_often_as_silence_is():
    pulse = Heartbeat()
    pulse.pinged_at = 100
    patient = Limits(ping_seconds=25, pong_seconds=100)
    assert pulse.next(110, received=0, limits=patient) == 135


@pytest.mark.parametrize(("iat", "ahead"), [(0, 30), (940, 20), (None, 30), (1001, 0)])
def test_the_tokens_end_is_told_ahead_by_a_third_of_its_life_at_most_30_seconds(iat, ahead):
    pulse = Heartbeat()
    claims = Claims(sub="bob", exp=1000, iat=iat)
    assert pulse.expiry(claims, 900) == 100 - ahead
    pulse.is_notified = True
    assert pulse.expiry(claims, 900) == 105


def test_what_never_ends_is_never_due():
    assert Heartbeat().expiry(None, 900) is None
    assert Heartbeat().expiry(Claims(sub="bob"), 900) is None


def test_expires_is_in_whole_seconds():
    assert expires(Claims(sub="bob", exp=17.9)) == 17
    assert expires(Claims(sub="bob")) is None
    assert expires(None) is None
