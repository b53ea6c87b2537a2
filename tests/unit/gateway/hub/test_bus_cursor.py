"""The reader's position: when it is taken, kept, and given up."""

from __future__ import annotations

from services.gateway.hub.bus_cursor import BusCursor, Phase, Verdict
from services.kernel.broker.port import Beaten


def beaten(history: str, bus: int) -> Beaten:
    return Beaten(history=history, bus=bus)


def following(history: str = "H", bus: int = 10) -> BusCursor:
    reader = BusCursor()
    reader.beaten(beaten(history, bus), 0)
    return reader


def test_there_is_nothing_to_read_before_the_first_beat():
    assert not BusCursor().following


def test_the_first_beat_names_the_position():
    reader = BusCursor()
    assert reader.beaten(beaten("H", 10), 0) is Verdict.TAKEN
    assert (reader.position, reader.history, reader.following) == (10, "H", True)


def test_a_beat_of_the_same_history_that_reaches_as_far_changes_nothing():
    reader = following()
    generation = reader.generation
    assert reader.beaten(beaten("H", 10), 10) is Verdict.NOTHING
    assert (reader.position, reader.generation) == (10, generation)


def test_a_beat_of_another_history_makes_it_reconnect():
    reader = following()
    generation = reader.generation
    assert reader.beaten(beaten("I", 50), 10) is Verdict.RECONNECT
    assert reader.generation > generation
    assert not reader.following


def test_a_bus_that_ends_below_what_was_read_makes_it_reconnect():
    assert following().beaten(beaten("H", 9), 10) is Verdict.RECONNECT


def test_beats_are_ignored_until_the_connections_are_new():
    reader = following()
    reader.beaten(beaten("I", 50), 10)
    assert reader.beaten(beaten("I", 51), 10) is Verdict.NOTHING
    assert not reader.following


def test_after_reconnecting_the_next_beat_names_a_new_position():
    reader = following()
    reader.beaten(beaten("I", 5), 10)
    reader.reconnected()
    generation = reader.generation
    assert reader.beaten(beaten("I", 6), 10) is Verdict.RETAKEN
    assert (reader.position, reader.history) == (6, "I")
    assert reader.generation > generation


def test_a_master_that_changed_again_meanwhile_makes_it_reconnect_again():
    """The new connections may lead to the one in between."""
    reader = following()
    reader.beaten(beaten("I", 5), 10)
    reader.reconnected()
    assert reader.beaten(beaten("J", 7), 10) is Verdict.RECONNECT
    reader.reconnected()
    assert reader.beaten(beaten("J", 8), 10) is Verdict.RETAKEN


def test_given_up_without_having_seen_another_history_any_will_do():
    reader = following()
    assert reader.lose() is Verdict.RECONNECT
    reader.reconnected()
    assert reader.beaten(beaten("H", 12), 10) is Verdict.RETAKEN


def test_reconnected_means_nothing_to_a_reader_that_did_not_ask():
    reader = following()
    reader.reconnected()
    assert reader.phase is Phase.FOLLOWING
