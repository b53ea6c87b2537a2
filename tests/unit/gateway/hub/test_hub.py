"""The hub of a partition: its reader, its looks, and what it does when the store does not answer."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import pytest

from services.gateway.hub.hub import Hub
from services.gateway.hub.port import HubLimits, LookCall, ReconnectCall
from services.gateway.hub.replay_budget import ReplayBudget
from services.kernel.broker.port import Batch, Beaten, Entry, EntryType, Look, Stale
from services.kernel.domain.codes import Code
from services.kernel.domain.positions import Position
from tests.support.recording_audience import RecordingSink, looked, message, publication

LIMITS = HubLimits(
    ring_count=8, batch=2, resync_batch=2, spacing=0.02, idle_seconds=30.0, idle_most=2
)


class Bench:
    """A hub that follows history H from bus id 10, and a clock."""

    def __init__(self, *, started: bool = True, budget: ReplayBudget | None = None) -> None:
        self.sink = RecordingSink()
        epochs = count(1)
        self.hub = Hub(
            self.sink, new_epoch=lambda: f"new{next(epochs)}", limits=LIMITS, budget=budget
        )
        self.now = 0.0
        if started:
            self.beat("H", 10)

    def beat(self, history, bus, sent=None):
        sent = self.hub.bus_position if sent is None else sent
        self.hub.beaten(Beaten(history=history, bus=bus), sent, self.now)

    def read(self, *entries):
        """Each alone: the first behind a hole shows it."""
        for entry in entries:
            self.hub.entries(self.hub.generation, Batch.of(0, [entry]), self.now)

    def subscribe(self, name, channel="room:a", since=None, last=0):
        self.hub.subscribe(channel, name, since=since, last=last, now=self.now)

    def leave(self, name, channel="room:a"):
        self.hub.unsubscribe(channel, name, self.now)

    def call(self):
        """The one call that the hub wants."""
        (call,) = self.hub.effects()
        return call

    def answer(self, *replies, call=None):
        call = call or self.call()
        self.hub.looked(call, replies, self.now)

    def tick(self, seconds):
        self.now += seconds
        self.hub.tick(self.now)
        return self.hub.effects()

    def told(self, channel="room:a"):
        return self.sink.told(channel)


def listening(*channels, offset=5):
    """One listener in each channel, which is live."""
    bench = Bench()
    for channel in channels or ("room:a",):
        bench.subscribe("one", channel)
        bench.answer(looked(offset, bus=10))
        bench.told(channel)
    return bench


# Entries


def test_entries_are_delivered_and_the_reader_moves_on():
    bench = listening()
    bench.read(message(11, 6), message(12, 7))
    assert bench.told() == [("deliver", "E", 6), ("deliver", "E", 7)]
    assert bench.hub.bus_position == 12
    assert bench.hub.position("room:a") == ("E", 7)
    assert [kept.offset for kept in bench.hub.ring("room:a", 6)] == [7]


def test_what_is_not_the_channels_next_message_is_not_delivered_whatever_its_offset():
    """Of another epoch, a nudge, or come while the channel is in doubt: each needs a look."""
    nudge = Entry(11, EntryType.NUDGE, "room:a", publication(6))
    for entry in (message(11, 6, epoch="F"), nudge):
        bench = listening()
        bench.read(entry)
        assert bench.told() == []
        assert isinstance(bench.call(), LookCall)
    doubting = listening()
    doubting.read(message(11, 7), message(12, 6))
    assert doubting.told() == []


def test_what_nobody_wants_is_passed_over():
    bench = listening()
    bench.read(message(11, 1, channel="room:other"), message(12, 6))
    assert bench.told() == [("deliver", "E", 6)]
    assert bench.hub.position("room:other") is None
    assert bench.hub.ring("room:other", 0) == []


def test_it_tells_which_channels_are_listened_to_and_by_how_many():
    bench = listening("room:a", "room:b")
    bench.subscribe("two", "room:a")
    bench.subscribe("waits", "room:c")
    bench.leave("one", "room:b")
    assert bench.hub.listened() == ["room:a"]
    assert [bench.hub.listeners(f"room:{name}") for name in "abcd"] == [1, 0, 0, 0]
    bench.answer(looked(5, bus=10), looked(5, bus=10))
    assert [bench.hub.listeners(f"room:{name}") for name in "abcd"] == [2, 0, 1, 0]


def test_entries_read_again_are_dropped():
    bench = listening()
    bench.read(message(11, 6))
    bench.read(message(11, 6), message(12, 7))
    assert bench.told() == [("deliver", "E", 6), ("deliver", "E", 7)]


def test_entries_of_an_older_read_are_void():
    bench = listening()
    bench.hub.entries(bench.hub.generation - 1, Batch.of(10, [message(11, 6)]), 0.0)
    assert bench.told() == []
    assert bench.hub.bus_position == 10


def test_signals_go_to_listeners_only():
    bench = listening()
    bench.read(
        Entry(11, EntryType.TYPING, "room:a", None, b'"user":"bob"'),
        Entry(12, EntryType.EPHEMERAL, "room:a", publication(0)),
        Entry(13, EntryType.JOIN, "room:a"),
    )
    assert bench.told() == [("signal", "t"), ("signal", "e"), ("signal", "j")]
    bench.leave("one")
    bench.told()
    bench.read(Entry(14, EntryType.TYPING, "room:a"))
    assert bench.told() == []


def test_control_messages_and_beats_go_to_the_sink():
    bench = listening()
    control, beat = Entry(11, EntryType.CONTROL), Entry(12, EntryType.BEAT)
    bench.read(control, beat)
    assert bench.sink.controls == [control]
    assert bench.sink.canaries == [(beat, 0.0)]


def test_an_audience_that_fails_stops_neither_reader_nor_channel():
    bench = listening()
    failing = bench.sink.audiences["room:a"]
    deliver, failing.deliver = failing.deliver, None
    with pytest.raises(TypeError):
        bench.read(message(11, 6), message(12, 7))
    assert bench.hub.bus_position == 11
    failing.deliver = deliver
    bench.read(message(12, 7))
    assert bench.told() == [("deliver", "E", 7)]


# Looks


def test_no_look_is_made_before_there_is_a_position():
    bench = Bench(started=False)
    bench.subscribe("one")
    assert bench.hub.effects() == []
    bench.beat("H", 10)
    assert isinstance(bench.call(), LookCall)


def test_looks_are_single_flight():
    bench = Bench()
    bench.subscribe("one")
    call = bench.call()
    bench.subscribe("two")
    assert bench.hub.effects() == []
    bench.answer(looked(5, bus=10), call=call)
    assert [told[1] for told in bench.told()] == ["one"]
    bench.answer(looked(5, bus=10))
    assert [told[1] for told in bench.told()] == ["two"]


def test_channels_that_are_due_together_share_calls_up_to_a_batch():
    bench = Bench()
    for channel in ("room:a", "room:b", "room:c"):
        bench.subscribe("one", channel)
    looks = [[look.channel for look in call.looks] for call in bench.hub.effects()]
    assert looks == [["room:a", "room:b"], ["room:c"]]


def test_a_reply_of_another_history_does_not_count():
    bench = Bench()
    bench.subscribe("one")
    bench.answer(looked(5, bus=10, history="I"))
    assert bench.told() == []


def test_looks_that_lead_to_another_master_than_beats_make_it_reconnect():
    """One that was cut off goes on answering as a master, and nothing else would ever end that connection."""
    bench = listening()
    bench.read(message(11, 7))
    bench.answer(looked(5, bus=90, history="old"))
    assert bench.call() == ReconnectCall()
    bench.hub.reconnected(bench.now)
    bench.beat("H", 12)
    bench.answer(looked(7, bus=12, start=5))
    assert bench.told() == [("deliver", "E", 6), ("deliver", "E", 7)]


def test_a_reply_older_than_what_was_read_does_not_count():
    """A replica that lags would otherwise lead behind entries that nobody sends again."""
    bench = Bench()
    bench.read(message(11, 6), message(12, 7))
    bench.subscribe("one")
    bench.answer(looked(6, bus=11))
    assert bench.told() == []
    (again,) = bench.tick(0.05)
    bench.answer(looked(7, bus=12), call=again)
    assert bench.told() == [("add", "one", "E", 7, None, [])]


def test_a_channel_that_a_look_led_ahead_of_the_bus_is_not_led_back():
    bench = listening()
    bench.subscribe("back", since=Position("E", 5))
    bench.subscribe("other", since=Position("F", 1))
    bench.answer(looked(9, bus=20, start=5))
    bench.told()
    bench.read(message(11, 11))
    bench.answer(looked(7, bus=15))
    assert bench.told() == []


def test_a_page_that_is_not_what_it_says_does_not_count():
    bench = Bench()
    bench.subscribe("one", last=3)
    page = (publication(3), publication(5))
    holed = replace(looked(5, bus=10, start=3), start=2, publications=page)
    bench.answer(holed)
    assert bench.told() == []


def test_a_reply_that_comes_twice_is_taken_once():
    bench = Bench()
    bench.subscribe("one")
    call = bench.call()
    bench.answer(looked(5, bus=10), call=call)
    bench.answer(looked(4, bus=10), call=call)
    assert bench.told() == [("add", "one", "E", 5, None, [])]


def test_a_store_that_does_not_answer_is_asked_ever_more_seldom():
    bench = listening()
    bench.read(message(11, 7))
    bench.hub.looked(bench.call(), None, bench.now)
    pauses = []
    for _ in range(8):
        wake = bench.hub.wake
        pauses.append(round(wake - bench.now, 2))
        (call,) = bench.tick(wake - bench.now)
        bench.hub.looked(call, None, bench.now)
    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0]
    assert bench.told() == []


def test_once_it_has_answered_the_pauses_begin_anew():
    bench = listening()
    for ident, offset in ((11, 7), (12, 9)):
        bench.read(message(ident, offset))
        bench.hub.looked(bench.call(), None, bench.now)
        (call,) = bench.tick(0.05)
        bench.hub.looked(call, None, bench.now)
        (call,) = bench.tick(0.1)
        bench.answer(
            looked(offset, bus=ident, start=bench.hub.position("room:a").offset), call=call
        )


def test_a_newcomer_does_not_shorten_the_pause():
    bench = Bench()
    bench.subscribe("one")
    bench.hub.looked(bench.call(), None, bench.now)
    bench.subscribe("two")
    assert bench.hub.effects() == []


def test_after_a_gap_the_look_that_was_under_way_is_void():
    """It was asked for a waiter's sake and need not reach down to what the listeners miss."""
    bench = listening()
    bench.subscribe("back", since=Position("F", 1))
    before = bench.call()
    bench.read(message(11, 7))
    after = bench.call()
    bench.answer(looked(5, bus=10), call=before)
    assert bench.told() == []
    bench.answer(looked(7, bus=11, start=5), call=after)
    assert bench.told()[:2] == [("deliver", "E", 6), ("deliver", "E", 7)]


