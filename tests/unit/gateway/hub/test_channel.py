"""One channel: how entries and looks' replies move its position, its listeners and its waiters."""

from __future__ import annotations

import pytest

from services.gateway.hub.channel import Channel
from services.gateway.hub.port import HubLimits
from services.gateway.hub.replay_budget import ReplayBudget
from services.gateway.hub.waiter import Waiter
from services.kernel.broker.port import Entry, EntryType, Looked
from services.kernel.domain.positions import Position
from tests.support.recording_audience import RecordingAudience, looked, message, publication

LIMITS = HubLimits(ring_count=4, buffer_count=2, buffer_bytes=100, positions=2)


class Bench:
    """A channel, what its audience was told, and looks answered at once."""

    def __init__(self) -> None:
        self.audience = RecordingAudience()
        self.channel = Channel("room:a", self.audience, LIMITS, budget=ReplayBudget(1 << 62))
        self.calls = 0

    def told(self):
        return self.audience.take()

    def wait(self, name, since=None, last=0):
        waiter = Waiter(name, since=since, last=last, deadline=5.0)
        self.channel.waiters[name] = waiter
        return waiter

    def look(self):
        self.calls += 1
        return self.channel.look(self.calls)

    def answer(self, reply):
        return self.channel.merge_look(reply, self.look())

    def join(self, name="x", since=None, last=0):
        waiter = Waiter(name, since=since, last=last, deadline=5.0)
        return self.channel.join(waiter)


def listening(offset: int = 5) -> Bench:
    """A live channel with one listener."""
    bench = Bench()
    bench.wait("one")
    bench.answer(looked(offset, bus=10))
    assert bench.told() == [("add", "one", "E", offset, None, [])]
    return bench


def nudge(ident: int, offset: int, epoch: str) -> Entry:
    return Entry(ident, EntryType.NUDGE, "room:a", publication(offset, epoch))


# Entries


def test_the_next_publication_is_delivered():
    bench = listening()
    bench.channel.accept(message(11, 6))
    assert bench.told() == [("deliver", "E", 6)]
    assert bench.channel.position == ("E", 6)


def test_one_that_was_delivered_already_is_dropped():
    bench = listening()
    bench.channel.accept(message(11, 5))
    assert bench.told() == []
    assert bench.channel.live


def test_a_gap_is_not_delivered_but_looked_into():
    bench = listening()
    bench.channel.accept(message(11, 7))
    assert bench.told() == []
    assert bench.channel.wants_look
    assert bench.look().since == (Position("E", 5),)


@pytest.mark.parametrize("offset", [3, 5, 6, 9])
def test_an_entry_of_another_epoch_starts_a_look_whatever_its_offset(offset):
    bench = listening()
    bench.channel.accept(message(11, offset, epoch="F"))
    assert bench.told() == []
    assert not bench.channel.live


def test_a_nudge_with_another_epoch_starts_a_look():
    bench = listening()
    bench.channel.accept(nudge(11, 5, "F"))
    assert not bench.channel.live


def test_a_nudge_that_says_what_is_known_changes_nothing():
    bench = listening()
    bench.channel.accept(nudge(11, 5, "E"))
    assert bench.channel.live


def test_a_nudge_ahead_of_the_channel_starts_a_look():
    bench = listening()
    bench.channel.accept(nudge(11, 6, "E"))
    assert not bench.channel.live
    assert bench.told() == []


def test_an_entry_of_another_epoch_that_the_last_look_included_is_dropped():
    """Without that, each look that sees a new epoch early would be followed by one more for every old entry."""
    bench = listening()
    bench.channel.doubt()
    bench.answer(looked(2, bus=20, epoch="F"))
    bench.told()
    bench.channel.accept(message(19, 6, epoch="E"))
    assert bench.channel.live
    bench.channel.accept(message(21, 6, epoch="E"))
    assert not bench.channel.live


def test_a_signal_older_than_the_first_listener_is_not_for_it_and_others_hear_all():
    bench = listening()
    bench.channel.signal(Entry(10, EntryType.JOIN, "room:a"))
    assert bench.told() == []
    bench.channel.signal(Entry(11, EntryType.JOIN, "room:a"))
    bench.wait("two", Position("E", 1))
    bench.answer(looked(5, bus=20))
    bench.told()
    bench.channel.signal(Entry(12, EntryType.LEAVE, "room:a"))
    assert bench.told() == [("signal", EntryType.LEAVE)]


# Looks for listeners


