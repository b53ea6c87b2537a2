"""What the outboxes of Django and SQLAlchemy share: which rows may leave, and what becomes of them. No database in here."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from openline.deliveries import Outcome
from openline.errors import OpenlineError
from openline.types import Draft

Id = TypeVar("Id")

MAX_CHANNELS = 200
MAX_ROWS = 1000
"""Of one round."""


@dataclass(frozen=True, slots=True)
class Row(Generic[Id]):
    """A message that waits. `key` is the row's own, so that a message whose row was not deleted is not stored twice."""

    id: Id
    channel: str
    data: Any
    key: str
    tags: dict[str, str] | None = None
    conflate_key: str | None = None

    @property
    def draft(self) -> Draft:
        """What is published."""
        return Draft(self.channel, self.data, self.key, self.tags, conflate_key=self.conflate_key)


@dataclass(slots=True)
class Settled(Generic[Id]):
    """What became of rows: `done` are to be deleted, `failed` to be kept with their error and never sent again.

    Rows in neither wait for the next round. `error` is why, when there are such.
    """

    done: list[Id] = field(default_factory=list)
    failed: list[tuple[Id, str]] = field(default_factory=list)
    error: OpenlineError | None = None


def in_order(rows: Iterable[Row[Id]], locked: Collection[Id]) -> list[Row[Id]]:
    """The rows that may leave: of each channel those before the first that another drain has locked.

    `rows` are all that wait, in order. Behind a locked one nothing of its channel leaves, or it would overtake it.
    """
    found: list[Row[Id]] = []
    held: set[str] = set()
    for row in rows:
        if row.id not in locked:
            held.add(row.channel)
        elif row.channel not in held:
            found.append(row)
    return found


def settled(rows: Sequence[Row[Id]], outcomes: Sequence[Outcome]) -> Settled[Id]:
    """What the outcomes mean for the rows.

    What the server refuses for the message's sake fails for good, or it would hold up its channel for ever. What may
    pass, and a refusal of the caller (wrong secret, missing scope), leaves the row where it is.
    """
    found: Settled[Id] = Settled()
    for row, outcome in zip(rows, outcomes, strict=True):
        if not isinstance(outcome, OpenlineError):
            found.done.append(row.id)
        elif outcome.temporary or outcome.code in _OF_THE_CALLER:
            found.error = outcome
        else:
            found.failed.append((row.id, str(outcome)))
    return found


_OF_THE_CALLER = frozenset({"unauthorized", "forbidden", "bad_configuration"})
