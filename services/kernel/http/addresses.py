"""Whose address a request comes from, and whether a network contains it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def client(scope: Any) -> str:
    """The client's address of an ASGI scope, after trusted proxies were taken into account; empty when unknown."""
    address = scope.get("client")
    return str(address[0]) if address else ""


@lru_cache(maxsize=4096)
def network(address: str) -> str:
    """Whom an address is counted as: itself, or of IPv6 its /64.

    A household owns a whole /64: counted singly, its addresses would never run out.
    """
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address):
        return str(ip.ipv4_mapped or ipaddress.ip_network((ip, 64), strict=False))
    return address


def in_networks(address: str, networks: Iterable[Network]) -> bool:
    """Whether an address lies in one of the networks; an invalid address lies in none."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None)
    return any((mapped or ip) in network for network in networks)
