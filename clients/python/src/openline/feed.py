"""A channel that somebody reads: where its subscription stands, and what its readers are given. Pure."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from openline.errors import OpenlineError
from openline.positions import Place, Start
from openline.types import ChannelState, Lost, Message, Position, Recovered, State


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

    def when_taken(self, work: Callable[[], None]) -> None:
        """Call it when little of what has come waits, perhaps at once."""

    def fail(self, error: OpenlineError) -> None:
        """Nothing comes any more."""


class Reader:
    """One of those who read a channel. `last`: with how many of the newest messages it begins; `since`: behind what.

    `taken` is how far the application has come, None while it owes nothing. Not `entered`: it came to a channel that
    others read already, and is given nothing yet. Older messages are fetched by so many at once as `page` says.
    """

    def __init__(
        self, inbox: Inbox, *, since: Position | None = None, last: int = 0, page: int = 500
    ) -> None:
        self.inbox = inbox
        self.since = since
        self.last = 0 if since else last
        self.page = page
        self.taken = since
        self.entered = True
        self._follows = True
        self._held: list[tuple[Position | None, Any]] | None = None
        self._floor: Position | None = None

    def put(self, position: Position | None, event: Any) -> None:
        """What the channel brings."""
        if self._follows or (self._held is None and self._is_ahead(position, event)):
            self.inbox.put(position, event)
        elif self._held is not None:
            self._held.append((position, event))

    def pause(self) -> None:
        """What has a position is left out from now on: it will be fetched."""
        self._follows, self._held, self._floor = False, None, None

    def hold(self) -> None:
        """What comes from now on waits, until older messages have been fetched."""
        self._follows, self._held = False, []

    def release(self) -> None:
        """It follows the channel: the older messages are there, or will not come."""
        held, self._held, self._follows = self._held or [], None, True
        for position, event in held:
            self.inbox.put(position, event)

    def skip(self, position: Position) -> None:
        """It follows the channel, but has seen what this brings up to there."""
        self._follows, self._held, self._floor = False, None, position

    def _is_ahead(self, position: Position | None, event: Any) -> bool:
        if position is None:
            return True
        floor = self._floor
        if floor is None:
            return False
        if position.epoch == floor.epoch and position.offset <= floor.offset:
            return isinstance(event, Lost)
        self._follows, self._floor = True, None
        return True


class Feed:
    """One channel, and who reads it. It begins as its first reader wants it; `late` wait to be let in.

    `line` is the connection that it stands on; None when on none. `server_made`: the server subscribes it.
    """

    def __init__(self, name: str, reader: Reader) -> None:
        self.name = name
        self.readers = [reader]
        self.late: list[Reader] = []
        self.place = Place(reader.since)
        self.last = reader.last
        self.line: Wire | None = None
        self.server_made: bool | None = None
        self.joining: int | None = None
        self.retry_at: float | None = None
        self.error: OpenlineError | None = None
        self.recovering: int | None = None
        self.state: ChannelState = "idle"

    def put(self, position: Position | None, event: Any) -> None:
        """Give it to each reader."""
        if len(self.readers) == 1:
            self.readers[0].put(position, event)
            return
        for reader in self.readers:
            # Each has a message of its own: its reader may give the data a type.
            own = copy.copy(event) if isinstance(event, Message) else event
            reader.put(position, own)

    def mark(self) -> None:
        """The position has moved without a message."""
        self.put(self.place.position, None)

    def taken(self, kept: Position | None) -> Position | None:
        """How far all of its readers have come. Whoever came in behind `kept` does not take it back."""
        if len(self.readers) == 1:
            return self.readers[0].taken
        known = [reader.taken for reader in self.readers if reader.taken is not None]
        behind = min(known, key=self._age, default=None)
        if kept is None or behind is None:
            return behind or kept
        return max(kept, behind, key=self._age)

    def _age(self, position: Position) -> tuple[bool, int]:
        return position.epoch == self.place.epoch, position.offset

    def join(self, reader: Reader) -> None:
        """Another one reads it, as soon as it has been let in."""
        reader.entered = False
        reader.pause()
        reader.inbox.put(None, State(self.name, self.state))
        self.readers.append(reader)
        self.late.append(reader)

    def let_in(self, reader: Reader) -> None:
        """A late one knows now that the channel stands."""
        reader.entered = True
        reader.inbox.stand()

    def remove(self, reader: Reader) -> None:
        """It reads no more."""
        self.readers = [one for one in self.readers if one is not reader]
        self.late = [one for one in self.late if one is not reader]

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
        for reader in self.readers:
            if reader.entered:
                reader.inbox.stand()

    def enter(self, state: ChannelState) -> None:
        """The state changes; its readers are told."""
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
        for reader in self.readers:
            reader.release()
        self.line, self.joining, self.retry_at, self.error = None, None, None, error
        self.enter("failed")
        for reader in self.readers:
            reader.inbox.fail(error)
