"""Who may subscribe, and the way in: presence first, then the hub."""

from __future__ import annotations

import pytest

from services.gateway.fanout.subscription import Subscription
from services.gateway.session import subscribing as joining
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


def presence(host, session, channel="room:a"):
    subscription = Subscription(session, channel)
    session.subscriptions[channel] = subscription
    joining.begin(subscription, since=None, last=0)
    return subscription


def there(host, channel="room:a"):
    return host.broker._of(channel).all[channel].members.keys()


def test_presence_is_entered_before_the_channel_is_joined(host):
    session = opened(host)
    host.entering.open = False
    subscription = presence(host, session)
    host.run()
    assert not subscription.joined
    host.entering.open = True
    host.run()
    assert subscription.joined
    assert (subscription.count.count, list(there(host))) == (1, [session.id])


def test_who_is_dropped_before_it_entered_never_enters(host):
    session = opened(host)
    subscription = presence(host, session)
    session.drop(subscription)
    host.run()
    assert not there(host)
    assert not subscription.present


def test_who_is_dropped_while_entering_leaves_and_joins_nothing(host):
    session = opened(host)
    host.entering.open = False
    subscription = presence(host, session)
    host.run()
    session.drop(subscription)
    assert subscription.present
    host.entering.open = True
    host.run()
    assert not subscription.joined


def test_who_comes_back_at_once_stays_present(host):
    session = opened(host)
    first = presence(host, session)
    host.run()
    session.drop(first)
    second = presence(host, session)
    host.run()
    assert second.joined
    assert list(there(host)) == [session.id]


def test_a_failure_to_enter_refuses_who_still_wants_to(host):
    session = opened(host)
    stays, gone = presence(host, session), presence(host, session, "room:b")
    host.entering.open = False
    host.run()
    session.drop(gone)
    host.broker.down = True
    host.entering.open = True
    host.run()
    assert session.subscriptions.keys() == {"user:bob", "public:all"}
    assert not stays.joined


def test_subscribing_is_checked(host):
    session = opened(host)
    joining.check(session, "room:a")
    with refused(Code.ALREADY_SUBSCRIBED):
        joining.check(session, "public:all")
    with refused(Code.FORBIDDEN):
        joining.check(session, "user:amy")
    with refused(Code.UNKNOWN_NAMESPACE):
        joining.check(session, "nowhere:a")


def test_a_connection_has_so_many_channels_those_of_the_server_not_counted():
    host = ManualHost(limits=Limits(channels_per_connection=1))
    session = opened(host)
    joining.check(session, "chat:a")
    session.subscriptions["chat:a"] = Subscription(session, "chat:a")
    with refused(Code.LIMIT_EXCEEDED, "at most 1 channels"):
        joining.check(session, "chat:b")


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
