"""A modelled client: it keeps count of what it gets, and any silent gap, repetition or false claim is a violation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.gateway.hub.port import Joined
from services.kernel.domain.positions import Position
from services.kernel.domain.publications import Publication

if TYPE_CHECKING:
    from tests.property.simulator.gateway import Gateway
    from tests.property.simulator.store import Head


class ViolationError(AssertionError):
    """The guarantee was broken."""


class Client:
    """`position` is what it would store; `segment` what it holds without a flagged loss, for the last comparison."""

    def __init__(self, name: str, channel: str) -> None:
        self.name = name
        self.channel = channel
        self.gateway: Gateway | None = None
        self.waiting = False
        self.stalled = False
        self.asked: Position | None = None
        self.invented: Position | None = None
        self.head: Head | None = None
        self.position: Position | None = None
        self.segment: dict[int, bytes] = {}
        self.losses = 0
        self.refusals = 0

    def __repr__(self) -> str:
        return self.name

    def fail(self, what: str) -> None:
        raise ViolationError(f"{self.name} at {self.position} in {self.channel}: {what}")

    def subscribe(self, gateway: Gateway, since: Position | None, last: int) -> None:
        self.gateway, self.waiting, self.asked = gateway, True, since
        self.head = gateway.world.store.master.state.heads.get(self.channel)
        gateway.subscribe(self, since, last)

    def drain(self) -> None:
        """A slow client's socket takes data again (rule 9): the newest with what was skipped, or a reset."""
        self.stalled = False
        if self.gateway is None or self.waiting:
            return
        hub, position = self.gateway.hub, self.position
        now = hub.position(self.channel)
        if now is None or position is None or now.offset <= position.offset:
            return
        newest = hub.ring(self.channel, now.offset - 1)
        self.losses += 1
        if newest:
            self._begin(Position(now.epoch, now.offset - 1))
            self._receive(newest[0])
        else:
            self._begin(now)

    def leave(self) -> None:
        if self.gateway is not None:
            gateway, self.gateway, self.waiting = self.gateway, None, False
            gateway.unsubscribe(self)

    def joined(self, joined: Joined) -> None:
        gateway = self.gateway
        if gateway is None or not self.waiting:
            raise ViolationError(f"{self.name} joined without having asked, or twice")
        self.waiting = False
        if joined.recovered and self.asked != (joined.epoch, joined.offset):
            self.fail(f"recovered at {joined[:2]}, asked for {self.asked}")
        if (joined.recovered is None) != (self.asked is None):
            self.fail(f"recovered is {joined.recovered}, asked for {self.asked}")
        if not joined.recovered:
            self._begin(Position(joined.epoch, joined.offset))
        if joined.recovered is False:
            self.losses += 1
            if self.asked != self.invented and not gateway.world.store.replicas_answer:
                self._back_in_epoch(Position(joined.epoch, joined.offset), self.asked)
            if joined.publications:
                self.fail("not recovered, but something is replayed")
        for publication in joined.publications:
            self._receive(publication)
        if joined.recovered is None and not gateway.world.store.replicas_answer:
            self._reaches_head()

    def _reaches_head(self) -> None:
        """Who has no position joins no earlier than where the log ended when it came: it may have published itself."""
        head, position = self.head, self.position
        assert position is not None
        if head and head.epoch == position.epoch and head.offset > position.offset:
            self.fail(f"joined behind {head.offset}, where the log ended when it subscribed")

    def deliver(self, publication: Publication) -> None:
        if self.gateway is None or self.waiting:
            self.fail(f"got {publication!r} while it does not listen")
        self._receive(publication)

    def _receive(self, publication: Publication) -> None:
        position = self.position
        assert position is not None
        if (publication.epoch, publication.offset) != (position.epoch, position.offset + 1):
            self.fail(f"got {publication!r}")
        self.position = Position(position.epoch, publication.offset)
        self.segment[publication.offset] = publication.data

    def reset(self, epoch: str, offset: int, *, began: int) -> None:
        """What the new epoch has above `began` survived: nobody is led past it."""
        if self.gateway is None or self.waiting:
            self.fail("reset while it does not listen")
        surviving = self.gateway.world.store.surviving(self.channel, epoch, began)
        if passed := [place for place in surviving if place <= offset]:
            self.fail(f"reset to {offset}, past {passed}, which survived")
        if self.position == (epoch, offset) and not self.stalled:
            self.fail("reset to where it is: no loss")
        self._back_in_epoch(Position(epoch, offset))
        self.losses += 1
        self._begin(Position(epoch, offset))

    def _back_in_epoch(self, told: Position, held: Position | None = None) -> None:
        """Within an epoch nothing becomes void, so a loss only ever leads forward."""
        held = held or self.position
        if held and held.epoch == told.epoch and held.offset > told.offset:
            self.fail(f"led back to {told} within the epoch")

    def _begin(self, position: Position) -> None:
        self.position = position
        self.segment = {}

    def refused(self) -> None:
        if self.gateway is None or not self.waiting:
            self.fail("refused without having asked")
        self.gateway, self.waiting = None, False
        self.refusals += 1

    def confirm(self, told: dict[tuple[str, int], bytes], head: Position | None) -> None:
        """At the end: it listens, has reached the head, and holds what the surviving history holds."""
        if self.gateway is None or self.waiting:
            self.fail("could not join although all has been well for long")
        if self.position != head:
            self.fail(f"has not reached the head {head}")
        for offset, payload in self.segment.items():
            true = told.get((self.channel, offset))
            if true != payload:
                self.fail(f"holds {payload!r} at {offset}, the history {true!r}")
