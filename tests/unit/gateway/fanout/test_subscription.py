"""What ties a session to an audience begins unjoined, absent and without lag."""

from __future__ import annotations

from services.gateway.fanout.subscription import Subscription
from services.gateway.fanout.wire_format import JSON
from services.gateway.session.session import Session
from tests.support.gateway_host import ManualHost, RecordingConnection


def test_a_subscription_begins_with_nothing():
    host = ManualHost()
    session = Session(host, RecordingConnection(host), JSON)
    subscription = Subscription(session, "room:a", id=7)
    assert (subscription.channel, subscription.id, subscription.server) == ("room:a", 7, False)
    assert not subscription.joined
    assert not subscription.present
    assert subscription.sent == -1
    assert host.now() - subscription.typed_at == float("inf")


def test_two_subscriptions_to_the_same_channel_are_different():
    host = ManualHost()
    session = Session(host, RecordingConnection(host), JSON)
    one, other = Subscription(session, "room:a"), Subscription(session, "room:a", server=True)
    assert one != other
    assert len({one, other}) == 2
