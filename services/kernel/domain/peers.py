"""What gateways tell of themselves with their heartbeats, as others read it; and how long their clients take to move."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

HANDSHAKE_SECONDS = 0.0013
"""Of a gateway's core for a client that comes back: a token that is new to it, presence in its channels."""

SHARE = 0.3
"""Of a core that a gateway spends on clients that are being moved to it: the rest is for those that it has."""

LEAST_SECONDS = 5.0
"""In which clients are to choose their moment, however few they are."""


class Peer(msgspec.Struct, frozen=True):
    """A gateway; one process uses one core. `accepted`: connections since it began. Older versions do not tell all."""

    node: str = ""
    connections: int = 0
    accepted: int = 0
    lag: float = 0.0
    draining: bool = False
    uptime: float = 0.0


_DECODER = msgspec.json.Decoder(Peer)


def peers(nodes: Iterable[bytes]) -> list[Peer]:
    """The living gateways, from what the store has of each."""
    return [_DECODER.decode(node) for node in nodes]


def takers(found: Iterable[Peer], node: str) -> int:
    """How many gateways other than `node` take clients."""
    return sum(peer.node != node and not peer.draining for peer in found)


def moving_seconds(connections: int, others: int) -> float:
    """Within how many seconds clients are to reconnect so that so many other gateways take them at their ease."""
    return max(LEAST_SECONDS, connections * HANDSHAKE_SECONDS / (SHARE * max(1, others)))
