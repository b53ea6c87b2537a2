"""Calls that the hub wants carried out, and those that were not answered yet."""

from __future__ import annotations

from services.gateway.hub.port import LookCall, ReconnectCall

Effect = LookCall | ReconnectCall


class PendingCalls:
    """Collects calls for the driver. One that is not answered within `patience` seconds has failed: nothing waits for
    it for ever.
    """

    __slots__ = ("_new", "_pending", "_serial", "patience")

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self._serial = 0
        self._new: list[Effect] = []
        self._pending: dict[int, tuple[float, Effect]] = {}

    def serial(self) -> int:
        """A number for the next look call."""
        self._serial += 1
        return self._serial

    def add(self, effect: Effect, now: float) -> None:
        """Have a call carried out."""
        self._new.append(effect)
        self._pending[_key(effect)] = (now + self.patience, effect)

    def drain(self) -> list[Effect]:
        """Those not handed out yet."""
        new, self._new = self._new, []
        return new

    def answered(self, effect: Effect) -> None:
        """A reply came; another one for the same call says nothing new."""
        self._pending.pop(_key(effect), None)

    @property
    def next(self) -> float | None:
        """When the oldest call fails; None when all were answered."""
        return next(iter(self._pending.values()))[0] if self._pending else None

    def overdue(self, now: float) -> list[Effect]:
        """Those that have failed by now."""
        found = []
        for until, effect in self._pending.values():
            if until > now:
                break
            found.append(effect)
        return found


def _key(effect: Effect) -> int:
    return effect.id if isinstance(effect, LookCall) else 0
