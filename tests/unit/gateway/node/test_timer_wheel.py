"""One timer for all sessions: each is looked at when it is due, once, and never when it was forgotten."""

from __future__ import annotations

from services.gateway.node.timer_wheel import SLOT, Wheel


class Item:
    def __init__(self):
        self.slot = -1

    def tick(self, now):
        return None


def due(wheel, now):
    return list(wheel.due(now))


def test_an_item_is_due_at_its_time_or_a_slot_later_and_once():
    wheel, item = Wheel(100.0), Item()
    wheel.put(item, 101.1)
    assert due(wheel, 101.0) == []
    assert due(wheel, 101.1 + SLOT) == [item]
    assert due(wheel, 200.0) == []


def test_what_is_overdue_is_due_in_the_next_slot():
    wheel, item = Wheel(100.0), Item()
    wheel.put(item, 50.0)
    assert due(wheel, 100.0) == []
    assert due(wheel, 100.0 + SLOT) == [item]


def test_a_later_wish_makes_the_earlier_void():
    wheel, item = Wheel(0.0), Item()
    wheel.put(item, 1.0)
    wheel.put(item, 2.0)
    assert due(wheel, 1.5) == []
    assert due(wheel, 2.0) == [item]


def test_wishes_to_and_fro_do_not_double_it():
    wheel, item = Wheel(0.0), Item()
    for at in (1.0, 2.0, 1.0, 1.0):
        wheel.put(item, at)
    assert due(wheel, 3.0) == [item]


def test_a_forgotten_item_is_never_due():
    wheel, item = Wheel(0.0), Item()
    wheel.put(item, 1.0)
    wheel.forget(item)
    assert due(wheel, 5.0) == []


def test_what_is_put_back_while_it_turns_is_due_later():
    wheel, item = Wheel(0.0), Item()
    wheel.put(item, 1.0)
    for one in wheel.due(3.0):
        wheel.put(one, 9.0)
    assert due(wheel, 8.0) == []
    assert due(wheel, 9.0) == [item]


def test_after_a_pause_everything_is_due_in_order():
    wheel, items = Wheel(0.0), [Item() for _ in range(3)]
    for number, item in enumerate(items):
        wheel.put(item, 10.0 - number)
    assert due(wheel, 60.0) == items[::-1]