def test_what_was_missed_is_delivered_in_order():
    bench = listening()
    bench.channel.doubt()
    assert bench.answer(looked(8, bus=20, start=5))
    assert bench.told() == [("deliver", "E", 6), ("deliver", "E", 7), ("deliver", "E", 8)]
    assert bench.channel.live


def test_nothing_missed_goes_on_live():
    bench = listening()
    bench.channel.doubt()
    assert bench.answer(looked(5, bus=20))
    assert bench.told() == []
    assert bench.channel.live


def test_another_epoch_is_a_reset_told_once():
    bench = listening()
    bench.channel.doubt()
    bench.answer(looked(7, bus=20, epoch="F", began=7))
    assert bench.told() == [("reset", "F", 7, 7, "epoch")]
    bench.channel.accept(message(21, 8, epoch="F"))
    assert bench.told() == [("deliver", "F", 8)]


def test_a_reset_leads_to_where_the_epoch_began_and_what_survived_follows():
    bench = listening()
    bench.channel.doubt()
    look = bench.look()
    assert (look.since, look.resume) == ((Position("E", 5),), True)
    bench.channel.merge_look(looked(7, bus=20, epoch="F", began=4, start=4, end=6), look)
    reset = ("reset", "F", 4, 4, "epoch")
    assert bench.told() == [reset, ("deliver", "F", 5), ("deliver", "F", 6)]
    assert not bench.channel.live
    bench.answer(looked(7, bus=21, epoch="F", began=4, start=6))
    bench.channel.accept(message(22, 8, epoch="F"))
    assert bench.told() == [("deliver", "F", 7), ("deliver", "F", 8)]


def test_a_reset_leads_to_the_oldest_that_the_log_has_of_the_new_epoch():
    bench = listening()
    bench.channel.doubt()
    bench.answer(looked(9, bus=20, epoch="F", began=4, start=7))
    reset = ("reset", "F", 7, 4, "epoch")
    assert bench.told() == [reset, ("deliver", "F", 8), ("deliver", "F", 9)]


def test_a_page_from_below_where_the_epoch_began_delivers_what_is_above():
    bench = listening()
    bench.channel.doubt()
    bench.answer(looked(7, bus=20, epoch="F", began=6, start=3))
    assert bench.told() == [("reset", "F", 6, 6, "epoch"), ("deliver", "F", 7)]


def test_what_the_log_no_longer_has_is_a_reset():
    bench = listening()
    bench.channel.doubt()
    bench.answer(looked(20, bus=30, start=12, end=14))
    assert bench.told() == [("reset", "E", 20, 0, "history")]


def test_a_head_below_the_position_is_a_reset():
    bench = listening()
    bench.channel.doubt()
    bench.answer(looked(3, bus=30))
    assert bench.told() == [("reset", "E", 3, 0, "history")]


def test_a_page_that_does_not_reach_the_head_is_followed_by_another():
    bench = listening()
    bench.channel.doubt()
    assert bench.answer(looked(9, bus=20, start=5, end=7))
    assert not bench.channel.live
    assert bench.look().since == (Position("E", 7),)
    bench.channel.merge_look(looked(9, bus=20, start=7), bench.look())
    assert bench.channel.live
    assert [offset for _, _, offset in bench.told()] == [6, 7, 8, 9]


# The buffer


def test_entries_that_come_during_a_look_are_merged():
    bench = listening()
    bench.channel.doubt()
    look = bench.look()
    bench.channel.accept(message(21, 7))
    bench.channel.accept(message(22, 8))
    assert bench.told() == []
    bench.channel.merge_look(looked(7, bus=20, start=5), look)
    assert bench.told() == [("deliver", "E", 6), ("deliver", "E", 7), ("deliver", "E", 8)]
    assert bench.channel.live


def test_more_entries_than_the_buffer_holds_make_it_look_once_more():
    bench = listening()
    bench.channel.doubt()
    look = bench.look()
    for number in range(3):
        bench.channel.accept(message(21 + number, 6 + number))
    bench.channel.merge_look(looked(5, bus=20), look)
    assert bench.told() == [("deliver", "E", 6), ("deliver", "E", 7)]
    assert bench.channel.wants_look
    bench.answer(looked(8, bus=23, start=7))
    assert bench.told() == [("deliver", "E", 8)]
    assert bench.channel.live


def test_more_bytes_than_the_buffer_holds_make_it_look_once_more():
    bench = listening()
    bench.channel.doubt()
    look = bench.look()
    large = Entry(21, EntryType.MESSAGE, "room:a", publication(6, data=b"x" * 200))
    bench.channel.accept(large)
    bench.channel.merge_look(looked(5, bus=20), look)
    assert not bench.channel.live


