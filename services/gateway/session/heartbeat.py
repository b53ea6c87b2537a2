"""When a connection is looked at next, and what is due then: a sign of life, and its token's end."""

from __future__ import annotations

from enum import Enum, auto

from services.kernel.domain.claims import Claims
from services.kernel.domain.limits import Limits

EXPIRY_GRACE = 5.0
"""Seconds after `exp` in which a client may still renew its token."""

EXPIRING_AHEAD = 30.0
"""Seconds before `exp` at which a client is told, at most."""


class Due(Enum):
    """What a look at a connection asks for."""

    NOTHING = auto()
    PING = auto()
    """The client was silent: ask it for a sign of life."""
    ALIVE = auto()
    """The client speaks, but hears nothing of us: write something, or a proxy between cuts the connection."""
    DEAD = auto()
    """The client was asked and said nothing."""


class Heartbeat:
    """A connection's heartbeat and whether its client was told that the token ends. Pure: times are arguments.

    `now`, `received` (when anything last came) and `pinged_at` (0: it was not asked) are seconds of a monotonic clock,
    `wall` is seconds since 1970.
    """

    __slots__ = ("is_notified", "pinged_at")

    def __init__(self) -> None:
        self.pinged_at = 0.0
        self.is_notified = False

    def next(self, now: float, *, received: float, limits: Limits) -> float:
        """When `due` is to be asked again."""
        if self.pinged_at:
            return min(self.pinged_at + limits.pong_seconds, now + limits.ping_seconds)
        return max(received + limits.ping_seconds, now)

    def due(self, now: float, *, received: float, limits: Limits) -> Due:
        """What is to be done now."""
        if self.pinged_at:
            if received >= self.pinged_at:  # the loop's clock may stand still for a millisecond
                self.pinged_at = 0.0
                return Due.NOTHING
            return Due.DEAD if now >= self.pinged_at + limits.pong_seconds else Due.NOTHING
        if now - received >= limits.ping_seconds:
            self.pinged_at = now
            return Due.PING
        return Due.ALIVE

    def expiry(self, claims: Claims | None, wall: float) -> float | None:
        """Seconds until the client is to be told of its token's end, or, when it was, until its grace is over."""
        if claims is None or claims.exp is None:
            return None
        left = claims.exp - wall
        if self.is_notified:
            return left + EXPIRY_GRACE
        life = EXPIRING_AHEAD * 3 if claims.iat is None else claims.exp - claims.iat
        return left - min(EXPIRING_AHEAD, max(0.0, life / 3))


def expires(claims: Claims | None) -> int | None:
    """`exp` in whole seconds since 1970, as the wire has it."""
    return None if claims is None or claims.exp is None else int(claims.exp)