# Opening


def test_a_stale_head_is_opened_with_the_next_look():
    bench = Bench()
    bench.subscribe("one")
    assert bench.hub.effects()[0].looks[0].epoch == ""
    bench.answer(Stale(), call=LookCall(1, (Look("room:a"),), 10))
    call = bench.call()
    assert call.looks == (Look("room:a", epoch="new1"),)
    assert bench.hub.effects() == []
    bench.answer(looked(0, bus=10, epoch="new1"), call=call)
    assert bench.told() == [("add", "one", "new1", 0, None, [])]


def test_an_opening_look_that_fails_is_made_again_after_a_pause():
    bench = Bench()
    bench.subscribe("one")
    bench.answer(Stale())
    bench.hub.looked(bench.call(), None, bench.now)
    assert bench.hub.effects() == []
    assert bench.tick(0.05)[0].looks[0].epoch == "new2"


def test_a_channel_that_was_opened_is_looked_at_without_until_it_is_stale_again():
    bench = Bench()
    bench.subscribe("one")
    bench.answer(Stale())
    bench.answer(looked(0, bus=10, epoch="new1"))
    bench.read(message(11, 1, epoch="F"))
    call = bench.call()
    assert call.looks[0].epoch == ""
    bench.answer(Stale(), call=call)
    assert bench.call().looks[0].epoch == "new2"


