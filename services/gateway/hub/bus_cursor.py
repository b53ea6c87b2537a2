"""Where a partition's bus is being read: the position, the history it belongs to, and when a new one is due."""

from __future__ import annotations

from enum import Enum, auto

from services.kernel.broker.port import Beaten


class Phase(Enum):
    """What the reader is doing."""

    TAKING = auto()  # waits for a beat that tells where the bus ends
    FOLLOWING = auto()
    RECONNECTING = (
        auto()
    )  # what it was connected to is not, or not any more, the partition's master


class Verdict(Enum):
    """What a beat's reply means for the hub."""

    NOTHING = auto()
    TAKEN = auto()  # the first position
    RETAKEN = auto()  # a new position: entries may have been missed
    RECONNECT = auto()


class BusCursor:
    """A position on the bus. A bus id means something only within its history (rule 6).

    `generation` grows whenever the position stops being the continuation of what was read before; whatever was asked
    under an older one is void.
    """

    __slots__ = ("_expected", "generation", "history", "phase", "position")

    def __init__(self) -> None:
        self.history = ""
        self.position = 0
        self.generation = 0
        self.phase = Phase.TAKING
        self._expected = ""

    @property
    def following(self) -> bool:
        """Whether there is a position to read from."""
        return self.phase is Phase.FOLLOWING

    def beaten(self, reply: Beaten, sent_position: int) -> Verdict:
        """Judge a beat that was sent when the reader was at `sent_position`."""
        if self.phase is Phase.RECONNECTING:
            return Verdict.NOTHING
        if self.phase is Phase.TAKING:
            return self._retake(reply) if self.history else self._begin(reply)
        if self.confirmed(reply, sent_position):
            return Verdict.NOTHING
        return self.lose(reply.history)

    def _begin(self, reply: Beaten) -> Verdict:
        self.history = reply.history
        self.phase = Phase.FOLLOWING
        self.move_to(reply.bus)
        return Verdict.TAKEN

    def _retake(self, reply: Beaten) -> Verdict:
        """The master changed while connections were renewed: they may lead to the previous one."""
        if self._expected not in ("", reply.history):
            return self.lose(reply.history)
        self._begin(reply)
        return Verdict.RETAKEN

    def lose(self, expected: str = "") -> Verdict:
        """Give up the position. `expected` is the history that was seen instead, where one was."""
        self._expected = expected
        self.phase = Phase.RECONNECTING
        self.generation += 1
        return Verdict.RECONNECT

    def confirmed(self, reply: Beaten, sent_position: int) -> bool:
        """Whether the master's bus is still the one being read, and reaches as far as was read (rule 6).

        A demoted node goes on answering reads, so nothing else would tell.
        """
        return reply.history == self.history and reply.bus >= sent_position

    def reconnected(self) -> None:
        """The connections are new; the next beat's reply names the new position."""
        if self.phase is Phase.RECONNECTING:
            self.phase = Phase.TAKING

    def move_to(self, position: int) -> None:
        """Read on from here, although what came before may have been missed."""
        self.position = position
        self.generation += 1
