"""Which channels a session may subscribe to."""

from __future__ import annotations

import pytest

from services.gateway.fanout.subscriber import Subscription
from services.gateway.session import subscribing
from services.gateway.session.native import NativeSession
from services.kernel.domain.capabilities import parse as capabilities
from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import Code
from services.kernel.domain.limits import Limits
from tests.support.bare_session import opened
from tests.support.gateway_host import ManualHost
from tests.support.refusals import refused


@pytest.fixture
def host():
    return ManualHost()


def test_subscribing_is_checked(host):
    session = opened(host)
    subscribing.check(session, "room:a")
    with refused(Code.ALREADY_SUBSCRIBED):
        subscribing.check(session, "public:all")
    with refused(Code.FORBIDDEN):
        subscribing.check(session, "user:amy")
    with refused(Code.UNKNOWN_NAMESPACE):
        subscribing.check(session, "nowhere:a")


def test_a_connection_has_so_many_channels_those_of_the_server_not_counted():
    host = ManualHost(limits=Limits(channels_per_connection=1))
    session = opened(host)
    subscribing.check(session, "chat:a")
    session.subscriptions["chat:a"] = Subscription(session, "chat:a")
    with refused(Code.LIMIT_EXCEEDED, "at most 1 channels"):
        subscribing.check(session, "chat:b")


def test_a_new_token_ends_what_it_no_longer_allows(host):
    session = opened(host, kind=NativeSession)
    for number, channel in enumerate(("room:a", "chat:b")):
        session.received_text(
            b'{"type":"subscribe","id":%d,"channel":"%b"}' % (number, channel.encode())
        )
        host.run()
    session.connection.events()
    session.renew(Claims(sub="bob", channels=capabilities({"room:*": ["subscribe"]})))
    assert session.connection.events() == [
        {"type": "unsubscribed", "channel": "chat:b", "reason": "permission"}
    ]
    assert session.subscriptions.keys() == {"user:bob", "public:all", "room:a"}
    with refused(Code.FORBIDDEN):
        session.renew(Claims(sub="amy"))


def test_a_new_token_that_withholds_the_personal_channel_ends_it(host):
    session = opened(host, kind=NativeSession)
    assert "user:bob" in session.subscriptions
    session.renew(Claims(sub="bob", personal=False))
    assert "user:bob" not in session.subscriptions
    assert "public:all" in session.subscriptions