def test_stale_where_it_was_to_be_opened_means_that_looks_do_not_reach_the_master():
    bench = Bench()
    bench.subscribe("one")
    bench.answer(Stale())
    bench.answer(Stale())
    assert bench.call() == ReconnectCall()
    assert not bench.hub.following
    bench.hub.reconnected(bench.now)
    bench.beat("H", 12)
    bench.answer(looked(0, bus=12))
    assert bench.told() == [("add", "one", "E", 0, None, [])]


# Resync


def test_a_hole_between_ids_compares_every_channel_that_is_wanted():
    bench = listening("room:a", "room:b")
    bench.subscribe("two", "room:b", since=Position("E", 5))
    bench.told("room:b")
    generation = bench.hub.generation
    bench.read(message(15, 7, channel="room:b"))
    assert bench.hub.bus_position == 15
    assert bench.hub.generation > generation
    assert bench.sink.resyncs == [0.0]
    call = bench.call()
    assert [look.channel for look in call.looks] == ["room:b", "room:a"]
    bench.answer(looked(7, bus=15, start=5), looked(5, bus=15), call=call)
    assert bench.told("room:b") == [("deliver", "E", 6), ("deliver", "E", 7)]
    assert bench.told("room:a") == []


def test_a_resync_goes_in_batches_with_pauses():
    bench = listening("room:a", "room:b", "room:c")
    bench.read(Entry(20, EntryType.BEAT))
    bench.answer(looked(5, bus=20), looked(5, bus=20))
    assert bench.hub.effects() == []
    assert bench.hub.wake == 0.02
    assert [look.channel for look in bench.tick(0.02)[0].looks] == ["room:c"]


