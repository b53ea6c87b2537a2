"""How far the readers of a channel have come together."""

from __future__ import annotations

import pytest

from openline.feed import Feed, Reader
from openline.types import Position

pytestmark = pytest.mark.clients


class Inbox:
    def put(self, position, event):
        pass

    def stand(self):
        pass

    def when_taken(self, work):
        work()

    def fail(self, error):
        pass


def read_to(*positions, epoch="e"):
    """A channel in its epoch, whose readers have taken so much."""
    readers = [Reader(Inbox()) for _ in positions]
    feed = Feed("room:a", readers[0])
    feed.readers = readers
    feed.place.start({"epoch": epoch, "offset": 100})
    for reader, position in zip(readers, positions, strict=True):
        reader.taken = position
    return feed


def test_one_reader_alone_says_where_it_is():
    assert read_to(Position("e", 3)).taken(Position("e", 9)) == Position("e", 3)
    assert read_to(None).taken(Position("e", 9)) is None


def test_of_several_the_one_behind_counts():
    feed = read_to(Position("e", 30), Position("e", 20), None)
    assert feed.taken(None) == Position("e", 20)
    assert feed.taken(Position("e", 10)) == Position("e", 20)


def test_whoever_comes_in_behind_takes_nothing_back():
    assert read_to(Position("e", 30), Position("e", 2)).taken(Position("e", 29)) == Position(
        "e", 29
    )


def test_another_epoch_is_behind_the_one_that_stands():
    feed = read_to(Position("e", 2), Position("d", 30))
    assert feed.taken(None) == Position("d", 30)
    assert feed.taken(Position("e", 1)) == Position("e", 1)


def test_readers_that_took_nothing_move_nothing():
    assert read_to(None, None).taken(Position("e", 4)) == Position("e", 4)
    assert read_to(None, None).taken(None) is None
