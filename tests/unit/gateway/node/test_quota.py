"""Counts of connections, users' shares, and channels that are new here."""

from __future__ import annotations

from services.gateway.node import quota as module
from services.gateway.node.quota import Quota
from services.kernel.domain.codes import Code
from services.kernel.domain.limits import Limits
from tests.support.refusals import refused

LIMITS = Limits(connections_per_address=2, connections_per_user=2)


def test_an_address_has_so_many_connections():
    quota = Quota(LIMITS)
    quota.admit("a", 0)
    quota.admit("a", 0)
    quota.admit("b", 0)
    with refused(Code.RATE_LIMITED, "at most 2"):
        quota.admit("a", 0)
    quota.release("a")
    quota.admit("a", 0)


def test_a_user_has_so_many_connections():
    quota = Quota(LIMITS)
    assert [quota.join("bob", 0), quota.join("bob", 0)] == [1, 2]
    with refused(Code.RATE_LIMITED, "at most 2"):
        quota.join("bob", 0)
    assert quota.part("bob") == 1
    assert quota.join("bob", 0) == 2


def test_only_a_lack_that_lasts_says_stay_away():
    quota = Quota(LIMITS)
    for _ in range(2):
        quota.admit("a", 0)
        quota.join("bob", 0)
    for call in (lambda now: quota.admit("a", now), lambda now: quota.join("bob", now)):
        for now, code in ((1, Code.RATE_LIMITED), (8, Code.LIMIT_EXCEEDED)):
            with refused(code, "at most 2"):
                call(now)
    quota.release("a")
    quota.admit("a", 9)
    quota.address_fits("a")
    quota.fits("bob")
    for call in (lambda: quota.admit("a", 9), lambda: quota.join("bob", 9)):
        with refused(Code.RATE_LIMITED, "at most 2"):
            call()
    quota.forget_addresses(100)
    assert (quota._full_addresses._refused, quota._full_users._refused) == ({}, {})


def test_nothing_is_kept_of_who_has_gone():
    quota = Quota(LIMITS)
    quota.admit("a", 0)
    quota.join("bob", 0)
    quota.release("a")
    quota.part("bob")
    quota.release("a")
    assert (quota._addresses, quota._users) == ({}, {})


def test_without_limits_connections_are_only_counted():
    quota = Quota(Limits(rates=False, connections_per_address=1, connections_per_user=1))
    for _ in range(3):
        quota.admit("a", 0)
        quota.join("bob", 0)


def test_users_share_commands_and_bytes_by_the_limits():
    quota = Quota(Limits(user_rate=10, user_burst=5, user_bytes_rate=100, user_bytes_burst=6400))
    assert [quota.commands.spend("bob", 0) for _ in range(5)] == [0] * 5
    assert quota.commands.spend("bob", 0) == 0.1
    assert quota.bytes.spend("bob", 0, 6400) == 0
    assert quota.bytes.spend("bob", 0, 50) == 0.5
    quota.bytes.spend("amy", 0, 99)
    assert quota.bytes.report() == {"bob": 6400}, "less than a sixty-fourth of the burst waits"


def test_an_address_asks_for_so_many_channels_that_are_new_here():
    quota = Quota(Limits(unheard_rate=2, unheard_burst=3))
    for _ in range(3):
        quota.seek("a", 0)
    with refused(Code.RATE_LIMITED, "wait 0.50 s and ask for at most 2 a second"):
        quota.seek("a", 0)
    quota.seek("b", 0)
    quota.seek("a", 0.5)
    quota.forget_addresses(1.4)
    assert len(quota._unheard) == 1
    quota.forget_addresses(2)
    assert len(quota._unheard) == 0


def test_only_so_many_addresses_are_remembered(monkeypatch):
    monkeypatch.setattr(module, "MAX_ADDRESSES", 10)
    quota = Quota(Limits())
    for n in range(100):
        quota.seek(f"192.0.2.{n}", 0)
    assert len(quota._unheard) == 10


def test_without_limits_an_address_asks_for_as_many_as_it_likes():
    quota = Quota(Limits(rates=False, unheard_burst=1))
    for _ in range(3):
        quota.seek("a", 0)


def test_a_network_of_ipv6_counts_as_one_address():
    quota = Quota(Limits(connections_per_address=2, unheard_rate=1, unheard_burst=2))
    for n in range(2):
        quota.admit(f"2001:db8::{n}", 0)
        quota.came(f"2001:db8::{n}", None)
        quota.seek(f"2001:db8::{n}", 0)
    with refused(Code.RATE_LIMITED, "at most 2"):
        quota.admit("2001:db8::3", 0)
    with refused(Code.RATE_LIMITED, "too many new channels"):
        quota.seek("2001:db8::3", 0)
    quota.admit("2001:db8:0:1::3", 0)
    assert quota.crowds.report()[0] == {"2001:db8::/64": 2}
    for n in (7, 8):
        quota.release(f"2001:db8::{n}")
    quota.admit("2001:db8::3", 0)
    quota.admit("::ffff:192.0.2.1", 0)
    quota.admit("192.0.2.1", 0)
    with refused(Code.RATE_LIMITED, "at most 2"):
        quota.admit("192.0.2.1", 0)


def test_requests_for_other_gateways_count_for_their_connection():
    quota = Quota(Limits(command_rate=1, command_burst=2))
    quota.relay("a", "c1", 0, size=1)
    quota.relay("a", "c1", 0, size=1)
    with refused(Code.RATE_LIMITED, "more commands with each"):
        quota.relay("b", "c1", 0, size=1)
    quota.relay("a", "c2", 0, size=1)
    quota.relay("a", "c1", 1, size=1)
    quota.forget_addresses(100)
    assert not len(quota._relays)


def test_requests_for_other_gateways_count_for_their_address_by_bytes_and_at_least_one_kib():
    quota = Quota(Limits(user_bytes_rate=1024, user_bytes_burst=1_048_576))
    for number in range(1000):
        quota.relay("a", f"c{number}", 0, size=1)
    quota.relay("a", "c", 0, size=24 * 1024)
    with refused(Code.RATE_LIMITED, "wait 1.00 s"):
        quota.relay("a", "d", 0, size=1)
    quota.relay("b", "d", 0, size=65_536)


def test_without_rates_requests_for_other_gateways_do_not_count():
    quota = Quota(Limits(rates=False, command_rate=1, command_burst=1))
    for _ in range(3):
        quota.relay("a", "c", 0, size=65_536)
