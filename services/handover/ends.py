"""Both ends of a move: what the servers say of the partition, and whether it can be moved or finished. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from services.handover.masters import RefusedError
from services.kernel.broker.redis.homes import Home, State


class Ends(NamedTuple):
    """What the homes at both servers say, as text; empty where there is none."""

    source: Mapping[str, str]
    target: Mapping[str, str]

    @property
    def states(self) -> tuple[str | None, str | None]:
        """At the source and at the target; None where the partition never was."""
        source, target = (home.get("state", "") if home else None for home in self)
        return source, target


def check_ends(ends: Ends, *, number: int, of: int) -> None:
    """Refuse what cannot be moved or finished. Raises RefusedError."""
    source, target = ends.states
    if source is None:
        raise RefusedError(
            f"partition {number} does not live at its old server: give the map as it is now by --from"
        )
    if source == State.ARRIVING:
        raise RefusedError(
            f"partition {number} is being moved to its old server: finish that move first"
        )
    if int(ends.source["of"]) != of:
        raise RefusedError(
            f"partition {number} is one of {ends.source['of']}: set OPENLINE_PARTITIONS to that number"
        )
    if target == State.LIVING and source == State.LIVING:
        raise RefusedError(
            f"partition {number} lives at both servers, or both are one:"
            f" delete its keys ol:{{p{number}}}:* at the new one, or name another"
        )
    if source == State.MOVED and target != State.LIVING:
        same = target == State.ARRIVING and ends.target.get("move") == ends.source.get("move")
        if not same:
            raise RefusedError(
                f"partition {number} was moved from its old server to another one than this: name that one by --to"
            )


def check_neighbours(homes: Mapping[int, Home], fleet: str) -> None:
    """Refuse a server where partitions of another fleet live. Raises RefusedError."""
    for number, home in homes.items():
        if home.fleet != fleet:
            raise RefusedError(
                f"nothing has changed: partition {number} of another fleet lives at the new server: use an empty database"
            )
