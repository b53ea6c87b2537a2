"""A subscriber that has not joined yet, and what has been collected for it from the log so far."""

from __future__ import annotations

from typing import Any

from services.gateway.hub import pages
from services.gateway.hub.replay_budget import ReplayBudget
from services.kernel.broker.port import Look, Looked
from services.kernel.domain.positions import Position
from services.kernel.domain.publications import Publication


class Waiter:
    """Wants to join at `since`, or with the `last` newest publications, or (neither) at the channel's position.

    At `deadline` it is refused, unless the channel has advanced since it had `advances`.

    `have` is the position up to which `collected` reaches; None while it is not known where to begin. `lost`: what it
    asked for cannot be had; `is_crowded_out`: others hold all the room that there is for pages. `seen_by`: the call that
    was made when it was already waiting. `head`: where the log ended
    after it came; without `since` it joins no earlier, so that whoever publishes and then subscribes finds what it
    published behind its position.
    """

    __slots__ = (
        "advances",
        "collected",
        "deadline",
        "have",
        "head",
        "is_crowded_out",
        "last",
        "lost",
        "seen_by",
        "since",
        "subscriber",
    )

    def __init__(
        self, subscriber: Any, *, since: Position | None, last: int, deadline: float
    ) -> None:
        self.subscriber = subscriber
        self.since = since
        self.last = 0 if since else last
        self.deadline = deadline
        self.advances = 0
        self.have = since
        self.collected: list[Publication] = []
        self.lost = False
        self.is_crowded_out = False
        self.seen_by: int | None = None
        self.head: Position | None = None

    def may_join(self, position: Position) -> bool:
        """Whether the channel's position on this node is as new as this subscriber may expect."""
        if self.since is not None:
            return True
        return (
            self.head is not None
            and self.head.epoch == position.epoch
            and self.head.offset <= position.offset
        )

    @property
    def anywhere(self) -> bool:
        """Whether it joins wherever the channel is."""
        return self.since is None and not self.last

    def page(self, reply: Looked, look: Look, *, position: int, budget: ReplayBudget[Any]) -> bool:
        """Take what the reply to `look` has for this waiter; False when it had nothing new.

        `position` is the channel's on this node, which may be ahead of the reply.
        """
        self.head = Position(reply.epoch, reply.offset)
        if self.anywhere or self.lost:
            return False
        if self.have is None:
            return look.last >= self.last and self._begin(reply, budget)
        if self._is_lost(reply, look, have=self.have, position=position):
            self._lose()
            budget.release(self.subscriber)
            return True
        return self._collect(reply, self.have, budget)

    def _begin(self, reply: Looked, budget: ReplayBudget[Any]) -> bool:
        """Begin the `last` newest in this reply, which reaches back as far as the log does."""
        self.have = Position(reply.epoch, max(reply.start, reply.offset - self.last))
        self._collect(reply, self.have, budget)
        return True

    def _is_lost(self, reply: Looked, look: Look, *, have: Position, position: int) -> bool:
        """Whether the confirmed log cannot continue from `have`."""
        if have.epoch != reply.epoch:
            return True
        if have.offset > max(reply.offset, position):
            return True  # nobody can have been given this position in this history
        if have.offset >= position:
            return (
                False  # the log has moved past both, but the bus may bring the channel up to here
            )
        return not pages.continues_from(reply, have.offset) and have in look.since

    def _lose(self) -> None:
        """A `since` cannot be continued any more; a `last` begins again."""
        self.collected = []
        self.lost = self.since is not None
        self.have = self.since

    def _collect(self, reply: Looked, have: Position, budget: ReplayBudget[Any]) -> bool:
        """Append the part of the page above `have`, if there is room for it."""
        if not pages.continues_from(reply, have.offset):
            return False
        page = reply.publications[max(0, have.offset - reply.start) :]
        if not page:
            return False
        if not budget.hold(self.subscriber, reply.publications):
            self.is_crowded_out = True
            return False
        self.collected.extend(page)
        self.have = Position(reply.epoch, page[-1].offset)
        return True
