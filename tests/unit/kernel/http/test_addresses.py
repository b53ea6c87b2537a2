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
