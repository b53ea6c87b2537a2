"""Whose address a request comes from, and whether a network contains it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def client(scope: Any) -> str:
    """The client's address of an ASGI scope, after trusted proxies were taken into account; empty when unknown."""
    address = scope.get("client")
    return str(address[0]) if address else ""


def in_networks(address: str, networks: Iterable[Network]) -> bool:
    """Whether an address lies in one of the networks; an invalid address lies in none."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None)
    return any((mapped or ip) in network for network in networks)