def test_a_gap_in_the_buffer_makes_it_look_once_more():
    bench = listening()
    bench.channel.doubt()
    look = bench.look()
    bench.channel.accept(message(22, 8))
    bench.channel.merge_look(looked(6, bus=20, start=5), look)
    assert bench.told() == [("deliver", "E", 6)]
    assert bench.channel.wants_look


def test_each_look_begins_a_new_buffer():
    """Its reply includes all that was read before, so an old entry would only be in the way."""
    bench = listening()
    bench.channel.doubt()
    bench.look()
    bench.channel.accept(message(21, 9, epoch="F"))
    bench.channel.looking = None
    assert bench.answer(looked(6, bus=25, start=5))
    assert bench.channel.live


def test_entries_in_doubt_are_not_kept_while_no_look_is_under_way():
    bench = listening()
    bench.channel.doubt()
    bench.channel.accept(message(21, 6))
    bench.answer(looked(6, bus=25, start=5))
    assert bench.told() == [("deliver", "E", 6)]


# Joining


def test_the_first_look_lets_everyone_join_at_the_head():
    bench = Bench()
    bench.wait("one")
    bench.wait("two")
    bench.answer(looked(5, bus=10))
    assert bench.told() == [("add", "one", "E", 5, None, []), ("add", "two", "E", 5, None, [])]


def test_a_position_in_the_log_is_recovered():
    bench = Bench()
    bench.wait("one", Position("E", 3))
    assert bench.look().since == (Position("E", 3),)
    bench.answer(looked(5, bus=10, start=3))
    assert bench.told() == [("add", "one", "E", 3, True, [4, 5])]


@pytest.mark.parametrize(
    "since", [Position("F", 4), Position("E", 9), Position("E", 1)], ids=["epoch", "beyond", "old"]
)
def test_a_position_that_cannot_be_continued_is_not_recovered(since):
    bench = Bench()
    bench.wait("one", since)
    bench.answer(looked(5, bus=10, start=2) if since.offset == 1 else looked(5, bus=10))
    assert bench.told() == [("add", "one", "E", 5, False, [])]


def test_a_long_absence_is_recovered_page_by_page_while_live_messages_come():
    bench = Bench()
    bench.wait("one", Position("E", 0))
    bench.answer(looked(7, bus=10, start=0, end=3))
    assert bench.told() == []
    bench.channel.accept(message(11, 8))
    bench.answer(looked(8, bus=11, start=3, end=6))
    bench.answer(looked(8, bus=11, start=6))
    assert bench.told() == [("add", "one", "E", 0, True, [1, 2, 3, 4, 5, 6, 7, 8])]


def test_a_change_of_epoch_between_two_pages_is_a_loss():
    bench = Bench()
    bench.wait("one", Position("E", 0))
    bench.answer(looked(7, bus=10, start=0, end=3))
    bench.answer(looked(7, bus=11, epoch="F", start=7))
    assert bench.told() == [("add", "one", "F", 7, False, [])]


def test_the_newest_are_given_with_the_position_before_them():
    bench = Bench()
    bench.wait("one", last=2)
    assert bench.look().last == 2
    bench.answer(looked(5, bus=10, start=3))
    assert bench.told() == [("add", "one", "E", 3, None, [4, 5])]


def test_fewer_newest_than_asked_for_are_what_there_is():
    bench = Bench()
    bench.wait("one", last=10)
    bench.answer(looked(2, bus=10, start=0))
    assert bench.told() == [("add", "one", "E", 0, None, [1, 2])]
    bench.wait("two", last=10)
    bench.answer(looked(2, bus=11, start=0))
    assert bench.told() == [("add", "two", "E", 0, None, [1, 2])]


def test_what_the_log_did_not_hold_is_forgotten_with_its_epoch():
    """After a flush offsets count from 1 again: below where the old log began there may be messages now."""
    bench = Bench()
    bench.wait("one", last=10)
    bench.answer(looked(9, bus=10, start=7))
    bench.wait("two", last=10)
    bench.answer(looked(12, bus=10, start=7, end=9))
    bench.told()
    bench.channel.doubt()
    bench.answer(looked(3, bus=11, epoch="F", start=3))
    bench.answer(looked(3, bus=11, epoch="F", start=3))
    assert bench.told() == [("reset", "F", 3, 0, "epoch")]
    bench.answer(looked(3, bus=11, epoch="F", start=0))
    assert bench.told() == [("add", "two", "F", 0, None, [1, 2, 3])]