def test_the_next_batch_of_a_resync_waits_for_the_answer_to_the_last_one():
    bench = listening("room:a", "room:b", "room:c")
    bench.read(Entry(20, EntryType.BEAT))
    first = bench.call()
    assert bench.tick(1.0) == []
    bench.answer(looked(5, bus=20), looked(5, bus=20), call=first)
    assert bench.hub.effects() == []
    assert len(bench.tick(1.0)[0].looks) == 1


def test_a_large_fleet_resyncs_more_slowly():
    bench = listening("room:a", "room:b", "room:c")
    bench.hub.gateways = 20
    bench.read(Entry(20, EntryType.BEAT))
    bench.answer(looked(5, bus=20), looked(5, bus=20))
    assert bench.tick(0.05) == []
    assert len(bench.tick(0.05)[0].looks) == 1


def test_a_batch_of_a_resync_that_fails_is_the_next_one_again_after_a_pause_that_grows():
    bench = listening("room:a", "room:b", "room:c")
    bench.read(Entry(20, EntryType.BEAT))
    bench.leave("one", "room:b")
    call = bench.call()
    for pause in (0.05, 0.1):
        bench.hub.looked(call, None, bench.now)
        assert bench.tick(pause - 0.01) == []
        (call,) = bench.tick(0.01)
        assert [look.channel for look in call.looks] == ["room:a", "room:c"]
    bench.answer(looked(5, bus=20), looked(5, bus=20), call=call)
    assert bench.hub.wake is None


def test_who_leaves_while_a_batch_of_a_resync_is_under_way_is_not_asked_for_again():
    bench = listening("room:a", "room:b")
    bench.read(Entry(20, EntryType.BEAT))
    call = bench.call()
    bench.leave("one", "room:b")
    bench.hub.looked(call, None, bench.now)
    assert [look.channel for look in bench.tick(0.05)[0].looks] == ["room:a"]
    assert bench.hub.position("room:b") is None


