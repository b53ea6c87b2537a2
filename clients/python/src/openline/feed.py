"""A channel that somebody reads: where its subscription stands, and what its reader is given. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from openline.errors import OpenlineError
from openline.positions import Place, Start
from openline.types import ChannelState, Lost, Position, Recovered, State


class Wire(Protocol):
    """One connection, as those who speak over it know it."""

    def send(self, frame: dict[str, Any]) -> None:
        """Send a command, behind those before it."""

    def send_encoded(self, frame: str | bytes) -> None:
        """The same, of what is written already."""

    def restart(self, reason: str) -> None:
        """End it, and come back on another one."""


class Inbox(Protocol):
    """Where a reader finds what has come."""

    def put(self, position: Position | None, event: Any) -> None:
        """Behind all before. `position` is where the channel stands with it; None moves nothing. No event: a mark."""

    def stand(self) -> None:
        """The subscription stands."""

    def fail(self, error: OpenlineError) -> None:
        """Nothing comes any more."""


class Feed:
    """One channel. `last`: with how many of the newest messages it begins; `since`: behind which position.

    `line` is the connection that it stands on; None when on none. `server_made`: the server subscribes it.
    """

    def __init__(
        self, name: str, inbox: Inbox, *, since: Position | None = None, last: int = 0
    ) -> None:
        self.name = name
        self.inbox = inbox
        self.place = Place(since)
        self.last = 0 if since else last
        self.line: Wire | None = None
        self.server_made: bool | None = None
        self.joining: int | None = None
        self.retry_at: float | None = None
        self.error: OpenlineError | None = None
        self.recovering: int | None = None
        self.state: ChannelState = "idle"
        self._held: list[tuple[Position | None, Any]] | None = None

    def put(self, position: Position | None, event: Any) -> None:
        """Give the reader something, or let it wait for what comes before."""
        if self._held is not None:
            self._held.append((position, event))
        else:
            self.inbox.put(position, event)

    def mark(self) -> None:
        """The position has moved without a message."""
        self.put(self.place.position, None)

    def stand(self, line: Wire, frame: Mapping[str, Any]) -> Start:
        """The subscription stands."""
        start = self.place.start(frame)
        lost = start.lost and Lost(self.name, start.lost, start.position, start.began)
        self.put(start.position, lost or None)
        if start.recovered:
            self.recovering = self.recovering or 0
        self.go_on(line)
        return start

    def go_on(self, line: Wire) -> None:
        """It stands where it is."""
        self.line, self.joining, self.retry_at, self.error = line, None, None, None
        self.enter("live")
        self.inbox.stand()

    def enter(self, state: ChannelState) -> None:
        """The state changes; its reader is told."""
        if state != self.state:
            self.state = state
            self.put(None, State(self.name, state))

    def recovered(self) -> None:
        """All that was missed has come."""
        if self.recovering is not None:
            count, self.recovering = self.recovering, None
            self.put(None, Recovered(self.name, count))

    def fail(self, error: OpenlineError) -> None:
        """It is over, until somebody opens the channel again."""
        self.release()
        self.line, self.joining, self.retry_at, self.error = None, None, None, error
        self.enter("failed")
        self.inbox.fail(error)

    def hold(self) -> None:
        """What comes waits, until older messages have been fetched."""
        self._held = []

    def release(self) -> None:
        """The older messages are there, or will not come."""
        held, self._held = self._held or [], None
        for position, event in held:
            self.inbox.put(position, event)
