"""A caller whose token sets a rate waits when it has asked too much; all others are not counted."""

from __future__ import annotations

import pytest

from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.limits import Limits
from services.publisher.allowance import Allowance
from tests.support.refusals import refused

SHOP = Claims(sub="client:shop", rate=2.0)


def test_a_second_s_worth_passes_at_once_and_then_one_waits():
    counted = Allowance()
    counted.spend(SHOP, 100.0)
    counted.spend(SHOP, 100.0)
    with pytest.raises(OpenlineError) as caught:
        counted.spend(SHOP, 100.0)
    assert (caught.value.code, caught.value.retry_after) == (Code.RATE_LIMITED, 0.5)
    assert "2 calls a second" in caught.value.message
    counted.spend(SHOP, 100.5)


def test_less_than_one_a_second_is_still_one_at_once():
    counted = Allowance()
    slow = Claims(sub="client:slow", rate=0.5)
    counted.spend(slow, 0.0)
    with refused(Code.RATE_LIMITED):
        counted.spend(slow, 1.0)
    counted.spend(slow, 2.0)


def test_the_messages_of_a_batch_are_paid_by_the_next_call():
    counted = Allowance()
    counted.spend(SHOP, 0.0)
    counted.owe(SHOP, 0.0, 9)
    with pytest.raises(OpenlineError) as caught:
        counted.spend(SHOP, 1.0)
    assert caught.value.retry_after == 3.5
    counted.spend(SHOP, 4.5)


def test_each_subject_has_its_own_and_none_without_a_rate():
    counted = Allowance()
    for _ in range(1000):
        counted.spend(Claims(sub="client:other"), 0.0)
        counted.owe(Claims(sub="client:other"), 0.0, 5)
    counted.spend(SHOP, 0.0)
    counted.spend(Claims(sub="client:second", rate=2.0), 0.0)


def test_limits_off_lifts_it():
    counted = Allowance(Limits(rates=False))
    for _ in range(10):
        counted.spend(SHOP, 0.0)
        counted.spend_bytes(SHOP, 0.0, 10**9)


def test_bytes_are_paid_by_the_next_call():
    counted = Allowance(Limits(client_bytes_rate=100, client_bytes_burst=1000))
    counted.spend_bytes(SHOP, 0.0, 1000)
    counted.spend_bytes(SHOP, 0.0, 300)
    with pytest.raises(OpenlineError) as caught:
        counted.spend_bytes(SHOP, 1.0, 1)
    assert (caught.value.code, caught.value.retry_after) == (Code.RATE_LIMITED, 2.0)
    assert "100 bytes a second" in caught.value.message
    counted.spend_bytes(Claims(sub="client:other"), 1.0, 1)
    counted.spend_bytes(SHOP, 3.0, 1)


def test_only_so_many_callers_are_remembered():
    counted = Allowance(most=2)
    for name in ("a", "b", "c"):
        counted.spend(Claims(sub=name, rate=1.0), 0.0)
    counted.spend(Claims(sub="a", rate=1.0), 0.0)
    with refused(Code.RATE_LIMITED):
        counted.spend(Claims(sub="c", rate=1.0), 0.0)
