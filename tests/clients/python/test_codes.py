"""What the end of a connection asks a client to do."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openline import codes
from openline.codes import Next

pytestmark = pytest.mark.clients


@pytest.mark.parametrize(
    "code", [1000, 1002, 1003, 1007, 1008, 1009, 4000, 4001, 4003, 4004, 4005, 4006, 4099]
)
def test_stay_away(code):
    assert codes.after_close(code).next is Next.STAY_AWAY


@pytest.mark.parametrize("code", [1001, 1005, 1006, 1011, 1012, 1013, 1015, 3000, 4100, 4101, 4199])
def test_come_back(code):
    end = codes.after_close(code)
    assert (end.next, end.least) == (Next.RETURN, 0.0)


@pytest.mark.parametrize("code", [4200, 4299])
def test_a_new_token_is_wanted(code):
    assert codes.after_close(code).next is Next.NEW_TOKEN


@pytest.mark.parametrize("code", [4300, 4999, 65535])
def test_an_unknown_code_means_to_come_back(code):
    assert codes.after_close(code).next is Next.RETURN


@pytest.mark.parametrize(
    ("reason", "least"),
    [("3", 3.0), ("0.5", 0.5), ("3600", 60.0), ("-4", 0.0), ("soon", 0.0), ("nan", 0.0)],
)
def test_the_reason_of_4100_says_how_long_to_wait_a_minute_at_most(reason, least):
    assert codes.after_close(4100, reason).least == least


def test_the_reason_of_other_codes_is_no_wait():
    assert codes.after_close(4101, "30").least == 0.0


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_credential_stays_away(status):
    assert codes.after_status(status).next is Next.STAY_AWAY


@pytest.mark.parametrize("status", [404, 429, 500, 502, 503])
def test_other_statuses_wait_as_long_as_they_say(status):
    end = codes.after_status(status, "7")
    assert (end.next, end.least, end.status) == (Next.RETURN, 7.0, status)


def test_a_status_without_retry_after_asks_for_no_wait():
    assert codes.after_status(503).least == 0.0


@settings(deadline=None)
@given(st.integers(0, 10**6), st.text())
def test_every_code_and_reason_has_an_answer(code, reason):
    assert 0 <= codes.after_close(code, reason).least <= codes.MAX_LEAST
