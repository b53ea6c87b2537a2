"""What waits to be written, in pieces and in order."""

from __future__ import annotations

from services.gateway.fanout.backlog import PIECE, Backlog
from services.gateway.fanout.wire_format import JSON
from services.kernel.domain.publications import Publication


def missed(*sizes):
    return [
        Publication(epoch="e", offset=n, data=b'"%b"' % (b"x" * size), meta=b'"ts":1')
        for n, size in enumerate(sizes, 1)
    ]


def test_it_comes_in_order_and_ends():
    backlog = Backlog()
    publications = missed(1, 2)
    backlog.add(b"first")
    backlog.replay("room:a", publications)
    backlog.add(b"last")
    frames = [JSON.message("room:a", publication) for publication in publications]
    assert backlog.take(JSON) == b"".join([b"first", *frames, b"last"])
    assert (backlog.take(JSON), backlog.size) == (b"", 0)


def test_a_piece_is_as_large_as_what_a_connection_buffers():
    backlog = Backlog()
    backlog.replay("room:a", missed(*[PIECE // 4] * 10))
    sizes = []
    while piece := backlog.take(JSON):
        sizes.append(len(piece))
    assert len(sizes) == 3
    assert all(PIECE <= size < 1.3 * PIECE for size in sizes[:2])


def test_it_counts_what_waits():
    backlog = Backlog()
    backlog.replay("room:a", missed(PIECE, 98))
    backlog.add(b"x" * 50)
    assert backlog.size == PIECE + 2 + 100 + 50
    backlog.take(JSON)
    assert backlog.size == 150


def test_large_frames_are_not_kept():
    small, large = missed(10, 10_000)
    backlog = Backlog()
    backlog.replay("room:a", [small, large])
    backlog.take(JSON)
    assert (JSON.name in small.frames, JSON.name in large.frames) == (True, False)
