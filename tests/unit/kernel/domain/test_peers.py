"""What gateways tell of themselves, and how long their clients take to move."""

from __future__ import annotations

import pytest

from services.kernel.domain.peers import Peer, moving_seconds, peers, takers


def test_a_gateway_is_read_whatever_its_version_tells():
    told = (
        b'{"node":"a","connections":3,"accepted":8,"lag":0.1,"draining":true,"uptime":9,"new":[1]}'
    )
    assert peers([told, b'{"node":"b"}']) == [
        Peer(node="a", connections=3, accepted=8, lag=0.1, draining=True, uptime=9),
        Peer(node="b"),
    ]


def test_who_takes_the_clients_of_a_gateway_is_another_that_does_not_drain():
    fleet = [Peer(node="a"), Peer(node="b"), Peer(node="c", draining=True)]
    assert [takers(fleet, node) for node in "abc"] == [1, 1, 2]


@pytest.mark.parametrize(
    ("connections", "others", "seconds"),
    [(0, 1, 5), (1000, 1, 5), (30_000, 1, 130), (30_000, 4, 32.5), (30_000, 0, 130)],
)
def test_clients_have_as_long_to_move_as_the_others_need_to_take_them(connections, others, seconds):
    assert moving_seconds(connections, others) == pytest.approx(seconds)
