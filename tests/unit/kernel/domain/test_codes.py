"""Codes: every code has a status, and the error carries what its reader needs."""

from __future__ import annotations

import pytest

from services.kernel.domain.codes import HTTP_STATUS, Close, Code, OpenlineError, connection_limit


def test_every_code_has_an_http_status_of_an_error():
    assert set(HTTP_STATUS) == set(Code)
    assert all(400 <= status < 600 for status in HTTP_STATUS.values())


@pytest.mark.parametrize("code", Code)
def test_only_limits_and_outages_are_temporary(code):
    expected = code in (Code.RATE_LIMITED, Code.UNAVAILABLE)
    assert OpenlineError(code, "x").temporary is expected


@pytest.mark.parametrize(
    ("code", "close"),
    [(Code.RATE_LIMITED, Close.OVERLOADED), (Code.LIMIT_EXCEEDED, Close.CONNECTION_LIMIT)],
)
def test_one_connection_too_many_says_stay_away_only_where_time_does_not_mend_it(code, close):
    assert connection_limit(OpenlineError(code, "at most 100")) is close


def test_an_error_carries_what_was_wrong():
    error = OpenlineError(
        Code.CONFLICT, "moved on", retry_after=1.5, expired=True, position=("e", 4)
    )
    assert str(error) == error.message == "moved on"
    assert error.status == 409
    assert (error.retry_after, error.expired, error.position) == (1.5, True, ("e", 4))
    assert repr(error) == "OpenlineError('conflict', 'moved on')"
