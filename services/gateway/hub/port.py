"""What the hub asks of the gateway around it: audiences to call, calls to carry out, and its limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from services.kernel.broker.port import Entry, Look
from services.kernel.domain.codes import OpenlineError
from services.kernel.domain.publications import Publication


class Joined(NamedTuple):
    """How a subscriber joined: its position, and the publications it missed, which follow that position.

    `recovered`: None when it asked without `since`; True when nothing is missing after `since`; False when the channel
    cannot tell, then the position is the channel's own and nothing is replayed. `began`: where the epoch began.
    """

    epoch: str
    offset: int
    recovered: bool | None
    began: int
    publications: Sequence[Publication]

    def fields(self) -> dict[str, Any]:
        """As acks and events name the place and whether everything since the last one follows."""
        fields: dict[str, Any] = {"epoch": self.epoch, "offset": self.offset}
        if self.recovered is not None:
            fields["recovered"] = self.recovered
        if self.recovered is False:
            fields["began"] = self.began
        return fields


class Audience(Protocol):
    """The present listeners of one channel. Calls come in the channel's order and do no I/O of their own."""

    def deliver(self, publication: Publication) -> None:
        """The next publication, for every listener."""

    def signal(self, entry: Entry) -> None:
        """An ephemeral message, join, leave or typing: at most once, no order promised."""

    def reset(self, epoch: str, offset: int, *, began: int, reason: str) -> None:
        """Continuity is lost: the listeners' position is now this one. `reason` is `epoch` or `history`."""

    def add(self, subscriber: Any, joined: Joined) -> None:
        """A listener from now on; `joined.publications` come before anything newer."""

    def remove(self, subscriber: Any) -> None:
        """No listener any more."""

    def refuse(self, subscriber: Any, error: OpenlineError) -> None:
        """It could not join and is forgotten."""


class Sink(Protocol):
    """Where a partition's hub puts what is not for one channel, and where it finds audiences."""

    def audience(self, channel: str) -> Audience:
        """A fresh audience; the hub keeps it while it keeps the channel."""

    def control(self, entry: Entry) -> None:
        """A control message came."""

    def canary(self, entry: Entry, now: float) -> None:
        """A gateway's canary came."""

    def resynced(self, now: float) -> None:
        """The reader took a new position: entries may have been missed, and channels are being compared."""


class LookCall(NamedTuple):
    """Ask `Broker.look` for these channels; answer with `Hub.looked`, None for a failure.

    `position` is the reader's when the call was made: an older reply does not count.
    """

    id: int
    looks: tuple[Look, ...]
    position: int


class ReconnectCall(NamedTuple):
    """Ask `Broker.reconnect`; answer with `Hub.reconnected`, then beat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubLimits:
    """Bounds of a hub. Counts are publications or channels, sizes are bytes of data, times are seconds."""

    ring_count: int = 256
    ring_bytes: int = 262_144
    buffer_count: int = 512
    buffer_bytes: int = 1_048_576
    batch: int = 100  # channels a look call compares at most
    resync_batch: int = 25  # of a resync: what others send waits for one of these from each gateway
    spacing: float = 0.005  # between the batches of a resync at least, of up to `spaced` gateways
    spaced: int = 4  # of more, it grows with their number: they share what the store can do
    positions: int = 16  # positions of waiters a look passes on at most
    patience: float = 5.0  # a subscriber that saw no progress until then is refused
    answer: float = 15.0  # a call that was not answered by then has failed
    idle_seconds: float = 30.0  # a channel without listeners is kept up to date this long
    idle_most: int = 10_000
    backoff: float = 0.05  # before a look that did not count is repeated; doubles
    backoff_max: float = 1.0
