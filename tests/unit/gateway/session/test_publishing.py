"""What a client says to a channel: its drafts and its typing."""

from __future__ import annotations

import pytest
from msgspec import Raw

from services.gateway.session import publishing
from services.gateway.session.native import NativeSession
from services.kernel.domain.codes import Code
from services.kernel.protocol.commands import Ping, Publish
from services.kernel.protocol.wire import Publish as Written
from tests.support.bare_session import kinds, opened
from tests.support.gateway_host import ManualHost
from tests.support.refusals import refused


@pytest.fixture
def host():
    return ManualHost()


def test_typing_is_passed_on_once_a_second_and_may_get_lost(host):
    session, other = opened(host), opened(host, "amy", kind=NativeSession)
    for one in (session, other):
        one.subscribe_by_server("chat:a")
    host.run()
    publishing.typing(session, "chat:a")
    publishing.typing(session, "chat:a")
    host.run()
    assert kinds(other) == ["subscribed", "typing"]
    host.advance(1)
    host.broker.down = True
    publishing.typing(session, "chat:a")
    host.run()
    assert kinds(other) == []


def test_a_draft_names_its_sender_and_scopes_its_key(host):
    bob, nobody = opened(host), opened(host, None)
    bob.subscribe_by_server("chat:a")
    host.run()
    draft = publishing.draft(bob, Publish(channel="chat:a", data=b"1", key="k"))
    assert (draft.key, b'"from":"bob"' in draft.meta) == ("bob/k", True)
    with refused(Code.FORBIDDEN):
        publishing.draft(nobody, Publish(channel="chat:a", data=b"1"))


def test_a_namespace_may_bound_how_often_is_published():
    tables = {"namespaces": {"chat": {"publish": "anyone", "publish_rate": 1, "publish_burst": 1}}}
    host = ManualHost(tables=tables)
    session = opened(host)
    publishing.draft(session, Publish(channel="chat:a", data=b"1"))
    with refused(Code.RATE_LIMITED):
        publishing.draft(session, Publish(channel="chat:a", data=b"1"))


def test_who_is_not_in_a_channel_does_not_type_there(host):
    with refused(Code.NOT_SUBSCRIBED, "subscribe to chat:a first"):
        publishing.typing(opened(host), "chat:a")


def written(channel, size):
    return Written(channel=channel, data=Raw(b"1" * size), id=7)


def test_what_can_never_be_published_is_refused_unseen(host):
    bob, nobody = opened(host), opened(host, None)
    most = 2 * host.namespaces.of("chat:a").message_bytes
    publishing.admit(bob, written("chat:a", most))
    publishing.admit(bob, Ping())
    with refused(Code.TOO_LARGE) as caught:
        publishing.admit(bob, written("chat:a", most + 1))
    assert caught.value.id == 7
    with refused(Code.UNKNOWN_NAMESPACE):
        publishing.admit(bob, written("nope:a", 1))
    with refused(Code.FORBIDDEN):
        publishing.admit(nobody, written("chat:a", 1))
