"""Which channels a session may subscribe to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.kernel.domain import channels, permissions
from services.kernel.domain.capabilities import Action
from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import Code, OpenlineError

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


def withheld(claims: Claims | None, channel: str) -> bool:
    """Whether this is the personal channel of a token that came from a client that may not read it."""
    return (
        claims is not None and not claims.personal and channel == channels.personal(claims.sub)
    ) and not (claims.channels and claims.channels.allows(channel, Action.SUBSCRIBE))


def void(session: Session, claims: Claims) -> list[str]:
    """Channels that a client has subscribed to, or its own, that these claims do not allow."""
    lost = []
    for subscription in session.subscriptions.values():
        if subscription.server:
            if withheld(claims, subscription.channel):
                lost.append(subscription.channel)
        else:
            namespace = session.node.namespaces.of(subscription.channel)
            try:
                permissions.check(claims, namespace, subscription.channel, Action.SUBSCRIBE)
            except OpenlineError:
                lost.append(subscription.channel)
    return lost
