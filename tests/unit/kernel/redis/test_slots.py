"""Which node serves which slot, as nodes of a cluster say it, and whom to believe when they differ."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot
from redis.exceptions import NoPermissionError, ResponseError

from services.kernel.domain.configuration import ConfigurationError
from services.kernel.redis import keys, slots
from services.kernel.redis.slots import View, choose, read
from services.kernel.redis.store_url import Address

ASKED = Address("10.0.0.9", 7000)
A, B, C = (Address(f"10.0.0.{n}", 6379) for n in range(3))


def node(host, port=6379):
    return [host, port, b"id", []]


def test_ranges_and_replicas_are_read():
    view = read(
        [[0, 99, node(b"10.0.0.1"), node(b"10.0.0.2")], [100, 16383, node(b"10.0.0.2", 7)]],
        asked=ASKED,
    )
    assert [view.master(slot) for slot in (0, 99, 100, 16383)] == [
        *[Address("10.0.0.1", 6379)] * 2,
        *[Address("10.0.0.2", 7)] * 2,
    ]
    assert Address("10.0.0.2", 6379) in view.nodes


@pytest.mark.parametrize("host", [None, b"", b"?"])
def test_a_node_that_leaves_its_host_out_is_where_it_was_asked(host):
    assert read([[0, 5, node(host, 6380)]], asked=ASKED).master(3) == Address("10.0.0.9", 6380)


def test_a_slot_that_nobody_serves_has_no_master():
    assert read([], asked=ASKED).master(0) is None
    assert read([[1, 2, node(b"h")]], asked=ASKED).master(0) is None


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (ResponseError("This instance has cluster support disabled"), "no node of a cluster"),
        (ResponseError("unknown command 'CLUSTER'"), "no node of a cluster"),
        (NoPermissionError("no permission"), r"\+cluster\|slots"),
    ],
)
def test_what_can_never_work_names_the_fix(reply, said):
    with pytest.raises(ConfigurationError, match=said):
        read(reply, asked=ASKED)


def test_another_failure_is_told_as_it_is():
    with pytest.raises(ResponseError, match="odd"):
        read(ResponseError("odd"), asked=ASKED)


@given(st.lists(st.integers(0, 16384), unique=True, min_size=1, max_size=8), st.integers(0, 16383))
def test_a_slot_belongs_to_the_range_around_it(cuts, slot):
    bounds = sorted({0, 16384, *cuts})
    reply = [
        [first, end - 1, node(f"h{first}".encode())] for first, end in itertools.pairwise(bounds)
    ]
    start = max(bound for bound in bounds if bound <= slot)
    assert read(reply, asked=ASKED).master(slot) == Address(f"h{start}", 6379)


def says(*masters):
    """The views of nodes that each name one master of slot 5, or none."""
    return [View(() if master is None else ((5, 5, master),), frozenset()) for master in masters]


@pytest.mark.parametrize(
    ("known", "views", "chosen"),
    [
        (None, says(A), A),
        (A, says(B, B, A), B),
        (A, says(A, B), A),
        (C, says(A, A, B), A),
        (A, says(None, None, A), A),
        (A, says(None, None), None),
        (None, says(None, B), B),
    ],
)
def test_most_nodes_are_believed_and_what_is_known_where_none_are_most(known, views, chosen):
    assert choose({5: known}, views) == {5: chosen}


@given(st.integers(0, 63), st.text(max_size=8))
def test_all_keys_of_a_partition_lie_in_its_slot(partition, name):
    """Braces in names of channels and users come behind the partition's own."""
    spelled = keys.Keys(partition)
    slot = slots.of_partition(partition)
    plain = [value for value in vars(spelled).values() if isinstance(value, str)]
    made = [
        make(name)
        for make in (
            spelled.head,
            spelled.log,
            spelled.listeners,
            spelled.members,
            spelled.order,
            spelled.users,
            spelled.lingering,
            spelled.held,
            spelled.heard,
            spelled.ticket,
            spelled.bucket,
        )
    ]
    every = [*plain, *made, spelled.seen(name, name), f"{spelled.bus}:marks"]
    assert {key_slot(key.encode()) for key in every} == {slot}
    assert key_slot(keys.layout().encode()) == slots.of_partition(0)
