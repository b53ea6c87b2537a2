"""All kinds of faults, and which can happen to a system."""

from __future__ import annotations

from loadtest.chaos import (
    client_faults,
    network_faults,
    planned_faults,
    service_faults,
    store_faults,
)
from loadtest.chaos.acts import Act
from loadtest.chaos.schedule import Fault, Kind
from loadtest.chaos.system import Front

ACTS = {
    act.name: act
    for act in (
        *service_faults.ACTS,
        *store_faults.ACTS,
        *planned_faults.ACTS,
        *network_faults.ACTS,
        *client_faults.ACTS,
    )
}


def kinds(store: str | None, *, gateways: int, only: frozenset[str] = frozenset()) -> list[Kind]:
    """What can happen to a system with a kind of store, or to one that runs elsewhere (None)."""
    found = []
    for act in ACTS.values():
        possible = not act.host if store is None else store in act.stores
        if possible and (not only or act.name in only):
            targets = tuple(f"gateway-{n}" for n in range(1, gateways + 1)) if act.hits else ()
            found.append(Kind(act.name, targets, act.lasts))
    return found


def made(front: Front, fault: Fault) -> Act:
    """What is to be done to a system for a fault of the schedule."""
    return ACTS[fault.kind](front, fault)
