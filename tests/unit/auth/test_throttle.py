"""How often an address, a login or an account may be tried."""

from __future__ import annotations

import pytest

from services.auth.throttle import Guesses, Throttle
from services.kernel.domain.codes import Code, OpenlineError
from tests.support.refusals import refused


def throttle(per_minute=60, **more) -> Throttle:
    return Throttle(per_minute, refusal="too often", **more)


def exhaust(one: Throttle, key: str) -> int:
    for count in range(1000):
        try:
            one.attempt(key, 0)
        except OpenlineError:
            return count
    return 1000


def test_a_key_has_so_many_a_minute_and_others_their_own():
    one = throttle()
    assert exhaust(one, "192.0.2.1") == 60
    assert exhaust(one, "192.0.2.2") == 60
    one.attempt("192.0.2.1", 1.01)
    with refused(Code.RATE_LIMITED, "too often") as caught:
        one.attempt("192.0.2.1", 1.02)
    assert caught.value.retry_after == pytest.approx(0.98, abs=0.001)


def test_what_succeeded_is_given_back():
    one = throttle(burst=1)
    for _ in range(10):
        one.attempt("a", 0)
        one.give_back("a", 0)
    one.attempt("a", 0)
    with refused(Code.RATE_LIMITED):
        one.attempt("a", 0)


def test_off_lifts_the_rate():
    one = throttle(on=False)
    assert exhaust(one, "192.0.2.1") == 1000
    one.give_back("192.0.2.1", 0)
    assert len(one._buckets) == 0


def test_only_so_many_keys_are_remembered():
    one = throttle(1, most=10)
    for n in range(100):
        one.attempt(f"192.0.2.{n}", 0)
    assert len(one._buckets) == 10


# Guesses at one account


def guess(one: Guesses, network: str, *, account: str = "alice", now: float = 0, tries: int = 100):
    """How many of so many guesses are answered."""
    answered = 0
    for _ in range(tries):
        try:
            one.attempt(account, network, now)
        except OpenlineError:
            continue
        answered += 1
    return answered


def test_guesses_from_many_addresses_are_counted_together():
    one = Guesses(30, 10)
    assert sum(guess(one, f"192.0.2.{n}", tries=3) for n in range(50)) == 10
    with refused(Code.RATE_LIMITED, "too many wrong passwords"):
        one.attempt("alice", "198.51.100.1", 0)
    assert guess(one, "198.51.100.1", account="bob") == 10, "other accounts are others"
    assert guess(one, "192.0.2.1", now=121) == 1, "thirty an hour"


def test_where_the_owner_logged_in_before_no_stranger_locks_it_out():
    one = Guesses(30, 10)
    one.attempt("alice", "203.0.113.5", 0)
    one.right("alice", "203.0.113.5", 0)
    assert guess(one, "192.0.2.1") == 10
    for _ in range(50):
        one.attempt("alice", "203.0.113.5", 0)
        one.right("alice", "203.0.113.5", 0)
    assert guess(one, "203.0.113.5") == 10, "wrong ones count there as well"


@pytest.mark.parametrize("name", ["alice 203.0.113.5", "203.0.113.5 alice"])
def test_no_name_is_taken_for_the_place_of_another_account(name):
    one = Guesses(30, 10)
    one.right("alice", "203.0.113.5", 0)
    assert guess(one, "192.0.2.1", account=name) == 10
    assert guess(one, "203.0.113.5") == 10


def test_right_passwords_do_not_count():
    one = Guesses(30, 10)
    for n in range(50):
        one.attempt("alice", f"192.0.2.{n}", 0)
        one.right("alice", f"192.0.2.{n}", 0)
    assert guess(one, "198.51.100.1") == 10


def test_only_so_many_networks_are_known():
    one = Guesses(30, 10, most=5)
    for n in range(20):
        one.right("alice", f"192.0.2.{n}", 0)
    assert len(one._known) == 5
