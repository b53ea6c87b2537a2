"""`published`: publishers check and record, and are answered as the server answers."""

from __future__ import annotations

import pytest

from openline import AsyncPublisher, Draft, OpenlineError, Position, Publisher
from openline.pytest import published

pytestmark = pytest.mark.clients

published = published  # noqa: PLW0127 - the fixture, since the plugin is not installed here


@pytest.fixture
def publisher():
    with Publisher("http://nowhere.invalid", client_id="app", client_secret="s" * 40) as made:
        yield made


def test_a_channel_lists_what_was_published_in_order(published, publisher):
    first = publisher.publish("room:x", {"n": 1}, tags={"a": "b"})
    second = publisher.publish("room:x", {"n": 2})
    assert [draft.data for draft in published["room:x"]] == [{"n": 1}, {"n": 2}]
    assert published["room:x"][0].tags == {"a": "b"}
    assert (first.offset, second.offset) == (1, 2)
    assert published["room:other"] == []
    assert (len(published), published.channels) == (2, ["room:x"])


def test_a_publisher_made_before_the_fixture_records_as_well(publisher, published):
    publisher.notify("orders", total=3)
    (draft,) = published["notify:orders"]
    assert draft.data["total"] == 3


def test_every_way_to_publish_is_recorded(published, publisher):
    publisher.publish_many([Draft("room:a", 1), Draft("room:b", 2)])
    publisher.broadcast(["room:a", "room:c"], 3)
    publisher.to_user("ann", 4)
    publisher.publish("room:bytes", b"\x00\xff", conflate_key="b")
    publisher.publish("room:d", 5, conflate_key="d")
    assert published["room:bytes"][0].conflate_key == "b"
    assert published["room:d"][0].conflate_key == "d"
    found = {name: [draft.data for draft in published[name]] for name in published.channels}
    assert found == {
        "room:a": [1, 3],
        "room:b": [2],
        "room:c": [3],
        "user:ann": [4],
        "room:d": [5],
        "room:bytes": [b"\x00\xff"],
    }


async def test_an_async_publisher_records(published):
    async with AsyncPublisher("http://nowhere.invalid", token="t") as publisher:
        sent = await publisher.publish("room:x", "hello")
    assert sent.offset == 1
    assert published["room:x"][0].data == "hello"


def test_the_same_key_is_recorded_once(published, publisher):
    first = publisher.publish("room:x", 1, key="k")
    again = publisher.publish("room:x", 1, key="k")
    assert (first.duplicate, again.duplicate) == (False, True)
    assert again.offset == first.offset
    assert len(published["room:x"]) == 1


def test_what_is_expected_is_compared(published, publisher):
    sent = publisher.publish("room:x", 1)
    publisher.publish("room:x", 2, expect=Position(sent.epoch, sent.offset))
    with pytest.raises(OpenlineError) as refused:
        publisher.publish("room:x", 3, expect=Position(sent.epoch, sent.offset))
    assert refused.value.code == "conflict"
    assert len(published["room:x"]) == 2


def test_what_the_server_would_refuse_is_refused(published, publisher):
    with pytest.raises(OpenlineError):
        publisher.publish("no channel", 1)
    with pytest.raises(OpenlineError, match="fixture `openline`"):
        publisher.history("room:x")
    assert len(published) == 0


def test_an_application_without_settings_gets_some(published, monkeypatch):
    with Publisher() as publisher:
        publisher.publish("room:x", 1)
    assert len(published) == 1
