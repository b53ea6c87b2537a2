"""From costs to a fleet: how many gateways, what Redis and nginx have to do, and what to write into the manifests."""

from __future__ import annotations

import math
from typing import NamedTuple

from loadtest.capacity.figures import SHARE, Figures

FILES = 65_536
"""Open files of a gateway and of nginx, as compose and the manifests set them."""

_RESERVED = 536
"""Of these for themselves: Redis, logs, listeners, HTTP."""

_SPARE = 0.1
"""Gateways more than are needed: what is down in a deploy or has died must fit on the others."""

_POD_MB = 1000.0
"""Memory that a gateway is planned to use at the most."""

_MEMORY_LIMIT = 1.5
"""Limit over what is used: write buffers of slow readers, bursts of handshakes."""

_ENTRY_BYTES = 400
"""Of a message on its way out of Redis: a small one with its envelope."""


class Wish(NamedTuple):
    """The size that is wished for: so many `connections`, each getting `each` messages a second on average, of which one
    reaches an `audience` of so many. `servers` of Redis, 0 for as many as it takes, with so many `partitions` on each.
    """

    connections: int
    each: float
    audience: float
    servers: int = 0
    partitions: int = 1

    @property
    def deliveries(self) -> float:
        """A second."""
        return self.connections * self.each

    @property
    def messages(self) -> float:
        """A second."""
        return self.deliveries / self.audience


class Line(NamedTuple):
    """One line of the arithmetic."""

    what: str
    sum: str
    result: str


class Plan(NamedTuple):
    """What the wished-for size takes. `holds` is what limits a gateway; `warnings` what does not fit. `servers` of Redis, 0 when
    no number would do, each of which uses `redis_core`; `partitions` is of all of them.
    """

    holds: str
    per_gateway: int
    gateways: int
    gateway_mb: float
    publishers: int
    nginx_workers: int
    nginx_pods: int
    servers: int
    redis_core: float
    lines: tuple[Line, ...] = ()
    warnings: tuple[str, ...] = ()
    partitions: int = 1

    @property
    def memory_limit_mb(self) -> int:
        """Of a gateway's pod."""
        return math.ceil(_MEMORY_LIMIT * self.gateway_mb / 64) * 64


def plan(figures: Figures, wish: Wish) -> Plan:
    """The plan; every figure in it is one of `figures`, of `wish`, or a constant above."""
    limits = _limits(figures, wish)
    holds = min(limits, key=lambda name: limits[name])
    each = max(1, math.floor(limits[holds]))
    needed = math.ceil(wish.connections / each)
    gateways = needed + max(1, math.ceil(_SPARE * needed))
    servers = wish.servers or _servers(figures, wish, gateways)
    found = Plan(
        holds=holds,
        per_gateway=each,
        gateways=gateways,
        gateway_mb=figures.gateway_mb + each * figures.connection_kb / 1000,
        publishers=max(2, _cores(wish.messages, figures.publish_us)),
        nginx_workers=_cores(wish.deliveries, figures.nginx_us),
        nginx_pods=max(2, math.ceil(2 * wish.connections / (FILES - _RESERVED))),
        servers=servers,
        redis_core=_redis_core(figures, wish, gateways, servers=servers),
        partitions=max(1, servers) * wish.partitions,
    )
    return found._replace(
        lines=(
            *_load_lines(wish),
            *_limit_lines(figures, wish, limits),
            *_gateway_lines(figures, wish, found, needed),
            *_redis_lines(figures, wish, found),
            *_front_lines(figures, wish, found),
        ),
        warnings=tuple(_warnings(figures, wish, found)),
    )


def _limits(figures: Figures, wish: Wish) -> dict[str, float]:
    """Connections that a gateway may have by each of what limits it."""
    left = SHARE * 1e6 - wish.messages * figures.entry_us
    return {
        "CPU": left / (wish.each * figures.delivery_us),
        "memory": (_POD_MB - figures.gateway_mb) * 1000 / figures.connection_kb,
        "files": FILES - _RESERVED,
        "what was measured": figures.connections,
    }


def _cores(often: float, microseconds: float) -> int:
    """Cores for something that happens so `often` a second, each used as far as planned."""
    return max(1, math.ceil(often * microseconds / 1e6 / SHARE))


def _reads(figures: Figures, wish: Wish, gateways: int) -> float:
    """Cores that reading takes of each server: every gateway reads each of its partitions."""
    return wish.partitions * gateways * figures.reader_core


def _servers(figures: Figures, wish: Wish, gateways: int) -> int:
    """Each server has a part of the messages, and all gateways as readers."""
    left = SHARE - _reads(figures, wish, gateways)
    return max(1, math.ceil(wish.messages * figures.redis_us / 1e6 / left)) if left > 0 else 0


def _redis_core(figures: Figures, wish: Wish, gateways: int, *, servers: int) -> float:
    """Of each server."""
    messages = wish.messages / max(1, servers)
    return messages * figures.redis_us / 1e6 + _reads(figures, wish, gateways)


def _load_lines(wish: Wish) -> list[Line]:
    each = f"{wish.connections:,} x {wish.each:g}/s"
    return [
        Line("deliveries", each, f"{wish.deliveries:,.0f}/s"),
        Line(
            "messages",
            f"{wish.deliveries:,.0f}/s / {wish.audience:g} readers",
            f"{wish.messages:,.0f}/s",
        ),
    ]


