"""Who may subscribe to a channel, and the way in: presence where it is on, then the hub."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.gateway.fanout.subscription import Subscription
from services.kernel.domain import permissions
from services.kernel.domain.capabilities import Action
from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.positions import Position

if TYPE_CHECKING:
    from services.gateway.session.session import Session


def check(session: Session, channel: str) -> None:
    """Raises the named error unless a session may subscribe to a channel now."""
    namespace = session.node.namespaces.of(channel)
    if channel in session.subscriptions:
        raise OpenlineError(
            Code.ALREADY_SUBSCRIBED, f"already subscribed to {channel}; unsubscribe first"
        )
    permissions.check(session.claims, namespace, channel, Action.SUBSCRIBE)
    limit = session.node.limits.channels_per_connection
    if sum(not subscription.server for subscription in session.subscriptions.values()) >= limit:
        raise OpenlineError(
            Code.LIMIT_EXCEEDED, f"a connection has at most {limit} channels; unsubscribe first"
        )


def void(session: Session, claims: Claims) -> list[str]:
    """Channels that a client has subscribed to and that these claims do not allow."""
    channels = []
    for subscription in session.subscriptions.values():
        if not subscription.server:
            namespace = session.node.namespaces.of(subscription.channel)
            try:
                permissions.check(claims, namespace, subscription.channel, Action.SUBSCRIBE)
            except OpenlineError:
                channels.append(subscription.channel)
    return channels


def begin(subscription: Subscription, *, since: Position | None, last: int) -> None:
    """Enter presence where it is on, then join at the hub; the session's `joined` or `refused` is called."""
    node = subscription.session.node
    if node.namespaces.of(subscription.channel).presence:
        node.spawn(_enter(subscription, since=since, last=last))
    else:
        node.subscribe(subscription, since=since, last=last)


async def _enter(subscription: Subscription, *, since: Position | None, last: int) -> None:
    session = subscription.session
    if not session.has(subscription):
        return
    subscription.present = True  # from now on dropping it leaves, behind this call
    try:
        subscription.count = await session.node.enter(subscription)
    except OpenlineError as error:
        if session.has(subscription):
            session.refused(subscription, error)
        return
    if session.has(subscription):
        session.node.subscribe(subscription, since=since, last=last)