def test_a_resync_goes_past_channels_that_were_left_meanwhile():
    bench = listening("room:a", "room:b", "room:c")
    bench.read(Entry(20, EntryType.BEAT))
    for channel in ("room:a", "room:b"):
        bench.leave("one", channel)
    assert [look.channel for look in bench.call().looks] == ["room:c"]


def test_a_newcomer_does_not_wait_for_its_channel_s_turn_and_a_message_does():
    bench = listening("room:a", "room:b", "room:c", "room:d")
    bench.read(Entry(20, EntryType.BEAT))
    first = bench.call()
    bench.read(message(21, 6, channel="room:c"))
    assert bench.hub.effects() == []
    bench.subscribe("two", "room:d", since=Position("E", 5))
    ahead = bench.call()
    assert [look.channel for look in ahead.looks] == ["room:d"]
    bench.answer(looked(5, bus=21), call=ahead)
    bench.answer(looked(5, bus=20), looked(5, bus=20), call=first)
    assert [look.channel for look in bench.tick(0.02)[0].looks] == ["room:c"]


def test_in_a_resync_those_with_most_listeners_come_first():
    bench = listening("room:a", "room:b", "room:c")
    bench.subscribe("two", "room:c", since=Position("E", 5))
    bench.read(message(20, 6, channel="room:z"))
    first = bench.call()
    assert [look.channel for look in first.looks] == ["room:c", "room:a"]


def test_a_new_position_drops_channels_that_nobody_wants():
    bench = listening()
    bench.leave("one")
    bench.read(Entry(20, EntryType.BEAT))
    assert bench.hub.position("room:a") is None
    bench.subscribe("one", since=Position("E", 5))
    assert bench.told() == []
    bench.answer(looked(9, bus=20, start=5))
    assert bench.told() == [("add", "one", "E", 5, True, [6, 7, 8, 9])]


def test_a_new_position_voids_looks_that_are_under_way():
    bench = listening()
    bench.subscribe("back", since=Position("E", 2))
    before = bench.call()
    bench.read(Entry(20, EntryType.BEAT))
    bench.answer(looked(5, bus=12, start=2), call=before)
    assert bench.told() == []
    bench.answer(looked(6, bus=20, start=5))
    assert bench.told() == [("deliver", "E", 6)]


def test_another_history_means_reconnect_and_resync():
    bench = listening()
    bench.beat("I", 99)
    assert bench.call() == ReconnectCall()
    bench.read(message(11, 6))
    assert bench.told() == []
    bench.hub.reconnected(bench.now)
    bench.beat("I", 4)
    assert (bench.hub.bus_position, bench.hub.history) == (4, "I")
    call = bench.call()
    assert call.looks == (Look("room:a", (Position("E", 5),), resume=True, epoch="new1"),)
    bench.answer(looked(3, bus=4, epoch="F", began=3, history="I"), call=call)
    assert bench.told() == [("reset", "F", 3, 3, "epoch")]
    assert len(bench.sink.resyncs) == 1
    bench.read(
        Entry(5, EntryType.JOIN, "room:a")
    )  # counted anew: more than 5 came before there was a listener
    assert bench.told() == [("signal", "j")]


def test_a_beat_that_fails_changes_nothing():
    bench = listening()
    bench.hub.beaten(None, 10, bench.now)
    assert bench.hub.effects() == []
    assert bench.hub.following


def test_while_there_is_no_position_those_who_return_join_from_the_ring():
    """They get what everyone here has, and what everyone will be told after the resync."""
    bench = listening()
    bench.beat("I", 99)
    bench.subscribe("back", since=Position("E", 5))
    assert bench.told() == [("add", "back", "E", 5, True, [])]


# Coming and going


def test_who_waits_too_long_is_refused_and_listeners_stay():
    bench = listening()
    bench.subscribe("back", since=Position("F", 1))
    bench.hub.looked(bench.call(), None, bench.now)
    bench.tick(5.0)
    assert bench.told() == [("refuse", "back", Code.UNAVAILABLE)]
    bench.read(message(11, 6))
    assert bench.told() == [("deliver", "E", 6)]


