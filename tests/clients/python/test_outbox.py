"""The queue of publishes: order, pace, holding back, coming again, giving up."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openline.errors import OpenlineError
from openline.outbox import Entry, Outbox, Pace
from openline.types import Published

pytestmark = pytest.mark.clients


class Box:
    """An outbox, and what became of its entries."""

    def __init__(self, *, limit=500, patience=240.0, pace=None):
        self.outbox = Outbox(pace or Pace(), limit=limit, patience=patience)
        self.results = {}
        self.ids = count(1)
        self.down = set()

    def add(self, channel="room:a", *, now=0.0, key="k", echo=True, ordered=False):
        number = next(self.ids)

        def settle(result):
            assert number not in self.results, "settled twice"
            self.results[number] = result

        key = f"{key}{number}" if key else None
        entry = Entry(number, channel, f"frame {number}", settle, key=key, echo=echo)
        self.outbox.add(entry, now, ordered=ordered)
        return number

    def take(self, now=0.0):
        return [entry.id for entry in self.outbox.take(now, self.stands)]

    def next(self, now=0.0):
        return self.outbox.next(now, self.stands)

    def stands(self, channel):
        return channel not in self.down

    def refuse(self, number, code="rate_limited", *, retry_after=2.0, now=0.0, temporary=True):
        error = OpenlineError("no", code=code, temporary=temporary, retry_after=retry_after)
        return self.outbox.refused(number, error, now, random=0.0)


def test_publishes_leave_in_their_order():
    box = Box()
    numbers = [box.add(channel) for channel in ("room:a", "room:b", "room:a")]
    assert box.take() == numbers


def test_an_ack_settles_and_a_second_one_is_nobodys():
    box = Box()
    number = box.add()
    box.take()
    done = Published("e", 7)
    assert box.outbox.acked(number, done) is not None
    assert box.results == {number: done}
    assert box.outbox.acked(number, done) is None
    assert len(box.outbox) == 0


def test_twenty_of_a_channel_are_under_way_at_most():
    box = Box()
    numbers = [box.add() for _ in range(25)]
    assert box.take() == numbers[:20]
    box.outbox.acked(numbers[0], Published("e", 1))
    assert box.take() == [numbers[20]]


def test_one_of_an_ordered_channel():
    box = Box()
    first, second = box.add(ordered=True), box.add(ordered=True)
    assert box.take() == [first]
    box.outbox.acked(first, Published("e", 1))
    assert box.take() == [second]


def test_a_channel_waits_for_its_subscription():
    box = Box()
    box.down.add("room:a")
    waiting, free = box.add("room:a"), box.add("room:b")
    assert box.take() == [free]
    box.down.clear()
    assert box.take() == [waiting]


def test_it_is_paced():
    box = Box(pace=Pace(rate=10, burst=3))
    numbers = [box.add(f"room:{n}") for n in range(5)]
    assert box.take() == numbers[:3]
    assert box.next() == pytest.approx(0.1)
    assert box.take(0.11) == [numbers[3]]


def test_other_commands_count_too():
    pace = Pace(rate=10, burst=3)
    box = Box(pace=pace)
    pace.spend(0.0, 3)
    box.add()
    assert box.take() == []


def test_the_servers_own_limits_count_less_a_reserve():
    pace = Pace()
    pace.limit(100, 40)
    assert (pace.rate, pace.burst) == (90, 30)


def test_a_server_without_limits_paces_nobody():
    pace = Pace()
    pace.limit(0, 0)
    pace.spend(0.0, 10**6)
    assert pace.wait(0.0) == 0.0


def test_a_refused_one_holds_its_channel_and_goes_first_afterwards():
    box = Box()
    first, second = box.add(), box.add()
    other = box.add("room:b")
    assert box.take() == [first, second, other]
    third = box.add()
    assert box.refuse(first, "unavailable")
    assert box.take(1.9) == []
    assert box.next(1.9) == pytest.approx(2.0)
    assert box.take(2.0) == [first, third]
    assert box.results == {}


def test_too_fast_for_the_server_empties_the_bucket():
    box = Box(pace=Pace(rate=1, burst=100))
    box.take()
    number = box.add()
    box.take()
    box.refuse(number, "rate_limited", retry_after=0.1)
    box.add("room:b")
    assert box.take(0.05) == []


def test_a_refusal_for_good_settles():
    box = Box()
    number = box.add()
    box.take()
    box.refuse(number, "forbidden", temporary=False)
    assert box.results[number].code == "forbidden"


def test_a_refusal_without_a_wait_waits_a_second():
    box = Box()
    number = box.add()
    box.take()
    box.refuse(number, "unavailable", retry_after=None)
    assert box.take(0.9) == []
    assert box.take(1.0) == [number]


def test_a_refusal_that_nobody_knows_is_said():
    assert not Box().refuse(99)


def test_after_a_break_what_was_unanswered_comes_first_again():
    box = Box()
    numbers = [box.add() for _ in range(3)]
    box.take()
    box.outbox.acked(numbers[1], Published("e", 1))
    late = box.add()
    box.outbox.broken(1.0)
    assert box.take(1.0) == [numbers[0], numbers[2], late]


def test_an_ephemeral_one_is_not_repeated():
    box = Box()
    sent, waiting = box.add(key=None), None
    box.take()
    box.down.add("room:a")
    waiting = box.add(key=None)
    box.outbox.broken(0.0)
    assert (box.results[sent].code, waiting in box.results) == ("disconnected", False)


def test_an_ephemeral_one_that_is_refused_for_now_is_told_at_once():
    box = Box()
    number = box.add(key=None)
    box.take()
    box.refuse(number)
    assert box.results[number].code == "rate_limited"


def test_beyond_the_limit_it_is_refused_not_dropped():
    box = Box(limit=2)
    box.add()
    box.add()
    with pytest.raises(OpenlineError, match="queue_full"):
        box.add()


def test_what_waits_too_long_is_given_up():
    box = Box(patience=240)
    old, new = box.add(now=0.0), box.add(now=100.0)
    box.down.add("room:a")
    assert box.next(0.0) == 240.0
    box.outbox.expire(240.0)
    assert box.results[old].code == "expired"
    assert new not in box.results


def test_nothing_to_wait_for():
    assert Box().next() is None


def test_our_own_message_without_echo_settles_it():
    box = Box()
    number = box.add(echo=False)
    box.take()
    assert box.outbox.came(f"k{number}", Published("e", 3))
    assert box.results == {number: Published("e", 3)}
    assert not box.outbox.came(f"k{number}", Published("e", 3))


def test_our_own_message_with_echo_is_a_message():
    box = Box()
    number = box.add()
    box.take()
    assert not box.outbox.came(f"k{number}", Published("e", 3))


def test_rejecting_settles_all():
    box = Box()
    numbers = [box.add(), box.add("room:b")]
    box.take()
    box.outbox.reject(OpenlineError("the end", code="closed"))
    assert {box.results[number].code for number in numbers} == {"closed"}
    assert len(box.outbox) == 0


def test_whoever_is_cancelled_is_forgotten():
    box = Box()
    first, second = box.add(ordered=True), box.add(ordered=True)
    box.take()
    box.outbox.remove(first)
    assert box.take() == [second]
    box.outbox.remove(first)


@settings(deadline=None)
@given(st.lists(st.sampled_from(["add", "take", "ack", "refuse", "break", "tick"]), max_size=80))
def test_ordered_publishes_are_stored_in_order_whatever_happens(steps):
    """A server that stores what it acks, in the order of the acks; each publish once."""
    box, now, stored, flying = Box(), 0.0, [], []
    for step in [*steps, *(["tick", "take", "ack"] * 200)]:
        if step == "add" and len(box.outbox) < 100:
            box.add(now=now, ordered=True)
        elif step == "take":
            flying += box.take(now)
        elif step == "ack" and flying:
            number = flying.pop(0)
            if box.outbox.acked(number, Published("e", len(stored) + 1)):
                stored.append(number)
        elif step == "refuse" and flying:
            box.refuse(flying.pop(0), now=now)
        elif step == "break":
            flying.clear()
            box.outbox.broken(now)
        elif step == "tick":
            now += 1.0
        assert len(flying) <= 1
    assert stored == sorted(set(stored))
    assert len(box.outbox) == 0
