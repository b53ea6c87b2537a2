"""What the end of a connection asks for: by close code, or by the HTTP status of a refused handshake."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

NORMAL: Final = 1000
ABNORMAL: Final = 1006
DRAINING: Final = 4100
OF_CREDENTIALS: Final = frozenset({4001, 4005})
"""The token was refused (4001), or it, its user or its client was revoked (4005)."""

MAX_LEAST: Final = 60.0
"""Seconds that a server may make us wait before we come back."""

_STAY_AWAY: Final = frozenset({1000, 1002, 1003, 1007, 1008, 1009, *range(4000, 4100)})
_REFUSED: Final = frozenset({401, 403})


class Next(Enum):
    """What to do now."""

    STAY_AWAY = auto()
    """The same would happen again."""
    RETURN = auto()
    """Wait, then reconnect and recover."""
    NEW_TOKEN = auto()
    """Ask for a new token, then reconnect."""


@dataclass(frozen=True, slots=True)
class End:
    """How a connection ended. `least`: seconds to wait before the next attempt, at least.

    `close` is the close code; 1006 when there was none. `status` is that of a refused handshake. `online_for`: the
    seconds that it was online.
    """

    next: Next
    reason: str = ""
    close: int = ABNORMAL
    status: int | None = None
    least: float = 0.0
    online_for: float = 0.0


def after_close(code: int, reason: str = "", *, online_for: float = 0.0) -> End:
    """What a close code asks for; one that is not known means: come back."""
    if code in _STAY_AWAY:
        return End(Next.STAY_AWAY, reason, code, online_for=online_for)
    if 4200 <= code < 4300:  # noqa: PLR2004 - the range is the protocol's
        return End(Next.NEW_TOKEN, reason, code, online_for=online_for)
    least = seconds(reason) if code == DRAINING else 0.0
    return End(Next.RETURN, reason, code, least=least, online_for=online_for)


def after_status(status: int, retry_after: str | None = None) -> End:
    """What the HTTP status of a refused handshake asks for."""
    reason = f"the handshake was refused with HTTP status {status}"
    if status in _REFUSED:
        return End(Next.STAY_AWAY, reason, status=status)
    return End(Next.RETURN, reason, status=status, least=seconds(retry_after or ""))


def seconds(text: str) -> float:
    """A number of seconds, a minute at most; 0 for what is none."""
    try:
        given = float(text)
    except ValueError:
        return 0.0
    return min(given, MAX_LEAST) if given > 0 else 0.0
