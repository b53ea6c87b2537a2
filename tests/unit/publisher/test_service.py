"""The publisher's calls without HTTP, on the broker in memory."""

from __future__ import annotations

import json

import msgspec
import pytest

from services.kernel.broker.memory.broker import MemoryBroker
from services.kernel.broker.port import EntryType, Published
from services.kernel.domain import control, namespaces
from services.kernel.domain.codes import Code
from services.kernel.domain.positions import Position
from services.kernel.domain.publications import Kind
from services.kernel.domain.schemas import Schemas
from services.publisher.service import Message, Publisher
from tests.support.refusals import refused

NAMESPACES = namespaces.parse(
    {
        "namespaces": {
            "room": {"message_bytes": 20},
            "notify": {},
            "typed": {"schema": {"type": "integer"}},
        }
    }
)
NOW = 1_700_000_000.25


class Counted(Schemas):
    """Counts its checks."""

    checks = 0

    def check(self, *args):
        self.checks += 1
        super().check(*args)


@pytest.fixture
def broker():
    return MemoryBroker()


@pytest.fixture
def schemas():
    return Counted(NAMESPACES)


@pytest.fixture
def publisher(broker, schemas):
    return Publisher(broker, namespaces=NAMESPACES, schemas=schemas, clock=lambda: NOW)


async def stored(publisher, channel):
    page = await publisher.history(channel, since=None, limit=100, reverse=False)
    return page.publications


async def test_a_message_is_stored_compact_with_its_envelope(publisher):
    message = Message(channel="room:a", data=b'{"a":\n1}', key="k", tags={"t": "x"})
    published = await publisher.publish(message, subject="me")
    assert published == Published(published.epoch, 1)
    (publication,) = await stored(publisher, "room:a")
    assert publication.data == b'{"a":1}'
    meta = json.loads(b"{" + publication.meta + b"}")
    assert meta == {"ts": 1_700_000_000_250, "key": "k", "tags": {"t": "x"}}


async def test_a_key_is_its_subjects(publisher):
    message = Message(channel="room:a", data=b"1", key="k")
    assert not (await publisher.publish(message, subject="me")).duplicate
    assert (await publisher.publish(message, subject="me")).duplicate
    assert not (await publisher.publish(message, subject="you")).duplicate


async def test_binary_data_is_stored_as_it_is(publisher):
    await publisher.publish(
        Message(channel="room:a", data=b"\x00{", kind=Kind.BINARY), subject="me"
    )
    (publication,) = await stored(publisher, "room:a")
    assert (publication.kind, publication.data) == (Kind.BINARY, b"\x00{")


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (Message(channel="room", data=b"1"), Code.BAD_REQUEST),
        (Message(channel="nowhere:a", data=b"1"), Code.UNKNOWN_NAMESPACE),
        (Message(channel="room:a", data=b"nope"), Code.INVALID_DATA),
        (Message(channel="room:a", data=b"1e999"), Code.INVALID_DATA),
        (Message(channel="typed:a", data=b'"x"'), Code.INVALID_DATA),
        (Message(channel="room:a", data=b'"' + b"x" * 19 + b'"'), Code.TOO_LARGE),
        (Message(channel="room:a", data=b"x" * 21, kind=Kind.BINARY), Code.TOO_LARGE),
        # Looking at it costs more than refusing it: it was not looked at, or it would be no JSON.
        (Message(channel="room:a", data=b"[" * 41), Code.TOO_LARGE),
        (Message(channel="room:a", data=b"1", expect=Position("no", 1)), Code.CONFLICT),
    ],
)
async def test_what_cannot_be_published_is_refused_by_name(publisher, message, code):
    with refused(code):
        await publisher.publish(message, subject="me")


async def test_an_outage_is_unavailable(publisher, broker):
    broker.down = True
    with refused(Code.UNAVAILABLE):
        await publisher.publish(Message(channel="room:a", data=b"1"), subject="me")


async def test_the_same_data_for_many_channels_is_checked_once(publisher, schemas):
    data = b"7"
    messages = [Message(channel=f"typed:{n}", data=data) for n in range(50)]
    outcomes = await publisher.publish_all(messages, subject="me")
    assert all(isinstance(outcome, Published) for outcome in outcomes)
    assert schemas.checks == 1
    await publisher.publish_all([*messages, Message(channel="room:a", data=data)], subject="me")
    assert schemas.checks == 3


async def test_refusals_keep_their_place_among_the_published(publisher):
    messages = [
        Message(channel="room:a", data=b"1"),
        Message(channel="room:a", data=b"x"),
        Message(channel="room:a", data=b"2"),
    ]
    first, second, third = await publisher.publish_all(messages, subject="me")
    assert (first.offset, second.code, third.offset) == (1, Code.INVALID_DATA, 2)


async def test_a_notification_gets_type_and_timestamp(publisher):
    await publisher.notify("orders", {"title": "x", "n": msgspec.Raw(b"1.0")}, subject="me")
    (publication,) = await stored(publisher, "notify:orders")
    assert publication.data == (
        b'{"type":"notification","timestamp":"2023-11-14T22:13:20.250Z","title":"x","n":1.0}'
    )


async def test_a_notification_keeps_its_own_type_and_timestamp(publisher):
    fields = {"type": "alarm", "timestamp": msgspec.Raw(b"5")}
    await publisher.notify("orders", fields, subject="me")
    (publication,) = await stored(publisher, "notify:orders")
    assert json.loads(publication.data) == {"type": "alarm", "timestamp": 5}


async def test_a_direct_message_goes_on_the_bus(publisher, broker):
    await publisher.direct("c1", b"[1]")
    entries = await broker.read(0, 0, block=0)
    (entry,) = [entry for entry in entries if entry.type is EntryType.CONTROL]
    assert control.decode(entry.fragment) == control.Direct(
        connection="c1", data=msgspec.Raw(b"[1]"), ts=1_700_000_000_250
    )


async def test_a_direct_message_has_the_limits_of_any_other(publisher):
    with refused(Code.TOO_LARGE):
        await publisher.direct("c1", b'"' + b"x" * 65_536 + b'"')
    with refused(Code.TOO_LARGE):
        await publisher.direct("c1", b"[" * 131_073)
    with refused(Code.INVALID_DATA):
        await publisher.direct("c1", b"1e999")


def test_data_that_no_namespace_takes_is_not_looked_at(publisher):
    assert publisher.check_data(b" [1]") == b"[1]"
    with refused(Code.INVALID_DATA):
        publisher.check_data(b"[" * 100_000)
    with refused(Code.TOO_LARGE):
        publisher.check_data(b"[" * 131_073)


async def test_dropping_begins_a_new_epoch(publisher):
    before = await publisher.publish(Message(channel="room:a", data=b"1"), subject="me")
    after = await publisher.drop("room:a")
    assert after.epoch != before.epoch
    assert after.offset == 1
    assert await stored(publisher, "room:a") == ()
