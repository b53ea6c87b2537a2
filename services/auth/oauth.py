"""The errors of OAuth 2.0 endpoints (RFC 6749 section 5.2)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from services.kernel.domain.codes import Code, OpenlineError

INVALID_REQUEST = "invalid_request"
INVALID_CLIENT = "invalid_client"
INVALID_GRANT = "invalid_grant"
INVALID_SCOPE = "invalid_scope"
UNAUTHORIZED_CLIENT = "unauthorized_client"
UNSUPPORTED_GRANT_TYPE = "unsupported_grant_type"
ACCESS_DENIED = "access_denied"
SLOW_DOWN = "slow_down"
TEMPORARILY_UNAVAILABLE = "temporarily_unavailable"
SERVER_ERROR = "server_error"

ERRORS = (
    INVALID_REQUEST,
    INVALID_CLIENT,
    INVALID_GRANT,
    INVALID_SCOPE,
    UNAUTHORIZED_CLIENT,
    UNSUPPORTED_GRANT_TYPE,
    ACCESS_DENIED,
    SLOW_DOWN,
    TEMPORARILY_UNAVAILABLE,
    SERVER_ERROR,
)
"""Those of RFC 6749, `slow_down` (RFC 8628) with 429, and for states that RFC 6749 leaves to HTTP names it has itself."""


class OAuthError(Exception):
    """A refusal: `error` for programs, `description` for developers. `retry_after` in seconds."""

    def __init__(
        self,
        error: str,
        description: str,
        *,
        status: int = 400,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(description)
        self.error = error
        self.description = description
        self.status = 401 if error == INVALID_CLIENT else status
        self.retry_after = retry_after


_NAMES = {
    Code.RATE_LIMITED: (SLOW_DOWN, 429),
    Code.UNAVAILABLE: (TEMPORARILY_UNAVAILABLE, 503),
    Code.FORBIDDEN: (ACCESS_DENIED, 403),
    Code.TOO_LARGE: (INVALID_REQUEST, 413),
    Code.INTERNAL: (SERVER_ERROR, 500),
}


@contextmanager
def spoken() -> Iterator[None]:
    """Inside, an `OpenlineError` leaves as the `OAuthError` that means the same."""
    try:
        yield
    except OpenlineError as error:
        name, status = _NAMES.get(error.code, (INVALID_REQUEST, 400))
        raise OAuthError(
            name, error.message, status=status, retry_after=error.retry_after
        ) from error
