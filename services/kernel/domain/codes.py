"""The two tables a client author can memorise: error codes and close codes, and the error that carries them."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class Code(StrEnum):
    """Why a command or an HTTP call was refused. The values are the wire's."""

    BAD_REQUEST = "bad_request"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    UNKNOWN_NAMESPACE = "unknown_namespace"
    NOT_FOUND = "not_found"
    NOT_SUBSCRIBED = "not_subscribed"
    ALREADY_SUBSCRIBED = "already_subscribed"
    RATE_LIMITED = "rate_limited"
    TOO_LARGE = "too_large"
    LIMIT_EXCEEDED = "limit_exceeded"
    INVALID_DATA = "invalid_data"
    CONFLICT = "conflict"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


TEMPORARY = frozenset({Code.RATE_LIMITED, Code.UNAVAILABLE})
"""Codes after which the same call may succeed unchanged."""

HTTP_STATUS: dict[Code, int] = {
    Code.BAD_REQUEST: 400,
    Code.UNAUTHORIZED: 401,
    Code.FORBIDDEN: 403,
    Code.UNKNOWN_NAMESPACE: 404,
    Code.NOT_FOUND: 404,
    Code.NOT_SUBSCRIBED: 409,
    Code.ALREADY_SUBSCRIBED: 409,
    Code.RATE_LIMITED: 429,
    Code.TOO_LARGE: 413,
    Code.LIMIT_EXCEEDED: 422,
    Code.INVALID_DATA: 422,
    Code.CONFLICT: 409,
    Code.UNAVAILABLE: 503,
    Code.INTERNAL: 500,
}
"""The one place where a code becomes an HTTP status."""


class Close(IntEnum):
    """Why the server ended a connection; the range tells the client what to do (RFC 6455 section 7.4.2).

    4000-4099: stay away. 4100-4199: reconnect with backoff and recover. 4200-4299: get a new token first.
    """

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    INVALID_PAYLOAD = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    BAD_REQUEST = 4000
    UNAUTHORIZED = 4001
    PERMISSION = 4003
    DISCONNECTED = 4004
    REVOKED = 4005
    CONNECTION_LIMIT = 4006
    DRAINING = 4100
    SLOW_CONSUMER = 4101
    NO_HEARTBEAT = 4102
    OVERLOADED = 4104
    TOKEN_EXPIRED = 4200


class OpenlineError(Exception):
    """A refusal with a name: `code` for programs, `message` (what was wrong and what would be right) for people.

    `retry_after` is in seconds; `expired` marks a token that is past its `exp` or not valid yet: a new one helps;
    `position` is (epoch, offset) of the channel where an `expect` failed.
    """

    def __init__(
        self,
        code: Code,
        message: str,
        *,
        retry_after: float | None = None,
        expired: bool = False,
        position: tuple[str, int] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after = retry_after
        self.expired = expired
        self.position = position

    @property
    def temporary(self) -> bool:
        """Whether the same call may succeed later unchanged."""
        return self.code in TEMPORARY

    @property
    def status(self) -> int:
        """The HTTP status of this refusal."""
        return HTTP_STATUS[self.code]

    def __repr__(self) -> str:
        return f"OpenlineError({self.code.value!r}, {self.message!r})"


def connection_limit(error: OpenlineError) -> Close:
    """The close code for one connection too many: 4006, which says "stay away", only where time does not mend it."""
    return Close.OVERLOADED if error.temporary else Close.CONNECTION_LIMIT
