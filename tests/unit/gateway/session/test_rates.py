"""How often a connection may speak, by times alone."""

from __future__ import annotations

import pytest

from services.gateway.session.rates import Rates, too_fast
from services.kernel.domain.codes import Code
from services.kernel.domain.limits import Limits
from services.kernel.domain.namespaces import Namespace
from tests.support.refusals import refused


def test_commands_and_refusals_have_a_bucket_each():
    rates = Rates(Limits(command_rate=2, command_burst=1, refusal_rate=1, refusal_burst=2))
    assert [rates.command(0), rates.command(0)] == [0, 0.5]
    assert [rates.refusal(0), rates.refusal(0), rates.refusal(0)] == [0, 0, 1]
    assert rates.command(1) == 0


def test_a_refusal_names_what_there_was_too_much_of_and_the_wait():
    error = too_fast("bytes", 1000, wait=0.125)
    assert (error.code, error.retry_after) == (Code.RATE_LIMITED, 0.125)
    assert error.message == "too many bytes; wait 0.12 s and send at most 1000 a second"


def test_each_namespace_has_its_own_rate():
    rates = Rates(Limits())
    slow = Namespace(name="slow", publish_rate=1, publish_burst=1)
    quick = Namespace(name="quick", publish_rate=10)
    rates.message(slow, 0)
    with refused(Code.RATE_LIMITED, "at most 1 messages a second in slow") as refusal:
        rates.message(slow, 0.25)
    assert refusal.value.retry_after == 0.75
    for _ in range(10):
        rates.message(quick, 0)
    with refused(Code.RATE_LIMITED):
        rates.message(quick, 0)


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_less_than_one_a_second_still_allows_one(rate):
    Rates(Limits()).message(Namespace(name="rare", publish_rate=rate), 0)
