"""Users and addresses over a limit of connections: only when that lasts is a client told to stay away."""

from __future__ import annotations

from services.kernel.broker.port import LEASE_SECONDS
from services.kernel.domain.codes import Code, OpenlineError

RETRY_SECONDS = 1.0

FORGET_SECONDS = 60.0
"""Without a refusal, after which the next one is the first again: clients back off for half of it at most."""


class Excess:
    """Refusals by user or address. Pure: `now` is in seconds.

    What is counted too much for a while mends by itself: connections of a gateway that has crashed, or of clients that
    are being moved. So a refusal is temporary until they have gone on for longer than a lease.
    """

    __slots__ = ("_refused",)

    def __init__(self) -> None:
        self._refused: dict[str, tuple[float, float]] = {}  # since when, and when last

    def refusal(self, who: str, text: str, now: float) -> OpenlineError:
        """One too many: `rate_limited` while it may mend, `limit_exceeded` once it lasts. `text` names the limit."""
        since, last = self._refused.get(who, (now, now))
        if now - last > FORGET_SECONDS:
            since = now
        self._refused[who] = since, now
        if now - since > LEASE_SECONDS:
            return OpenlineError(Code.LIMIT_EXCEEDED, f"{text}; close others first")
        return OpenlineError(
            Code.RATE_LIMITED,
            f"{text}; close others, or come back when some have ended",
            retry_after=RETRY_SECONDS,
        )

    def end(self, who: str) -> None:
        """There was room again."""
        self._refused.pop(who, None)

    def forget(self, now: float) -> None:
        """Drop those that have not come back for long."""
        for who in [w for w, (_, last) in self._refused.items() if now - last > FORGET_SECONDS]:
            del self._refused[who]
