"""What a client says to a channel: messages to publish, and that it types."""

from __future__ import annotations

from contextlib import suppress

from services.gateway.fanout.presence_events import TYPING_SECONDS
from services.gateway.session.session import Session
from services.kernel.broker.drafts import check_size, check_written, compose
from services.kernel.broker.port import Draft
from services.kernel.domain import permissions
from services.kernel.domain.capabilities import Action
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.namespaces import Access
from services.kernel.protocol.commands import BadCommand, Publish
from services.kernel.protocol.wire import Publish as Written
from services.kernel.protocol.wire import Wire


def admit(session: Session, wire: Wire) -> None:
    """Raises BadCommand for data that can never be published, before it costs a look."""
    if isinstance(wire, Written):
        try:
            _admit(session, wire.channel, len(wire.data))
        except OpenlineError as error:
            raise BadCommand(error.code, error.message, id=wire.id) from None


def _admit(session: Session, channel: str, size: int) -> None:
    namespace = session.node.namespaces.of(channel)
    if session.opened and session.claims is None:  # and never will have any
        joins = namespace.subscribe is Access.ANYONE or channel in session.subscriptions
        permissions.check(None, namespace, channel, Action.PUBLISH, subscribed=joins)
    check_written(namespace, size)


def draft(session: Session, command: Publish, *, token: str = "") -> Draft:
    """The draft of a client's publish. Raises the named error when it may not, or the data does not fit."""
    node = session.node
    namespace = node.namespaces.of(command.channel)
    subscription = session.subscriptions.get(command.channel)
    permissions.check(
        session.claims,
        namespace,
        command.channel,
        Action.PUBLISH,
        subscribed=subscription is not None and subscription.joined,
    )
    if namespace.publish_rate and node.limits.rates:
        session.rates.message(namespace, node.now())
    check_size(namespace, len(command.data))
    node.schemas.check(namespace, command.data, command.kind)
    composed = compose(
        namespace,
        command.channel,
        data=command.data,
        kind=command.kind,
        ts_ms=int(node.wall() * 1000),
        sender=session.user,
        subject=session.user or f"/{session.returning.client or session.id}",
        key=command.key,
        conflate_key=command.conflate_key,
        ephemeral=command.ephemeral,
        token=token,
    )
    node.metrics.messages_in_of[namespace.name].inc()
    return composed


def typing(session: Session, channel: str) -> None:
    """Tell the others of a channel that this user types, at most once a second. Raises the error if it may not."""
    namespace = session.node.namespaces.of(channel)
    subscription = session.subscriptions.get(channel)
    if subscription is None:
        raise OpenlineError(Code.NOT_SUBSCRIBED, f"subscribe to {channel} first")
    permissions.check(session.claims, namespace, channel, Action.PUBLISH, subscribed=True)
    now = session.node.now()
    if now - subscription.typed_at >= TYPING_SECONDS:
        subscription.typed_at = now
        session.node.spawn(_signal_all(session, channel))


async def _signal_all(session: Session, channel: str) -> None:
    with suppress(OpenlineError):  # typing is at most once
        await session.node.broker.typing(channel, session.user)