def test_newest_that_take_several_pages_are_the_newest_when_it_joins():
    bench = Bench()
    bench.wait("one", last=5)
    bench.answer(looked(9, bus=10, start=4, end=6))
    bench.channel.accept(message(11, 10))
    bench.answer(looked(10, bus=11, start=6))
    assert bench.told() == [("add", "one", "E", 5, None, [6, 7, 8, 9, 10])]


def test_newest_begin_again_when_the_epoch_changes_between_pages():
    bench = Bench()
    bench.wait("one", last=5)
    bench.answer(looked(9, bus=10, start=4, end=6))
    bench.answer(looked(9, bus=11, epoch="F"))
    assert bench.told() == []
    assert bench.look().last == 5
    bench.channel.merge_look(looked(9, bus=12, epoch="F", start=7), bench.look())
    assert bench.told() == [("add", "one", "F", 7, None, [8, 9])]


def test_newest_that_begin_again_are_not_cut_to_what_another_asked_for():
    bench = Bench()
    bench.wait("five", last=5)
    bench.answer(looked(9, bus=10, start=4, end=6))
    bench.wait("two", last=2)
    bench.answer(looked(12, bus=20, epoch="F", began=9, start=10))
    assert bench.told() == [("add", "two", "F", 10, None, [11, 12])]
    bench.answer(looked(12, bus=20, epoch="F", began=9, start=7))
    assert bench.told() == [("add", "five", "F", 7, None, [8, 9, 10, 11, 12])]


def test_who_returns_soon_joins_from_the_ring_without_a_look():
    bench = listening()
    for offset in (6, 7):
        bench.channel.accept(message(5 + offset, offset))
    bench.told()
    assert bench.join("back", Position("E", 5))
    assert bench.told() == [("add", "back", "E", 5, True, [6, 7])]


@pytest.mark.parametrize(("last", "begin", "messages"), [(0, 8, []), (2, 6, [7, 8])])
def test_who_has_no_position_joins_where_the_log_ended_when_it_came(last, begin, messages):
    """Whoever publishes and then subscribes finds its message behind it, though the bus has not brought it here yet."""
    bench = listening()
    for offset in (6, 7):
        bench.channel.accept(message(5 + offset, offset))
    bench.told()
    assert not bench.join("new", last=last)
    bench.wait("new", last=last)
    bench.answer(looked(8, bus=13, start=min(7, 8 - last)))
    told = [("deliver", "E", 8), ("add", "new", "E", begin, None, messages)]
    assert bench.told() == told


def test_who_has_no_position_waits_until_the_channel_is_where_the_log_ended():
    bench = listening()
    bench.wait("new")
    bench.answer(looked(9, bus=13, start=5, end=7))
    assert bench.told() == [("deliver", "E", 6), ("deliver", "E", 7)]
    bench.answer(looked(9, bus=13, start=7))
    told = [("deliver", "E", 8), ("deliver", "E", 9), ("add", "new", "E", 9, None, [])]
    assert bench.told() == told


@pytest.mark.parametrize("since", [Position("F", 6), Position("E", 8), Position("E", 2)])
def test_what_the_ring_does_not_cover_needs_a_look(since):
    bench = listening()
    for offset in (6, 7):
        bench.channel.accept(message(5 + offset, offset))
    assert not bench.join("back", since)
    assert not bench.join("new", last=3)


def test_a_look_for_a_waiter_moves_listeners_on_as_well():
    bench = listening()
    bench.wait("back", Position("E", 3))
    bench.answer(looked(7, bus=20, start=3))
    assert bench.told() == [
        ("deliver", "E", 6),
        ("deliver", "E", 7),
        ("add", "back", "E", 3, True, [4, 5, 6, 7]),
    ]
    bench.channel.accept(message(20, 7))
    assert bench.told() == []


def test_a_look_for_a_waiter_that_finds_another_epoch_resets_the_listeners():
    bench = listening()
    bench.wait("back", Position("E", 3))
    bench.answer(looked(7, bus=20, epoch="F"))
    assert bench.told() == []  # a page for waiters may begin behind what survived
    bench.answer(looked(7, bus=20, epoch="F", began=6, start=6))
    assert bench.told() == [("reset", "F", 6, 6, "epoch"), ("deliver", "F", 7)]
    bench.answer(looked(7, bus=20, epoch="F", began=6, start=7))
    assert bench.told() == [("add", "back", "F", 7, False, [])]


def test_a_waiter_ahead_of_this_node_joins_when_the_node_has_caught_up():
    bench = listening()
    bench.wait("ahead", Position("E", 7))
    bench.answer(looked(8, bus=20, start=5))
    assert bench.told()[-1] == ("add", "ahead", "E", 7, True, [8])


