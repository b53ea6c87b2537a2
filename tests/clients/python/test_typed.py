"""Channels whose data has a type."""

from __future__ import annotations

from typing import TypedDict

import httpx2
import pytest
from pydantic import BaseModel

from openline.async_publisher import AsyncPublisher
from openline.errors import InvalidData, OpenlineError
from openline.publisher import Publisher
from openline.typed import Typed
from openline.types import Draft

pytestmark = pytest.mark.clients


class Chat(BaseModel):
    text: str


class Order(TypedDict):
    number: int


ROOM = Typed("room:{id}", Chat)
ORDERS = Typed("notify:orders", Order)


def test_parameters_fill_the_name():
    assert ROOM.name(id=7) == "room:7"
    assert ORDERS.name() == "notify:orders"


def test_a_parameter_that_no_channel_can_have_is_refused():
    with pytest.raises(OpenlineError, match="'/' at position 1"):
        ROOM.name(id="a/b")


@pytest.mark.parametrize("given", [{}, {"room": 1}, {"id": 1, "more": 2}])
def test_the_parameters_are_those_of_the_pattern(given):
    with pytest.raises(TypeError, match="takes the parameters id; given"):
        ROOM.name(**given)


@pytest.mark.parametrize(
    "pattern", ["lobby", "Room:{id}", "room:{}", "room:{id!r}", "room:{a.b}", "room:{key}"]
)
def test_a_pattern_that_no_channel_can_have_is_refused(pattern):
    with pytest.raises(OpenlineError):
        Typed(pattern, Chat)


def test_a_draft_has_plain_data_that_fits():
    assert ROOM.draft(Chat(text="hi"), id="a", key="k") == Draft("room:a", {"text": "hi"}, "k")
    assert ORDERS.draft({"number": 7}) == Draft("notify:orders", {"number": 7})


@pytest.mark.parametrize(
    ("channel", "value", "given", "said"),
    [
        (ORDERS, {"number": "7"}, {}, "at number: expected int, got str"),
        (ORDERS, {}, {}, "number missing"),
        (ROOM, {"text": 7}, {"id": 1}, "text"),
    ],
)
def test_data_that_does_not_fit_is_not_published(channel, value, given, said):
    with pytest.raises(InvalidData, match=said):
        channel.draft(value, **given)


def stored(request):
    assert request.url.path == "/v1/channels/room:a/messages"
    return httpx2.Response(201, json={"channel": "room:a", "epoch": "e", "offset": 1})


def test_it_publishes_with_the_publisher_for_threads():
    with Publisher("http://a", token="t", transport=httpx2.MockTransport(stored)) as publisher:
        assert ROOM.publish(publisher, Chat(text="hi"), id="a").offset == 1


async def test_it_publishes_with_the_publisher_for_tasks():
    transport = httpx2.MockTransport(stored)
    async with AsyncPublisher("http://a", token="t", transport=transport) as publisher:
        assert (await ROOM.publish(publisher, Chat(text="hi"), id="a")).offset == 1