def test_who_waits_while_the_log_is_being_read_is_not_refused_however_long_that_takes():
    bench = Bench()
    bench.subscribe("back", since=Position("E", 0))
    for offset in range(1, 5):
        bench.now += 4.0
        bench.answer(looked(9, bus=10, start=offset - 1, end=offset))
        bench.hub.tick(bench.now)
    bench.tick(4.9)
    assert bench.told() == []
    bench.tick(0.1)
    assert bench.told() == [("refuse", "back", Code.UNAVAILABLE)]


def test_who_asks_for_more_than_there_is_room_for_is_refused_and_the_room_is_given_back():
    budget = ReplayBudget(500)
    bench = Bench(budget=budget)
    for name in ("one", "two"):
        bench.subscribe(name, f"room:{name}", since=Position("E", 0))
    bench.answer(*(looked(9, bus=10, start=0, end=1) for _ in range(2)))
    assert bench.told("room:one") == []
    assert bench.told("room:two") == [("refuse", "two", Code.UNAVAILABLE)]
    bench.answer(looked(9, bus=10, start=1, end=2))  # alone it may have more
    held = budget.total
    assert held > 500
    bench.leave("one", "room:one")
    assert budget.total == 0


def test_it_tells_where_the_epoch_of_a_channel_began():
    bench = Bench()
    assert bench.hub.began("room:a") == 0
    bench.subscribe("one")
    bench.answer(looked(5, bus=10, began=3))
    assert bench.hub.began("room:a") == 3


def test_a_channel_that_nobody_waits_for_any_more_is_forgotten():
    bench = Bench()
    bench.subscribe("one")
    call = bench.call()
    bench.leave("one")
    bench.answer(looked(5, bus=10), call=call)
    assert bench.told() == []
    assert bench.hub.position("room:a") is None
    assert bench.hub.wake is None or bench.tick(60) == []


def test_a_channel_without_listeners_is_kept_for_a_while():
    bench = listening()
    bench.leave("one")
    bench.read(message(11, 6))
    bench.tick(29.0)
    bench.subscribe("one", since=Position("E", 5))
    assert bench.told()[-1] == ("add", "one", "E", 5, True, [6])
    bench.leave("one")
    bench.tick(31.0)
    assert bench.hub.position("room:a") is None


def test_only_so_many_channels_are_kept_without_listeners():
    bench = listening("room:a", "room:b", "room:c")
    for channel in ("room:a", "room:b", "room:c"):
        bench.leave("one", channel)
    assert bench.hub.position("room:a") is None
    assert bench.hub.position("room:c") == ("E", 5)


def test_a_subscriber_joins_a_channel_once():
    bench = listening()
    with pytest.raises(ValueError, match="already"):
        bench.subscribe("one")


def test_leaving_a_channel_that_is_not_known_is_nothing():
    bench = Bench()
    bench.leave("one")
    assert bench.hub.effects() == []


def test_a_call_that_is_never_answered_counts_as_failed():
    bench = listening()
    bench.read(message(11, 7))
    bench.call()
    assert bench.hub.wake == 15.0
    bench.tick(15.0)
    (call,) = bench.tick(0.05)
    bench.answer(Stale(), call=call)
    assert bench.call().looks[0].epoch
    bench.tick(15.0)
    assert isinstance(bench.tick(0.1)[0], LookCall)
    bench.beat("I", 5)
    assert ReconnectCall() in bench.hub.effects()
    bench.tick(15.0)
    bench.beat("I", 6)
    assert bench.hub.following


def test_an_audience_may_unsubscribe_others_while_they_are_let_in():
    bench = Bench()
    bench.subscribe("one")
    bench.subscribe("two")
    audience = bench.sink.audiences["room:a"]
    add = audience.add

    def add_and_send_the_other_away(subscriber, joined):
        add(subscriber, joined)
        bench.leave("two")

    audience.add = add_and_send_the_other_away
    bench.answer(looked(5, bus=10))
    assert bench.told() == [("add", "one", "E", 5, None, [])]


def test_nothing_to_do_needs_no_tick():
    assert listening().hub.wake is None
