"""One client's account: each message it got goes into the ledger, and each that it should have had but did not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from loadtest.swarm.chunks import Chunk, Other
from loadtest.swarm.continuity import Continuity, Fault, Position
from loadtest.swarm.stamp import now

if (
    TYPE_CHECKING
):  # Locust patches the standard library when it is imported; what counts does without
    from loadtest.swarm.ledger import Ledger


class Audit:
    """Follows one client over all its connections. `kind` is `WS` or `SSE`, `name` what the rows are called."""

    def __init__(self, ledger: Ledger, *, kind: str, name: str) -> None:
        self._ledger = ledger
        self._kind = kind
        self._name = name
        self._deliver = f"{kind} deliver"
        self._since = 0
        self.continuity = Continuity()
        self.received = 0

    def connected(self) -> None:
        """From now on messages come as they are published; those that are older were missed meanwhile."""
        self._since = now()

    def took(self, chunk: Chunk, *, other: Callable[[Other], None]) -> None:
        """Messages came; events of other kinds go to `other`, in their place."""
        for item in chunk.items:
            if isinstance(item, Other):
                other(item)
                continue
            self.received += item.length
            if item.skipped:
                self._ledger.counted(f"{self._kind} skipped", self._name, count=item.skipped)
            self._blame(item.channel, self.continuity.take(item))
        if not chunk.stamps:
            return
        if min(chunk.stamps) >= self._since:
            self._ledger.delivered(self._deliver, self._name, stamps=chunk.stamps, now=now())
            return
        for kind, stamps in (
            (f"{self._kind} recover", [stamp for stamp in chunk.stamps if stamp < self._since]),
            (self._deliver, [stamp for stamp in chunk.stamps if stamp >= self._since]),
        ):
            if stamps:
                self._ledger.delivered(kind, self._name, stamps=stamps, now=now())

    def subscribed(self, event: Mapping[str, Any]) -> None:
        """A subscription's answer: an `ack`, a `subscribed`, or a channel of `connected` with its name in it."""
        recovered = event.get("recovered")
        fault = self.continuity.joined(event["channel"], _position(event), recovered=recovered)
        self._blame(event["channel"], fault)
        if recovered is False:
            self._flagged("recovered: false")

    def reset(self, event: Mapping[str, Any]) -> None:
        """The server said that continuity is lost."""
        self.continuity.reset(event["channel"], _position(event))
        self._flagged(f"reset: {event.get('reason')}")

    def _blame(self, channel: str, fault: Fault) -> None:
        for _ in range(fault.missing):
            self._ledger.event(f"{self._kind} gap", self._name, error=f"missing on {channel}")
        for _ in range(fault.repeated):
            self._ledger.event(f"{self._kind} repeat", self._name, error=f"repeated on {channel}")

    def _flagged(self, why: str) -> None:
        self._ledger.event(f"{self._kind} flagged", self._name, error=why)


def _position(event: Mapping[str, Any]) -> Position:
    return Position(event["epoch"], event["offset"])
