"""How long a client waits before it comes back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openline import backoff

pytestmark = pytest.mark.clients


@pytest.mark.parametrize(
    ("failures", "bound"), [(0, 0.5), (1, 1.0), (3, 4.0), (5, 16.0), (6, 20.0)]
)
def test_the_bound_doubles_up_to_the_cap(failures, bound):
    assert backoff.wait(failures, base=0.5, cap=20, random=1.0) == bound


def test_nobody_waits_where_chance_says_so():
    assert backoff.wait(9, base=0.5, cap=20, random=0.0) == 0.0


def test_what_the_server_asks_for_comes_on_top():
    assert backoff.wait(0, base=0.5, cap=20, random=0.5, least=7.0) == 7.25


@settings(deadline=None)
@given(
    failures=st.integers(0, 10**9),
    random=st.floats(0, 1),
    least=st.floats(0, 60),
)
def test_a_wait_is_never_shorter_than_asked_nor_longer_than_the_cap(failures, random, least):
    wait = backoff.wait(failures, base=0.5, cap=20, random=random, least=least)
    assert least <= wait <= least + 20


def test_a_connection_that_lived_forgives_the_failures_before():
    assert backoff.count(7, lived=5.0) == 0
    assert backoff.count(7, lived=4.9) == 8
