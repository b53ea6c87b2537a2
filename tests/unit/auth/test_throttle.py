"""How often an address may try."""

from __future__ import annotations

import pytest

from services.auth.throttle import Throttle
from services.kernel.domain.codes import Code, OpenlineError


def exhaust(one: Throttle, address: str) -> int:
    for count in range(1000):
        try:
            one.attempt(address, 0)
        except OpenlineError:
            return count
    return 1000


def test_an_address_has_so_many_a_minute_and_others_their_own():
    one = Throttle(60)
    assert exhaust(one, "192.0.2.1") == 60
    assert exhaust(one, "192.0.2.2") == 60
    one.attempt("192.0.2.1", 1.01)
    with pytest.raises(OpenlineError) as caught:
        one.attempt("192.0.2.1", 1.02)
    assert caught.value.code is Code.RATE_LIMITED
    assert caught.value.retry_after == pytest.approx(0.98, abs=0.001)


def test_an_ipv6_network_counts_as_one_address():
    one = Throttle(60)
    assert exhaust(one, "2001:db8::1") == 60
    assert exhaust(one, "2001:db8::ffff") == 0
    assert exhaust(one, "2001:db8:0:1::1") == 60
    assert exhaust(one, "::ffff:192.0.2.1") == 60
    assert exhaust(one, "192.0.2.1") == 0
    assert exhaust(one, "") == 60


def test_off_lifts_the_rate():
    assert exhaust(Throttle(60, on=False), "192.0.2.1") == 1000


def test_only_so_many_addresses_are_remembered():
    one = Throttle(1, most=10)
    for n in range(100):
        one.attempt(f"192.0.2.{n}", 0)
    assert len(one._buckets) == 10
