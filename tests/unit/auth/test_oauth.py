"""OAuth errors and what other errors become among them."""

from __future__ import annotations

import pytest

from services.auth import oauth
from services.auth.oauth import OAuthError
from services.kernel.domain.codes import Code, OpenlineError


@pytest.mark.parametrize(
    ("code", "name", "status"),
    [
        (Code.RATE_LIMITED, "slow_down", 429),
        (Code.UNAVAILABLE, "temporarily_unavailable", 503),
        (Code.FORBIDDEN, "access_denied", 403),
        (Code.TOO_LARGE, "invalid_request", 413),
        (Code.BAD_REQUEST, "invalid_request", 400),
        (Code.INTERNAL, "server_error", 500),
    ],
)
def test_our_errors_are_spoken_in_the_terms_of_the_standard(code, name, status):
    with pytest.raises(OAuthError) as caught, oauth.spoken():
        raise OpenlineError(code, "why", retry_after=2)
    error = caught.value
    assert (error.error, error.status, error.description) == (name, status, "why")
    assert error.retry_after == 2
    assert error.error in oauth.ERRORS


def test_an_invalid_client_is_always_401():
    assert OAuthError(oauth.INVALID_CLIENT, "who").status == 401
