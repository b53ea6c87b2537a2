"""Python's cycle collector at the pace of a process that holds ten thousand connections or answers as many requests."""

from __future__ import annotations

import gc

YOUNG = 10_000
"""Containers made and not freed, between two looks at the young ones. A connection makes some twenty: by Python's own
700 every thirty-five handshakes, or one batch of messages, would be searched for garbage of which there is next to none,
since what connections, sessions, hubs and requests leave behind is freed by counting references. A look at so many takes a
millisecond."""

MIDDLE = 10
OLD = 10


def settle() -> None:
    """Once everything is loaded: what is there stays, so no look ever walks through it again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
