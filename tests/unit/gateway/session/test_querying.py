"""What a client may ask about a channel, and what it is answered."""

from __future__ import annotations

import msgspec
import pytest

from services.gateway.fanout.wire_format import JSON
from services.gateway.session import querying
from services.kernel.domain.codes import Code
from services.kernel.protocol.commands import History, Presence
from tests.support.gateway_host import ManualHost, now
from tests.support.native_session import join, opened
from tests.support.refusals import refused


@pytest.fixture
def host():
    return ManualHost()


def answer(session, query):
    querying.check(session, query)
    return msgspec.json.decode(now(querying.answer(session, query, JSON.codec)))


def test_members_may_ask_who_is_there(host):
    session = opened(host)
    query = Presence(id=1, channel="room:a")
    with refused(Code.NOT_SUBSCRIBED):
        querying.check(session, query)
    join(session, "room:a")
    ack = answer(session, query)
    assert (ack["id"], ack["count"], ack["members"][0]["user"]) == (1, 1, "bob")


def test_members_may_ask_what_was_said(host):
    session = opened(host)
    query = History(id=2, channel="chat:a", limit=1, reverse=True)
    with refused(Code.NOT_SUBSCRIBED):
        querying.check(session, query)
    join(session)
    for number in range(2):
        host.publish_http("chat:a", number)
    ack = answer(session, query)
    assert ([m["data"] for m in ack["messages"]], ack["more"], ack["offset"]) == ([1], True, 2)


def test_what_is_asked_about_must_exist(host):
    for query in (Presence(channel="nowhere:a"), History(channel="nowhere:a")):
        with refused(Code.UNKNOWN_NAMESPACE):
            querying.check(opened(host), query)
