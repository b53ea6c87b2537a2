"""The native protocol over HTTP: who may send commands, how it stays open, how it ends."""

from __future__ import annotations

import json

import pytest

from services.gateway.session import command_queue
from services.gateway.session.streamed import StreamedSession, digest_of
from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import Code
from tests.support.gateway_host import ManualHost, RecordingConnection
from tests.support.refusals import refused


@pytest.fixture
def host():
    return ManualHost()


def fresh(host):
    session = StreamedSession(host, RecordingConnection(host))
    session.connection.start(session)
    session.schedule()
    return session


def told(session):
    """What was written since the last time: events, and comments as None."""
    sent, session.connection.sent = session.connection.sent, []
    blocks = b"".join(sent).decode().split("\n\n")[:-1]
    return [None if b == ":" else json.loads(b.removeprefix("data: ")) for b in blocks]


def opened(host):
    session = fresh(host)
    session.start(Claims(sub="bob"))
    host.run()
    (connected,) = told(session)
    return session, connected["secret"]


def test_connected_names_the_secret_and_commands_need_it(host):
    session, secret = opened(host)
    assert len(secret) == 32
    for wrong in ("", secret[:-1], secret.upper()):
        with refused(Code.FORBIDDEN, "secret"):
            session.deliver([b'{"type":"ping"}'], digest=digest_of(wrong))
    assert told(session) == []
    session.deliver([b'{"type":"ping","id":1}', b"5"], digest=digest_of(secret))
    pong, error = told(session)
    assert (pong, error["code"]) == ({"type": "pong", "id": 1}, "bad_request")


def test_the_first_commands_may_come_before_the_session_is_opened(host):
    host.tokens["t"] = Claims(sub="bob")
    session = fresh(host)
    session.take([b'{"type":"auth","token":"t","id":1}', b'{"type":"ping","id":2}'])
    host.run()
    assert [event["type"] for event in told(session)] == ["connected", "ack", "pong"]


def test_a_request_that_the_bus_brings_twice_counts_once(host):
    session, secret = opened(host)
    for request in ("a", "a", "b"):
        session.deliver([b'{"type":"ping"}'], digest=digest_of(secret), request=request)
    assert [event["type"] for event in told(session)] == ["pong", "pong"]


def test_who_sends_while_too_much_waits_is_told_to_wait(host, monkeypatch):
    monkeypatch.setattr(command_queue, "MAX_BYTES", 20)
    session, secret = opened(host)
    host.storing.open = False
    publish = b'{"type":"publish","channel":"chat:a","data":1}'
    join = b'{"type":"subscribe","channel":"chat:a"}'
    session.deliver([join], digest=digest_of(secret))
    host.run()
    told(session)
    session.deliver([publish, b'{"type":"ping","id":1}'], digest=digest_of(secret))
    with refused(Code.RATE_LIMITED, "still waiting"):
        session.deliver([b'{"type":"ping","id":2}'], digest=digest_of(secret))
    host.storing.open = True
    host.run()
    session.deliver([b'{"type":"ping","id":3}'], digest=digest_of(secret))
    assert [event["id"] for event in told(session) if event["type"] == "pong"] == [1, 3]


def test_the_last_event_says_why_it_ends_and_nothing_comes_behind(host):
    session, secret = opened(host)
    session.close(4101, "too slow")
    session.close(4000, "again")
    session.deliver([b'{"type":"ping"}'], digest=digest_of(secret))
    assert told(session) == [{"type": "closing", "code": 4101, "reason": "too slow"}]
    assert session.connection.code == 4101


def test_a_client_that_came_back_elsewhere_is_told_so(host):
    session, _ = opened(host)
    session.end_former()
    (closing,) = told(session)
    assert (closing["type"], closing["code"]) == ("closing", 4004)


def test_a_refused_session_is_told_by_closing_alone(host):
    session = fresh(host)
    session.take([b'{"type":"ping"}', b'{"type":"auth"}'])
    host.run()
    (closing,) = told(session)
    assert (closing["type"], closing["code"]) == ("closing", 4001)


def test_commands_are_signs_of_life_and_a_silent_client_is_pinged_then_closed(host):
    session, secret = opened(host)
    host.tick(session)
    assert told(session) == [{"type": "ping"}]
    session.deliver([b'{"type":"pong"}'], digest=digest_of(secret))
    host.tick(session)
    host.tick(session)
    assert {"type": "ping"} in told(session)
    host.tick(session)
    assert told(session)[-1]["code"] == 4102


def test_nobody_is_asked_for_a_sign_of_life_that_only_a_page_awake_could_give(host):
    session, _ = opened(host)
    session.connection.last_received = 0.0
    assert not session.probe(host.now())
    assert told(session) == []


def test_what_keeps_the_way_open_is_a_comment(host):
    session, _ = opened(host)
    due = host.wakes[session]
    session.connection.last_received = due - 1
    host.tick(session)
    assert told(session) == [None]
    opening = fresh(host)
    opening.ping()
    assert told(opening) == [None]
