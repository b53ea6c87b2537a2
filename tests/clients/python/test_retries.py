"""When a call is tried again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openline.errors import OpenlineError
from openline.retries import KEY_LIFE, Attempts, Policy

pytestmark = pytest.mark.clients


def away(retry_after=None):
    return OpenlineError("away", code="unavailable", temporary=True, retry_after=retry_after)


def attempts(random=0.5, started=100.0, **policy):
    return Attempts(Policy(**policy), started=started, random=lambda: random)


def test_what_is_refused_for_good_is_not_tried_again():
    assert attempts().wait(OpenlineError("no", code="forbidden"), 100) is None


@pytest.mark.parametrize(
    ("random", "waits"), [(0.0, [0.1, 0.1, 0.1]), (1.0, [0.2, 0.4, 0.8]), (0.5, [0.15, 0.25, 0.45])]
)
def test_the_wait_has_full_jitter_over_a_doubling_range(random, waits):
    tries = attempts(random)
    assert [tries.wait(away(), 100) for _ in range(3)] == pytest.approx(waits)
    assert tries.wait(away(), 100) is None


def test_the_wait_never_passes_two_seconds():
    tries = attempts(1.0, attempts=20, patience=60)
    assert max(tries.wait(away(), 100) for _ in range(19)) == 2.0


def test_retry_after_is_the_least_that_is_waited():
    assert attempts(0.0).wait(away(retry_after=3), 100) == pytest.approx(3.1)


def test_a_wait_that_would_pass_patience_is_not_begun():
    assert attempts(patience=10).wait(away(retry_after=30), 100) is None
    assert attempts(patience=10).wait(away(), 109.95) is None


def test_an_answer_for_good_gives_back_all_tries():
    tries = attempts(attempts=2)
    assert tries.wait(away(), 100) is not None
    tries.succeeded()
    assert tries.wait(away(), 100) is not None


@given(
    timeout=st.floats(0.1, 299),
    patience=st.floats(0.1, 10_000),
    gaps=st.lists(st.floats(0, 400), min_size=1, max_size=30),
    retry_after=st.none() | st.floats(0, 1000),
    random=st.floats(0, 1),
)
def test_no_try_ends_after_the_server_has_forgotten_the_key(
    timeout, patience, gaps, retry_after, random
):
    tries = attempts(random, started=0.0, timeout=timeout, patience=patience, attempts=100)
    now = 0.0
    for gap in gaps:
        now += min(gap, tries.timeout(now))
        wait = tries.wait(away(retry_after), now)
        if wait is None:
            return
        now += wait
        assert now < patience
        assert now + tries.timeout(now) <= KEY_LIFE + 0.1


@pytest.mark.parametrize(
    "wrong", [{"timeout": 0}, {"attempts": 0}, {"patience": 0}, {"timeout": 300}]
)
def test_a_policy_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match="timeout must be"):
        Policy(**wrong)
