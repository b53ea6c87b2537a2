"""What fan-out asks of the gateway it runs on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from services.gateway.fanout.lag_budget import LagBudget
from services.gateway.fanout.subscriber import Subscriber
from services.gateway.metrics import Metrics
from services.kernel.domain.positions import Position
from services.kernel.domain.publications import Publication


class ChannelHost(Protocol):
    """The node as an audience sees it. `now` is seconds of a monotonic clock."""

    lag_budget: LagBudget
    metrics: Metrics

    def now(self) -> float:
        """The time by which intervals are measured."""

    def soon(self, callback: Callable[[], None]) -> None:
        """Call when the entries are delivered that are being delivered now, else in the loop's next turn."""

    def later(self, seconds: float, callback: Callable[[], None]) -> None:
        """Call after this many seconds."""

    def session(self, connection: str) -> Subscriber | None:
        """The subscriber with this connection id, if it is here."""

    def counted(self, channel: str, listeners: int) -> None:
        """A channel has this many listeners here now; reported to the fleet soon."""

    def position(self, channel: str) -> Position | None:
        """What every listener of a channel here has been given."""

    def began(self, channel: str) -> int:
        """The offset at which the epoch of that position began."""

    def newest(self, channel: str) -> Publication | None:
        """The newest publication of a channel that is kept here."""