def _limit_lines(figures: Figures, wish: Wish, limits: dict[str, float]) -> list[Line]:
    bus = wish.messages * figures.entry_us / 1e6
    sums = {
        "CPU": f"({SHARE:g} s - {bus:.3f} s for the bus) / ({wish.each:g}/s x {figures.delivery_us:.1f} us)",
        "memory": f"({_POD_MB:g} MB - {figures.gateway_mb:.0f} MB) / {figures.connection_kb:.1f} KB",
        "files": f"{FILES:,} - {_RESERVED}",
        "what was measured": (
            "as many as --most asked for, all held"
            if figures.capped
            else "the most that one gateway held here"
        ),
    }
    return [
        Line(f"connections a gateway by {name}", sums[name], f"{max(0.0, limit):,.0f}")
        for name, limit in limits.items()
    ]


def _gateway_lines(figures: Figures, wish: Wish, found: Plan, needed: int) -> list[Line]:
    each = found.per_gateway
    return [
        Line("connections a gateway", f"the least of these: {found.holds}", f"{each:,}"),
        Line(
            "gateways",
            f"{wish.connections:,} / {each:,} = {needed}, and a tenth to spare",
            f"{found.gateways}",
        ),
        Line(
            "memory of a gateway",
            f"{figures.gateway_mb:.0f} MB + {each:,} x {figures.connection_kb:.1f} KB",
            f"{found.gateway_mb:,.0f} MB",
        ),
        Line(
            "everybody returns at once",
            f"{each:,} x {figures.handshake_us:.0f} us of each gateway's core",
            f"{each * figures.handshake_us / 1e6:,.0f} s at the least",
        ),
    ]


def _redis_lines(figures: Figures, wish: Wish, found: Plan) -> list[Line]:
    messages, gateways, servers = wish.messages, found.gateways, max(1, found.servers)
    reads = f"{wish.partitions} x {gateways} gateways x {figures.reader_core:.4f}"
    return [
        Line(
            "Redis servers",
            f"as --servers says: {wish.servers}"
            if wish.servers
            else f"{messages:,.0f}/s x {figures.redis_us:.0f} us / ({SHARE:g} - {reads})",
            f"{found.servers or 'none would do'}",
        ),
        Line(
            "each of them",
            f"{messages:,.0f}/s / {servers} x {figures.redis_us:.0f} us + {reads}",
            f"{found.redis_core:.2f} of a core",
        ),
        Line("partitions", f"{servers} x {wish.partitions} on each", f"{found.partitions}"),
        Line(
            "memory of each for counts and presence",
            f"{wish.connections:,} x {figures.redis_kb:.2f} KB / {servers}",
            f"{wish.connections * figures.redis_kb / 1000 / servers:,.0f} MB, and its histories",
        ),
        Line(
            "out of each",
            f"{messages:,.0f}/s / {servers} x {gateways} gateways x some {_ENTRY_BYTES} bytes",
            f"{messages / servers * gateways * _ENTRY_BYTES / 1e6:,.0f} MB/s",
        ),
    ]


def _front_lines(figures: Figures, wish: Wish, found: Plan) -> list[Line]:
    return [
        Line(
            "publishers",
            f"{wish.messages:,.0f}/s x {figures.publish_us:.0f} us / {SHARE:g}, two at the least",
            f"{found.publishers}",
        ),
        Line(
            "nginx workers, a core each",
            f"{wish.deliveries:,.0f}/s x {figures.nginx_us:.1f} us / {SHARE:g}",
            f"{found.nginx_workers}",
        ),
        Line(
            "nginx instances",
            f"2 x {wish.connections:,} / ({FILES:,} - {_RESERVED} files), two at the least",
            f"{found.nginx_pods}",
        ),
        Line(
            "memory of nginx",
            f"{wish.connections:,} x {figures.nginx_kb:.1f} KB",
            f"{wish.connections * figures.nginx_kb / 1000:,.0f} MB in all",
        ),
    ]


def _warnings(figures: Figures, wish: Wish, found: Plan) -> list[str]:
    return [*_cap_warnings(figures, found), *_redis_warnings(figures, wish, found)]


def _cap_warnings(figures: Figures, found: Plan) -> list[str]:
    if not figures.capped or found.holds != "what was measured":
        return []
    return [
        (
            f"**Your cap**: a gateway is planned with {figures.connections:,} connections because --most asked for no more, and one held "
            "them all. Give --most more to see where it breaks: a plan that knows needs fewer gateways."
        )
    ]


def _redis_warnings(figures: Figures, wish: Wish, found: Plan) -> list[str]:
    """What the servers do not carry; and that a channel is on one of them, where there are several."""
    if found.redis_core > SHARE or not found.servers:
        reads = _reads(figures, wish, found.gateways)
        return [
            (
                f"**Does not fit**: each of {max(1, found.servers)} Redis servers would use {found.redis_core:.2f} of its one core, "
                f"{reads:.2f} of it for {found.gateways} gateways that read its bus. More servers share the messages, but not the "
                "reading: fewer and larger gateways, and fewer partitions on each server, read less; products that share no "
                "channel can have fleets of their own."
            )
        ]
    if found.servers > 1:
        return [
            (
                "A channel is on one server: this counts on messages that are spread over many channels. Set `OPENLINE_PARTITIONS` "
                f"to {found.partitions} when you begin, and name the servers in `OPENLINE_REDIS_SERVERS_FILE`, or take a Cluster."
            )
        ]
    return []
