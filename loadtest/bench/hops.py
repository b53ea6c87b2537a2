"""What each part of a system adds to the time between a publish call and its first reader."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

from loadtest.bench.payload import MARK
from loadtest.bench.wire import Packet


class Ports(NamedTuple):
    """Where a system listens: for POSTs, as Redis, and for WebSockets."""

    publisher: int
    redis: int
    gateways: frozenset[int]


class Hops(NamedTuple):
    """Microseconds that one message took from the publish call to its POST, from there to the command to Redis, to Redis' first
    reply that has it, and to the first frame that has it.
    """

    call: float
    publisher: float
    redis: float
    gateway: float


def hops(packets: Iterable[Packet], ports: Ports) -> list[Hops]:
    """Those of each message that was seen at every place."""
    seen: dict[int, dict[str, float]] = {}
    for packet in packets:
        place = _place(packet, ports)
        if place:
            for _, sent in MARK.findall(packet.data):
                seen.setdefault(int(sent), {}).setdefault(place, packet.at)
    found = []
    for sent, at in seen.items():
        if len(at) == len(Hops._fields):
            times = (sent, at["post"], at["command"], at["reply"], at["frame"])
            found.append(Hops(*(after - before for before, after in pairwise(times))))
    return found


def _place(packet: Packet, ports: Ports) -> str | None:
    if packet.destination == ports.publisher:
        return "post"
    if packet.destination == ports.redis:
        return "command"
    if packet.source == ports.redis:
        return "reply"
    return "frame" if packet.source in ports.gateways else None
