"""The routes of the protocol over HTTP: what is answered before there is a session, and where commands go."""

from __future__ import annotations

import json

import pytest
from starlette.requests import Request

from services.gateway.session.streamed import StreamedSession, digest_of
from services.gateway.transports.both_ways import BothWaysRoute
from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import Code, OpenlineError
from services.kernel.domain.origins import Origins
from tests.support.gateway_host import RecordingConnection
from tests.support.native_session import opened
from tests.unit.gateway.transports.gate import Gate as Host

CONNECTION = "0123456789abcdef"
PAGE = (b"origin", b"https://app.example")


class Relay:
    """Finds streams here, and hands commands to a gateway that answers as told."""

    def __init__(self, gate):
        self._gate = gate
        self.sent = []
        self.answer = True

    def here(self, connection):
        session = self._gate.session(connection)
        return session if isinstance(session, StreamedSession) else None

    async def send(self, connection, digest, commands):
        self.sent.append((connection, digest, [bytes(c) for c in commands]))
        if isinstance(self.answer, OpenlineError):
            raise self.answer
        return self.answer


class Buses:
    def __init__(self):
        self.away = []

    def stalled(self):
        return []

    def unavailable(self):
        return self.away


class Gate(Host):
    def __init__(self):
        super().__init__()
        self.relay = Relay(self)
        self.buses = Buses()


@pytest.fixture
def gate():
    return Gate()


def request(body, *, path="/sse", headers=(), **parameters):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "headers": [(b"content-type", b"application/json"), PAGE, *headers],
        "client": ("192.0.2.7", 1234),
        "path_params": parameters,
    }

    async def receive():
        return {"type": "http.request", "body": raw, "more_body": False}

    return Request(scope, receive)


def route(gate):
    return BothWaysRoute(gate, Origins(["https://app.example"]))


async def send(gate, body, connection=CONNECTION):
    """What is answered to commands for a connection."""
    return await route(gate).commands(request(body, connection=connection))


def stream(gate):
    session = StreamedSession(gate, RecordingConnection(gate))
    session.connection.start(session)
    session.start(Claims(sub="bob"))
    gate.run()
    session.connection.sent.clear()
    return session


PING = {"secret": "s", "commands": [{"type": "ping"}]}


async def test_a_page_of_another_origin_may_read_each_answer(gate):
    for answer in (
        await send(gate, PING),
        await send(gate, b"{"),
        await send(gate, PING, "x"),
        await route(gate).stream(request(b"{")),
    ):
        assert answer.headers["access-control-allow-origin"] == "https://app.example"


async def test_commands_for_a_stream_here_are_taken_at_once(gate):
    session = stream(gate)
    body = {"secret": session.credentials()["secret"], "commands": [{"type": "ping"}]}
    assert (await send(gate, body, session.id)).status_code == 202
    assert session.connection.sent == [b'data: {"type":"pong"}\n\n']
    assert (await send(gate, PING, session.id)).status_code == 403
    assert gate.relay.sent == []


async def test_commands_for_a_stream_elsewhere_are_handed_over_with_the_digest_of_the_secret(gate):
    assert (await send(gate, PING)).status_code == 202
    ((connection, digest, commands),) = gate.relay.sent
    assert (connection, json.loads(commands[0])) == (CONNECTION, {"type": "ping"})
    assert digest == digest_of("s")


@pytest.mark.parametrize("connection", ["", "x", "0" * 15, "0" * 17, "0123456789ABCDEF"])
async def test_what_is_no_connections_id_is_not_asked_for(gate, connection):
    assert (await send(gate, PING, connection)).status_code == 404
    assert gate.relay.sent == []


async def test_a_websocket_here_takes_no_commands(gate):
    session = opened(gate)
    assert (await send(gate, PING, session.id)).status_code == 404
    assert gate.relay.sent == []


async def test_without_an_answer_it_is_gone_unless_this_gateway_hears_nothing_itself(gate):
    gate.relay.answer = False
    assert (await send(gate, PING)).status_code == 404
    gate.buses.away = [0]
    assert (await send(gate, PING)).status_code == 503


async def test_who_sends_too_much_for_other_gateways_is_told_to_wait(gate):
    answers = [await send(gate, PING) for _ in range(201)]
    assert [a.status_code for a in answers[-2:]] == [202, 429]
    assert "retry-after" in answers[-1].headers
    assert len(gate.relay.sent) == 200


async def test_a_refusal_of_the_other_gateway_is_passed_on(gate):
    gate.relay.answer = OpenlineError(Code.RATE_LIMITED, "wait", retry_after=1)
    answer = await send(gate, PING)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")


async def test_a_gateway_that_leaves_opens_no_stream_and_goes_on_taking_commands(gate):
    gate.draining = gate.turns_away = True
    assert (await route(gate).stream(request({"commands": []}))).status_code == 503
    assert (await send(gate, PING)).status_code == 202


async def test_one_connection_too_many_of_an_address_is_refused_by_its_status(gate, monkeypatch):
    monkeypatch.setattr(
        "services.gateway.transports.both_ways.EventStream",
        lambda *_: RecordingConnection(gate),
    )
    first = {"commands": [{"type": "auth"}]}
    assert (await route(gate).stream(request(first))).status_code == 200
    refusal = await route(gate).stream(request(first))
    assert (refusal.status_code, int(refusal.headers["retry-after"]) >= 10) == (429, True)


async def test_another_type_of_body_is_415(gate):
    wrong = request({"commands": []})
    wrong.scope["headers"][0] = (b"content-type", b"text/plain")
    assert (await route(gate).stream(wrong)).status_code == 415
