"""How many connections a gateway hands to the others now: after a scale-out the newcomers have none. Pure."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

from services.kernel.domain.peers import HANDSHAKE_SECONDS, Peer

BEGIN, SPARE = 1.10, 50
"""From BEGIN times the mean and SPARE more connections on a gateway sheds."""

END = 1.05
"""Until it has so many times the mean."""

FRACTION, MOST = 0.01, 50
"""Of its connections it sheds each second, and how many at most."""

YOUNG_SECONDS = 30.0
"""A gateway that began less long ago may not stay, or is not known to the front door yet."""

BUSY = 0.1
"""Of the handshakes that the fleet could do: beyond that clients come back anyway, and choose gateways that have fewer."""

WINDOW_SECONDS = 5.0
"""Over which handshakes are counted."""


class Shedding:
    """Judges by what all gateways told with their heartbeats. `now` is in seconds of any one clock.

    `active` is between BEGIN and END. `blocked`: nothing may be shed now, whoever has how many.
    """

    def __init__(self, node: str) -> None:
        self.active = False
        self.blocked = True
        self._node = node
        self._accepted: deque[tuple[float, dict[str, int]]] = deque()

    def number(self, fleet: Sequence[Peer], *, own: int, moving: int, now: float) -> int:
        """How many of our `own` connections to shed in this second; `moving` of them have been asked to go already."""
        busy = self._busy(fleet, now)
        others = [peer for peer in fleet if peer.node != self._node]
        restless = any(peer.draining or peer.uptime < YOUNG_SECONDS for peer in fleet)
        self.blocked = busy or restless or not others
        if self.blocked:
            self.active = False
            return 0
        staying = own - moving
        mean = (own + sum(peer.connections for peer in others)) / (len(others) + 1)
        self.active = staying > (END * mean if self.active else BEGIN * mean + SPARE)
        if not self.active:
            return 0
        return min(MOST, max(1, int(staying * FRACTION)), math.ceil(staying - END * mean))

    def stop(self) -> None:
        """Nothing is known of the others."""
        self.active, self.blocked = False, True

    def _busy(self, fleet: Sequence[Peer], now: float) -> bool:
        """Whether the fleet has much to do with handshakes; also while that is not known yet."""
        counts = {peer.node: peer.accepted for peer in fleet}
        self._accepted.append((now, counts))
        while now - self._accepted[0][0] > WINDOW_SECONDS:
            self._accepted.popleft()
        since, before = self._accepted[0]
        if now - since < WINDOW_SECONDS / 2:
            return True
        came = sum(max(0, count - before.get(node, count)) for node, count in counts.items())
        return came * HANDSHAKE_SECONDS > BUSY * len(counts) * (now - since)
