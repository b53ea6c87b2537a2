"""What the client and the publishers raise: `OpenlineError`, and a subclass where the caller must do something else."""

from __future__ import annotations

from typing import Any, TypeVar

from openline.types import Position

E = TypeVar("E", bound="OpenlineError")


class OpenlineError(Exception):
    """Something was refused or could not be done; the text says what was wrong and what would be right.

    `code` is the protocol's (`forbidden`, `rate_limited`, `unavailable`, ...) or one of ours: `disconnected` (the
    client ended first), `timeout`, `queue_full`, `expired` (it waited longer than its key lives), `aborted` (the user has
    changed), `unsubscribed` (by the server), `slow_reader` (others of its channel read on), `closed` (the server said
    to stay away: `close` is the code), `bad_configuration`. `temporary` says whether the same may succeed
    later, after `retry_after` seconds where that is known. `position` is where the channel stands, with `conflict`.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "internal",
        temporary: bool = False,
        retry_after: float | None = None,
        close: int | None = None,
        position: Position | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.temporary = temporary
        self.retry_after = retry_after
        self.close = close
        self.position = position

    def __str__(self) -> str:
        return f"{self.message} ({self.code})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors travel between processes whole: arguments of a subclass have no default."""
        return _again, (type(self), self.args, self.__dict__)


class Unauthorized(OpenlineError):  # noqa: N818 - the field's word
    """The credentials count no more. A token provider raises it to end the client: nobody is signed in."""

    def __init__(
        self,
        message: str = "nobody is signed in: sign in, then start anew",
        *,
        code: str = "unauthorized",
        close: int | None = None,
    ) -> None:
        super().__init__(message, code=code, close=close)


class ContinuityLost(OpenlineError):  # noqa: N818 - the field's word
    """Messages of a channel may be missing: fetch its state again. Raised by iterators of a channel that is `strict`.

    `began` is the offset at which the present epoch began, `wait` a random number of seconds, inside the time that
    the server names, to wait before the state is fetched: the others who lost it fetch it too.
    """

    def __init__(
        self, channel: str, *, reason: str, began: int | None = None, wait: float = 0.0
    ) -> None:
        super().__init__(
            f"messages of {channel} may be missing ({reason}): fetch its state again",
            code="continuity_lost",
        )
        self.channel = channel
        self.reason = reason
        self.began = began
        self.wait = wait


class InvalidData(OpenlineError):  # noqa: N818 - the field's word
    """Data does not fit the type of its channel; the text names the place and what was expected there."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="invalid_data")


def _again(kind: type[E], arguments: tuple[Any, ...], members: dict[str, Any]) -> E:
    error = kind.__new__(kind)
    error.args = arguments
    error.__dict__.update(members)
    return error
