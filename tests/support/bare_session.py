"""As little as a session can be: it tells when it was greeted."""

from __future__ import annotations

from services.gateway.fanout.wire_format import JSON
from services.gateway.session.session import Session
from services.kernel.domain.claims import Claims
from tests.support.gateway_host import RecordingConnection


class Bare(Session):
    def greet(self, places):
        self.write(self.wire_format.event("connected", {"channels": list(places)}))


def fresh(host, kind=Bare):
    """A session that does not know who it is."""
    session = kind(host, RecordingConnection(host), JSON)
    session.connection.start(session)
    return session


def opened(host, user="bob", *, kind=Bare, **claims):
    """A session that was greeted; what it was told until then is read."""
    session = fresh(host, kind)
    session.start(Claims(sub=user, **claims) if user else None)
    host.run()
    session.connection.payloads()
    return session


def kinds(session):
    """The types of the events since the last look."""
    return [event["type"] for event in session.connection.events()]
