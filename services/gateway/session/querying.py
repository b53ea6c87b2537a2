"""Queries about a channel: presence and history."""

from __future__ import annotations

from services.gateway.session.session import Session
from services.kernel.broker.paging import members_fields
from services.kernel.domain import permissions
from services.kernel.domain.capabilities import Action
from services.kernel.protocol.codec import Codec
from services.kernel.protocol.commands import History, Presence


def check(session: Session, query: Presence | History) -> None:
    """Raises the named error unless the session may ask this."""
    permissions.check(
        session.claims,
        session.node.namespaces.of(query.channel),
        query.channel,
        Action.HISTORY if isinstance(query, History) else Action.PRESENCE,
        subscribed=query.channel in session.subscriptions,
    )
    if isinstance(query, History):
        session.node.seek(session.connection.address, query.channel)


async def answer(session: Session, query: Presence | History, codec: Codec) -> bytes:
    """The ack with a page of members or publications. Raises the named error."""
    broker = session.node.broker
    if isinstance(query, Presence):
        members = await broker.members(
            query.channel, cursor=query.cursor, limit=session.node.limits.presence_page
        )
        return codec.ack(query.id, {"channel": query.channel, **members_fields(members)})
    page = await broker.history(
        query.channel, since=query.since, limit=query.limit, reverse=query.reverse
    )
    return codec.history(
        query.id,
        query.channel,
        page.publications,
        epoch=page.epoch,
        offset=page.offset,
        more=page.more,
    )
