"""Client addresses and networks."""

from __future__ import annotations

import ipaddress

import pytest

from services.kernel.http import addresses

NETWORKS = tuple(ipaddress.ip_network(n) for n in ("10.0.0.0/8", "::1/128"))


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("::1", True),
        ("11.0.0.1", False),
        ("::2", False),
        ("", False),
        ("testclient", False),
    ],
)
def test_networks(address, inside):
    assert addresses.in_networks(address, NETWORKS) is inside


def test_the_client_of_a_scope():
    assert addresses.client({"client": ("192.0.2.1", 5)}) == "192.0.2.1"
    assert addresses.client({"client": None}) == ""
    assert addresses.client({}) == ""


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("", ""),
    ],
)
def test_a_network_of_ipv6_counts_as_one_address(address, counted):
    assert addresses.network(address) == counted
