"""Where a channel stands for its reader, and what each frame does to that. Pure.

A position moves as frames arrive: by the ack of a subscribe, `connected`, `subscribed`, `reset` and `message`. The ack
of a publish moves it only where `echo` was false: it takes the message's place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from openline.types import Position


class Verdict(Enum):
    """What becomes of a message."""

    DELIVER = auto()
    DROP = auto()
    """It has been delivered."""
    GAP = auto()
    """Something before it is missing, and nobody said so: tell, then deliver it."""


@dataclass(frozen=True, slots=True)
class Start:
    """What an ack of a subscribe means. `lost`: why continuity is lost, None when it is not."""

    position: Position
    lost: str | None = None
    began: int | None = None
    recovered: bool = False


class Place:
    """The position of one channel. None until the first ack."""

    __slots__ = ("_own", "_void", "epoch", "offset")

    def __init__(self, since: Position | None = None) -> None:
        self.epoch = since.epoch if since else ""
        self.offset = since.offset if since else 0
        self._own: set[int] = set()
        self._void: str | None = None

    @property
    def position(self) -> Position | None:
        """Where the channel stands; None before anything is known."""
        return Position(self.epoch, self.offset) if self.epoch else None

    def start(self, frame: Mapping[str, Any]) -> Start:
        """The channel begins, anew or once more: an ack, `subscribed`, or its part of `connected`."""
        epoch, offset = str(frame["epoch"]), int(frame["offset"])
        recovered = frame.get("recovered")
        if recovered and self.epoch == epoch:
            # All that follows the position that was asked for follows; more may have come here since.
            offset = self.offset
        lost, self._void = self._void or self._missed(epoch, offset, recovered=recovered), None
        self._move(epoch, offset)
        position = Position(self.epoch, self.offset)
        return Start(position, lost, frame.get("began"), recovered=bool(recovered) and not lost)

    def _missed(self, epoch: str, offset: int, *, recovered: bool | None) -> str | None:
        """Why continuity is lost by beginning there; None when it is not."""
        elsewhere = bool(self.epoch) and (self.epoch, self.offset) != (epoch, offset)
        if recovered is False or (recovered is None and elsewhere):
            return "what was missed is no longer kept"
        return None

    def reset(self, frame: Mapping[str, Any]) -> Position:
        """Continuity is lost; the channel goes on behind the position returned."""
        self._move(str(frame["epoch"]), int(frame["offset"]))
        return Position(self.epoch, self.offset)

    def message(self, offset: int, skipped: int = 0) -> Verdict:
        """A message with an offset has come. Before anything is known, each is delivered."""
        if not self.epoch:
            return Verdict.DELIVER
        between = offset - self.offset - 1
        if between < 0:
            return Verdict.DROP
        gap = between > skipped and between > skipped + self._own_below(offset)
        self._move(self.epoch, offset)
        return Verdict.GAP if gap else Verdict.DELIVER

    def own(self, epoch: str, offset: int) -> bool:
        """The ack of a publish without echo: whether it took the next place. Farther on it is remembered."""
        if epoch != self.epoch or offset <= self.offset:
            return False
        before = self.offset
        self._own.add(offset)
        self._pass_own()
        return self.offset > before

    def forget(self, reason: str) -> None:
        """The position was somebody else's: begin anew, and say that what came before is void."""
        if self.epoch:
            self._void = reason
        self._move("", 0)

    def _move(self, epoch: str, offset: int) -> None:
        if epoch != self.epoch:
            self._own.clear()
        self.epoch, self.offset = epoch, offset
        if self._own:
            self._pass_own()

    def _pass_own(self) -> None:
        """Go over those of our own that stand next; they do not come."""
        while self.offset + 1 in self._own:
            self.offset += 1
        self._own = {own for own in self._own if own > self.offset}

    def _own_below(self, offset: int) -> int:
        return sum(self.offset < own < offset for own in self._own)
