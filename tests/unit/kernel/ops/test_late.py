"""Events are counted some at once, and all of them before anybody is told."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter

from services.kernel.ops.late import KEPT, Late


def test_events_are_counted_in_their_order_when_as_many_wait():
    counted = []
    late = Late(counted.append)
    for number in range(KEPT - 1):
        late.note(number)
    assert counted == []
    late.note(KEPT - 1)
    late.note(KEPT)
    assert counted == list(range(KEPT))


def test_a_registry_that_knows_it_first_tells_of_all_events():
    registry = CollectorRegistry(auto_describe=True)
    counter = Counter("events", "Events", registry=None)
    late = Late(counter.inc)
    registry.register(late)
    registry.register(counter)
    late.note(2)
    late.note(3)
    assert registry.get_sample_value("events_total") == 5
    late.add_up()
    assert registry.get_sample_value("events_total") == 5
