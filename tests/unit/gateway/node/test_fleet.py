"""What a gateway asks of all of them."""

from __future__ import annotations

import asyncio

import pytest

from services.gateway.node.fleet import Fleet
from services.gateway.node.registry import Registry
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.control import EndFormer, MoveClients, ProbeUser, decode


class Bus:
    """Where control messages go."""

    def __init__(self):
        self.sent = []
        self.down = False

    async def control(self, message):
        if self.down:
            raise OpenlineError(Code.UNAVAILABLE, "the store is away")
        self.sent.append(decode(message))


class Former:
    """A connection of bob's."""

    id, user = "c1", "bob"

    def __init__(self):
        self.ended = False

    def belongs_to(self, user, client):
        return (user, client) == ("bob", "")

    def end_former(self):
        self.ended = True


@pytest.fixture
def bus():
    return Bus()


@pytest.fixture
def registry():
    return Registry()


@pytest.fixture
def fleet(bus, registry):
    return Fleet(bus, registry, spawn=asyncio.run)


def test_a_probe_and_a_move_are_sent_to_all(bus, fleet):
    fleet.order_probe("bob")
    asyncio.run(fleet.order_move("nginx-1", 2))
    assert bus.sent == [ProbeUser(user="bob"), MoveClients(proxy="nginx-1", seconds=2)]


def test_a_former_connection_that_is_here_ends_here_for_whom_it_belongs_to(bus, fleet, registry):
    former = Former()
    registry.add(former)
    fleet.end_former("c1", user="eve", client="")
    assert not former.ended
    fleet.end_former("c1", user="bob", client="")
    assert (former.ended, bus.sent) == (True, [])


def test_one_that_is_elsewhere_is_told_of_and_nobodys_is_not(bus, fleet):
    fleet.end_former("c9", user=None, client="")
    assert bus.sent == []
    fleet.end_former("c9", user=None, client="digest")
    assert bus.sent == [EndFormer(connection="c9", user=None, client="digest")]


def test_without_a_store_a_move_is_refused_and_the_rest_is_left(bus, fleet):
    bus.down = True
    fleet.order_probe("bob")
    fleet.end_former("c9", user="bob", client="")
    with pytest.raises(OpenlineError, match="away"):
        asyncio.run(fleet.order_move("nginx-1", 2))