def test_a_waiter_ahead_of_a_page_is_neither_lost_nor_served_yet():
    bench = listening()
    bench.wait("ahead", Position("E", 9))
    bench.answer(looked(9, bus=20, start=5, end=7))
    assert [told[0] for told in bench.told()] == ["deliver", "deliver"]
    bench.answer(looked(9, bus=20, start=7))
    assert bench.told()[-1] == ("add", "ahead", "E", 9, True, [])


def test_one_who_came_after_the_look_was_sent_is_not_judged_by_it():
    """The reply may be older than the position it brought."""
    bench = listening()
    bench.wait("first", Position("E", 2))
    look = bench.look()
    bench.wait("later", Position("F", 1))
    bench.channel.merge_look(looked(5, bus=20, start=2), look)
    assert [told[1] for told in bench.told()] == ["first"]
    assert "later" in bench.channel.waiters


def test_only_so_many_positions_are_passed_and_the_rest_is_not_lost():
    bench = Bench()
    for offset in (1, 2, 3, 9):
        bench.wait(offset, Position("E", offset))
    look = bench.look()
    assert look.since == (Position("E", 1), Position("E", 2))
    bench.channel.merge_look(looked(9, bus=10, start=5), look)
    assert {told[1]: told[4] for told in bench.told()} == {1: False, 2: False, 9: True}
    assert list(bench.channel.waiters) == [3]


def test_listeners_in_doubt_come_before_waiters():
    bench = listening()
    bench.wait("back", Position("E", 1))
    bench.channel.doubt()
    look = bench.look()
    assert look.since == (Position("E", 5),)
    bench.channel.merge_look(looked(5, bus=20), look)
    assert bench.channel.live
    assert "back" in bench.channel.waiters


def test_a_position_ahead_of_this_node_is_not_lost_although_the_log_has_moved_past_it():
    """The bus brings what the log no longer has; joining behind what it holds would repeat messages."""
    bench = listening()
    bench.wait("ahead", Position("E", 6))
    assert not bench.answer(looked(20, bus=30, start=14, end=17))
    bench.channel.accept(message(11, 6))
    bench.channel.accept(message(12, 7))
    bench.channel.admit()
    assert bench.told()[-1] == ("add", "ahead", "E", 6, True, [7])


def test_a_look_that_brings_nothing_new_says_so():
    """The log is already past this node, whose bus will bring what is missing."""
    bench = listening()
    bench.wait("ahead", Position("E", 9))
    assert not bench.answer(looked(9, bus=20))
    assert bench.channel.live
    assert bench.told() == []


def test_a_page_below_the_ring_is_kept_for_the_next_who_returns():
    bench = listening()
    bench.wait("back", Position("E", 3))
    bench.answer(looked(5, bus=20, start=3))
    bench.told()
    assert bench.join("another", Position("E", 3))
    assert bench.told() == [("add", "another", "E", 3, True, [4, 5])]


def test_a_page_from_before_the_epoch_began_can_be_given_as_newest():
    bench = Bench()
    bench.wait("one", last=3)
    bench.answer(looked(5, bus=10, epoch="F", start=2, began=4))
    assert bench.told() == [("add", "one", "F", 2, None, [3, 4, 5])]


# Leaving, and failures


def test_a_listener_leaves_once():
    bench = listening()
    bench.channel.leave("one")
    bench.channel.leave("one")
    assert bench.told() == [("remove", "one")]
    assert not bench.channel.wanted


def test_a_waiter_that_left_is_not_let_in():
    bench = Bench()
    bench.wait("one")
    look = bench.look()
    bench.channel.leave("one")
    bench.wait("two")
    bench.channel.merge_look(looked(5, bus=10), look)
    assert bench.told() == []
    bench.answer(looked(5, bus=10))
    assert [told[1] for told in bench.told()] == ["two"]


def test_a_channel_without_listeners_follows_its_entries_silently():
    bench = listening()
    bench.channel.leave("one")
    bench.told()
    bench.channel.accept(message(11, 6))
    assert bench.told() == []
    assert bench.channel.position == ("E", 6)


def test_an_audience_that_fails_leaves_the_channel_in_doubt():
    bench = listening()
    bench.channel.doubt()
    look = bench.look()

    def fail(_publication):
        raise RuntimeError

    bench.audience.deliver = fail
    reply: Looked = looked(7, bus=20, start=5)
    with pytest.raises(RuntimeError):
        bench.channel.merge_look(reply, look)
    assert not bench.channel.live
    assert bench.channel.looking is not None
