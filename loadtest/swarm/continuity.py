"""Whether one connection got every message of its channels once and in order, or was told that it could not."""

from __future__ import annotations

from typing import NamedTuple

from loadtest.swarm.chunks import Run


class Position(NamedTuple):
    """The last message that was received."""

    epoch: str
    offset: int


class Fault(NamedTuple):
    """Messages that were passed over without a word, and messages that came once more or too late."""

    missing: int = 0
    repeated: int = 0


NONE = Fault()


class Continuity:
    """All channels of one client; it outlives connections."""

    def __init__(self) -> None:
        self._at: dict[str, Position] = {}

    def at(self, channel: str) -> Position | None:
        """From where to go on."""
        return self._at.get(channel)

    def joined(self, channel: str, position: Position, *, recovered: bool | None = None) -> Fault:
        """Take a subscription's position. A recovery that begins anywhere but where we are is a fault."""
        before = self._at.get(channel)
        self._at[channel] = position
        if not recovered or before is None:
            return NONE
        if before.epoch != position.epoch:
            return Fault(missing=1)
        ahead = position.offset - before.offset
        return Fault(missing=max(0, ahead), repeated=max(0, -ahead))

    def reset(self, channel: str, position: Position) -> None:
        """The server says that continuity is lost, and where it begins anew."""
        self._at[channel] = position

    def take(self, run: Run) -> Fault:
        """Count messages in the order in which they came; a channel that nobody joined begins with its first."""
        before = self._at.get(run.channel)
        if before is None:
            self._at[run.channel] = Position("", run.first + run.length - 1)
            return NONE
        last = run.first + run.length - 1
        if last > before.offset:
            self._at[run.channel] = before._replace(offset=last)
        expected = before.offset + 1
        if run.first == expected + run.skipped:
            return NONE
        return Fault(
            missing=max(0, run.first - run.skipped - expected),
            repeated=max(0, min(run.length, expected - run.first)),
        )
