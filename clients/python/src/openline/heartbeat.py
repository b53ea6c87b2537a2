"""Whether a connection still lives. Pure: `now` is seconds of a monotonic clock."""

from __future__ import annotations

from enum import Enum, auto

PONG_SECONDS = 5.0
"""Between our question and the first frame after it."""

PONG_SECONDS_LATE = 10.0

SERVER_GRACE = 10.0
"""Beyond the server's own `ping`, when we do not ask ourselves."""

LATE = 5.0
"""A look that comes so many seconds late proves nothing: the machine slept, or the loop was busy."""


class Due(Enum):
    """What a look asks for."""

    NOTHING = auto()
    PING = auto()
    """It was silent: ask."""
    ALIVE = auto()
    """We do not read: say that we live, so that only the server's rules for slow readers count."""
    DEAD = auto()
    """It was asked and said nothing."""


class Heartbeat:
    """Silence of one connection. `probe`: seconds of silence until we ask; 0: not before the server's `ping` fails."""

    __slots__ = ("_asked", "_heard", "_held", "_next", "_patience", "_server_ping")

    def __init__(self, now: float, *, probe: float, server_ping: float) -> None:
        self._server_ping = server_ping
        self._patience = probe or server_ping + SERVER_GRACE
        self._heard = now
        self._asked: float | None = None
        self._held = False
        self._next = now + self._patience

    @property
    def next(self) -> float:
        """When to look again."""
        return self._next

    def heard(self, now: float) -> None:
        """A frame came."""
        self._heard = now

    def hold(self, now: float, *, held: bool) -> None:
        """We stopped reading, or go on: meanwhile silence says nothing."""
        self._held, self._asked, self._heard = held, None, now
        self._next = now + (self._server_ping / 2 if held else self._patience)

    def due(self, now: float) -> Due:
        """What is to be done now."""
        if now < self._next:
            return Due.NOTHING
        if self._held:
            self._next = now + self._server_ping / 2
            return Due.ALIVE
        late = now - self._next > LATE
        if self._asked is not None and self._heard < self._asked:
            return self._ask(now, PONG_SECONDS_LATE) if late else Due.DEAD
        self._asked = None
        if now - self._heard < self._patience:
            self._next = self._heard + self._patience
            return Due.NOTHING
        return self._ask(now, PONG_SECONDS_LATE if late else PONG_SECONDS)

    def _ask(self, now: float, patience: float) -> Due:
        self._asked, self._next = now, now + patience
        return Due.PING
