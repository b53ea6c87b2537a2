"""Keys: one spelling, one slot a partition."""

from __future__ import annotations

import inspect

import pytest

from services.kernel.redis import keys


def spelled(partition: int) -> list[str]:
    """Every key that a partition can have."""
    of = keys.Keys(partition)
    fixed = [value for name, value in vars(of).items() if not name.startswith("_")]
    made = []
    for name, method in inspect.getmembers(of, inspect.ismethod):
        if not name.startswith("_"):
            made.append(method(*["x"] * len(inspect.signature(method).parameters)))
    return [*fixed, *made]


def test_all_keys_of_a_partition_share_its_tag():
    for partition in (0, 3):
        assert all(key.startswith(f"ol:{{p{partition}}}:") for key in spelled(partition))


def test_no_two_keys_are_the_same():
    every = spelled(0) + spelled(1)
    assert len(set(every)) == len(every)


def test_a_channel_and_a_key_cannot_be_taken_for_others():
    of = keys.Keys(0)
    assert of.seen("room:a", "b c") != of.seen("room:a b", "c")[:-1]
    assert of.seen("room:a", "x y") != of.seen("room:a x", "z")


@pytest.mark.parametrize(("name", "partition"), [("room:lobby", 1), ("user:bob", 2), ("room:é", 2)])
def test_a_channel_stays_in_its_partition(name, partition):
    """These may never change: data would be looked for where it is not."""
    assert keys.partition(name, 4) == partition
    assert keys.partition(name, 1) == 0


def test_partitions_are_used_evenly():
    counts = [0] * 8
    for n in range(8000):
        counts[keys.partition(f"room:{n}", 8)] += 1
    assert min(counts) > 800
