"""What a fault is: an act against the system, and what it may cost."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import ClassVar

from loadtest.chaos.schedule import Fault
from loadtest.chaos.stores import KINDS
from loadtest.chaos.system import Front, System

LONG = (0.1, 20.0)
SLOW = (2.0, 8.0)
"""From how many seconds to how many a fault lasts."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a fault may cost. `loses`: acknowledged messages of so many seconds before it, and of a few after it, of which
    everybody is told. `resets`: whether clients may be told of a loss. `heals`: seconds after its end until which publishes
    may be refused. `empties`: whether the store loses all that it held. `keeps`: whether no client may be told of a loss on
    its account.
    """

    loses: float = 0.0
    resets: bool = False
    heals: float = 10.0
    empties: bool = False
    keeps: bool = False


class FailedError(Exception):
    """It did not happen as it should have: what was to be seen of it is not known."""


class Act:
    """One kind of fault. `begin` returns when it has begun, `end` when all that was spoilt has been put right; what was
    killed is started again by its supervisor. `stores`: with which kinds of store it can be had; `host`: whether it needs
    the machine on which the system runs.
    """

    name: ClassVar[str]
    cost: ClassVar[Cost] = Cost()
    lasts: ClassVar[tuple[float, float]] = (0.0, 0.0)
    hits: ClassVar[str] = ""
    stores: ClassVar[frozenset[str]] = frozenset(KINDS)
    host: ClassVar[bool] = True

    def __init__(self, front: Front, fault: Fault) -> None:
        self.front = front
        self.fault = fault
        self.over = 0
        """When it could do no more harm, in milliseconds since 1970; 0: that is when it ends."""

    @property
    def system(self) -> System:
        """What runs here. A fault that needs it does not happen to what runs elsewhere."""
        assert isinstance(self.front, System)
        return self.front

    async def begin(self) -> None:
        """Let it happen. Raises FailedError, TimeoutError."""
        raise NotImplementedError

    async def end(self) -> None:
        """Put it right."""


def now() -> int:
    """In milliseconds since 1970."""
    return int(time.time() * 1000)
