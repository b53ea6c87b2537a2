"""Limits: the protocol's defaults, and the bucket that counts."""

from __future__ import annotations

import pytest

from services.kernel.domain.limits import Bucket, Buckets, Limits


def test_the_defaults_are_the_protocols():
    limits = Limits()
    assert (limits.command_rate, limits.command_burst) == (50, 200)
    assert (limits.user_rate, limits.user_burst) == (100, 400)
    assert (limits.channels_per_connection, limits.connections_per_user) == (100, 100)
    assert (limits.ping_seconds, limits.pong_seconds, limits.auth_seconds) == (25, 10, 10)


def test_a_burst_is_free_and_then_the_rate_holds():
    bucket = Bucket(10, 2, 0.0)
    assert [bucket.spend(0.0) for _ in range(3)] == [0.0, 0.0, pytest.approx(0.1)]
    assert bucket.spend(0.05) == pytest.approx(0.05)
    assert bucket.spend(0.1) == 0.0


def test_what_is_refused_takes_nothing():
    bucket = Bucket(1, 5, 0.0)
    assert bucket.spend(0.0, 6) == pytest.approx(1.0)
    assert bucket.spend(0.0, 5) == 0.0


def test_an_idle_bucket_fills_no_further_than_its_burst():
    bucket = Bucket(10, 3, 0.0)
    assert bucket.level(1000.0) == 3
    assert bucket.spend(1000.0, 3) == 0.0
    assert bucket.level(1000.1) == pytest.approx(1.0)


def test_a_clock_set_back_gives_nothing_and_takes_nothing():
    bucket = Bucket(10, 3, 100.0)
    bucket.spend(100.0, 3)
    assert bucket.level(50.0) == 0
    assert bucket.spend(50.0) > 0
    assert bucket.level(100.1) == pytest.approx(1.0)


def test_what_others_took_lowers_the_level_and_never_raises_it():
    bucket = Bucket(10, 3, 0.0)
    bucket.lower(0.0, 1)
    assert bucket.level(0.0) == 1
    bucket.lower(0.0, 2)
    assert bucket.level(0.0) == 1


def test_each_key_has_a_bucket_of_its_own():
    buckets = Buckets(9)
    assert buckets.find("a", 0.0, rate=1, burst=1).spend(0.0) == 0.0
    assert buckets.find("a", 0.0, rate=1, burst=1).spend(0.0) == 1.0
    assert buckets.find("b", 0.0, rate=1, burst=1).spend(0.0) == 0.0


def test_of_too_many_keys_the_one_unseen_longest_is_forgotten():
    buckets = Buckets(2)
    for key in ("a", "b", "a", "c"):
        buckets.find(key, 0.0, rate=1, burst=1).spend(0.0)
    assert len(buckets) == 2
    assert buckets.find("a", 0.0, rate=1, burst=1).spend(0.0) > 0.0
    assert buckets.find("b", 0.0, rate=1, burst=1).spend(0.0) == 0.0


def test_what_did_not_count_is_given_back_up_to_the_burst():
    bucket = Bucket(1, 2, 0)
    assert bucket.spend(0) == 0
    bucket.give_back(0)
    bucket.give_back(0)
    assert bucket.level(0) == 2


def test_a_bucket_may_be_set_to_what_the_fleet_has_left():
    bucket = Bucket(10, 5, 0.0)
    bucket.settle(0.0, 2)
    assert [bucket.spend(0.0), bucket.spend(0.0), bucket.spend(0.0)] == [0, 0, 0.1]
    bucket.settle(0.0, 4)
    assert bucket.level(0.0) == 4
    bucket.settle(1.0, 100)
    assert bucket.level(1.0) == 5


def test_buckets_that_are_full_again_are_forgotten():
    buckets = Buckets(9)
    for key, amount in (("a", 1), ("b", 5)):
        buckets.find(key, 0.0, rate=1, burst=5).spend(0.0, amount)
    buckets.forget_full(2.0)
    assert len(buckets) == 1
    assert buckets.find("b", 2.0, rate=1, burst=5).level(2.0) == 2


def test_who_overdraws_pays_before_the_next():
    bucket = Bucket(10, 20, 0.0)
    assert bucket.overdraw(0.0, 50) == 0.0
    assert bucket.overdraw(1.0, 1) == pytest.approx(2.0)
    assert bucket.level(1.0) == pytest.approx(-20)
    assert bucket.overdraw(0.5, 1) == pytest.approx(2.0)  # a clock set back gives nothing
    assert bucket.overdraw(3.0, 5) == 0.0
    assert bucket.level(3.0) == pytest.approx(-5)
