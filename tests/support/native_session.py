"""Native sessions on a host that a test moves: say something, or ask and see what comes back."""

from __future__ import annotations

import msgspec

from services.gateway.fanout.wire_format import JSON
from services.gateway.session.native import NativeSession
from services.kernel.domain.claims import Claims
from tests.support.gateway_host import RecordingConnection


def fresh(host, wire_format=JSON):
    """A session that waits for its first message."""
    connection = RecordingConnection(host)
    session = NativeSession(host, connection, wire_format)
    connection.start(session)
    session.schedule()
    return session


def opened(host, user="bob", wire_format=JSON, **claims):
    """A session that was told `connected`."""
    session = fresh(host, wire_format)
    session.start(Claims(sub=user, **claims) if user else None)
    host.run()
    session.connection.payloads()
    return session


def say(session, **command):
    """Send a command, and let nothing else happen."""
    session.received_text(msgspec.json.encode(command))


def ask(session, **command):
    """What comes back of a command."""
    say(session, **command)
    session.node.run()
    return session.connection.events()


def join(session, channel="chat:a"):
    """Subscribe; the ack."""
    (ack,) = ask(session, type="subscribe", id="join", channel=channel)
    assert ack["type"] == "ack", ack
    return ack


def quiet(session, id, data=1, **more):
    """Publish to chat:a without echo."""
    say(session, type="publish", id=id, channel="chat:a", data=data, echo=False, **more)


def errors(events):
    """The refusals among the events, as (id, code)."""
    return [(event.get("id"), event["code"]) for event in events if event["type"] == "error"]
