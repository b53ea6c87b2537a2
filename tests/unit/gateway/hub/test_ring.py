"""The ring of newest publications: what it holds, and that it is bounded."""

from __future__ import annotations

from services.gateway.hub.ring import Ring
from tests.support.recording_audience import publication


def filled(first: int, last: int, *, count: int = 8, limit: int = 10_000) -> Ring:
    ring = Ring(count, limit)
    for offset in range(first, last + 1):
        ring.append(publication(offset, data=b"12345"))
    return ring


def offsets(publications):
    return [publication.offset for publication in publications]


def test_an_empty_ring_begins_at_the_channels_position():
    ring = Ring(8, 100)
    assert (ring.base(7), ring.after(0), ring.newest(3), len(ring)) == (7, [], [], 0)


def test_after_gives_what_is_above_an_offset():
    ring = filled(5, 9)
    assert ring.base(9) == 4
    assert offsets(ring.after(4)) == [5, 6, 7, 8, 9]
    assert offsets(ring.after(7)) == [8, 9]
    assert offsets(ring.after(0)) == [5, 6, 7, 8, 9]
    assert ring.after(9) == []


def test_newest_gives_as_many_as_there_are():
    ring = filled(5, 9)
    assert offsets(ring.newest(2)) == [8, 9]
    assert offsets(ring.newest(20)) == [5, 6, 7, 8, 9]
    assert ring.newest(0) == []


def test_the_number_is_bounded_and_the_newest_stay():
    ring = filled(1, 100, count=8)
    assert len(ring) <= 8
    assert offsets(ring.newest(1)) == [100]
    assert offsets(ring.after(0)) == list(range(101 - len(ring), 101))


def test_the_bytes_are_bounded():
    assert offsets(filled(1, 10, limit=20).after(0)) == [7, 8, 9, 10]


def test_a_publication_larger_than_the_ring_leaves_it_empty():
    ring = filled(1, 3, limit=20)
    ring.append(publication(4, data=b"x" * 50))
    assert (len(ring), ring.base(4)) == (0, 4)


def test_older_ones_are_kept_as_far_as_there_is_room():
    ring = filled(8, 10, count=5)
    ring.prepend([publication(offset) for offset in range(1, 8)])
    assert offsets(ring.after(0)) == [6, 7, 8, 9, 10]


def test_a_cleared_ring_counts_bytes_from_zero():
    ring = filled(1, 4, limit=20)
    ring.clear()
    for offset in range(11, 15):
        ring.append(publication(offset, data=b"12345"))
    assert offsets(ring.after(0)) == [11, 12, 13, 14]


def test_older_ones_count_as_bytes_too():
    ring = filled(5, 8, limit=30)
    ring.prepend([publication(offset, data=b"12345") for offset in (2, 3, 4)])
    assert offsets(ring.after(0)) == [3, 4, 5, 6, 7, 8]
