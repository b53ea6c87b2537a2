"""Commands for a stream on another gateway: handed over, answered, refused, or never answered."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from services.gateway.metrics import Metrics
from services.gateway.node import relay as module
from services.gateway.node.registry import Registry
from services.gateway.node.relay import Relay
from services.gateway.session.native import NativeSession
from services.gateway.session.streamed import StreamedSession, digest_of
from services.kernel.domain import control
from services.kernel.domain.claims import Claims
from services.kernel.domain.codes import Code, OpenlineError
from tests.support.gateway_host import ManualHost, RecordingConnection
from tests.support.native_session import opened
from tests.support.refusals import refused

PING = [msgspec.Raw(b'{"type":"ping","id":1}')]


class Bus:
    """Brings each message to all gateways in the loop's next turn, twice when it repeats; or raises, or loses it."""

    def __init__(self):
        self.relays = []
        self.failure = None
        self.lost = False
        self.repeats = 1

    async def control(self, message):
        if self.failure is not None:
            raise self.failure
        if not self.lost:
            asyncio.get_running_loop().call_soon(self._bring, control.decode(message))

    def _bring(self, message):
        for _ in range(self.repeats):
            for relay in self.relays:
                (relay.carry if isinstance(message, control.CarryCommands) else relay.taken)(
                    message
                )


class Gateway:
    def __init__(self, bus):
        self.registry = Registry()
        self.metrics = Metrics(CollectorRegistry())
        self.tasks = set()
        self.relay = Relay(bus, self.registry, relayed=self.metrics.relayed, spawn=self._spawn)
        bus.relays.append(self.relay)

    def _spawn(self, work):
        self.tasks.add(asyncio.create_task(work))

    def relayed(self, outcome):
        return self.metrics.relayed.labels(outcome)._value.get()


@pytest.fixture
def bus():
    return Bus()


def stream(gateway):
    host = ManualHost()
    session = StreamedSession(host, RecordingConnection(host))
    session.connection.start(session)
    session.start(Claims(sub="bob"))
    host.run()
    gateway.registry.add(session)
    session.connection.sent.clear()
    return session, digest_of(session.credentials()["secret"])


async def test_the_gateway_that_has_the_stream_takes_the_commands_once(bus):
    here, there = Gateway(bus), Gateway(bus)
    bus.repeats = 2
    session, digest = stream(there)
    assert here.relay.here(session.id) is None
    assert there.relay.here(session.id) is session
    assert await here.relay.send(session.id, digest, PING)
    assert session.connection.sent == [b'data: {"type":"pong","id":1}\n\n']
    assert here.relayed("taken") == 1
    assert not here.relay._waiting


async def test_a_refusal_is_brought_back(bus):
    here, there = Gateway(bus), Gateway(bus)
    session, _ = stream(there)
    with refused(Code.FORBIDDEN, "secret"):
        await here.relay.send(session.id, digest_of("guess"), PING)
    assert session.connection.sent == []
    assert here.relayed("refused") == 1


@pytest.mark.parametrize(("retry_after", "code"), [(None, Code.INTERNAL), (2.5, Code.UNAVAILABLE)])
async def test_a_code_that_only_a_newer_gateway_knows_is_one_that_clients_know(
    bus, retry_after, code
):
    here = Gateway(bus)

    async def refuse(message):
        request = control.decode(message).request
        here.relay.taken(
            control.CommandsTaken(
                request=request, code="too_strange", message="not today", retry_after=retry_after
            )
        )

    bus.control = refuse
    with refused(code, "not today") as caught:
        await here.relay.send("0" * 16, "digest", PING)
    assert caught.value.retry_after == retry_after
    assert here.relayed("refused") == 1


async def test_no_answer_means_that_the_connection_is_gone(bus):
    here, there = Gateway(bus), Gateway(bus)
    assert not await here.relay.send("0" * 16, "digest", PING)
    websocket = opened(ManualHost())
    there.registry.add(websocket)
    assert isinstance(websocket, NativeSession)
    assert not await here.relay.send(websocket.id, "digest", PING)
    assert here.relayed("unanswered") == 2


async def test_while_the_store_is_away_it_cannot_be_told(bus):
    here = Gateway(bus)
    bus.failure = OpenlineError(Code.UNAVAILABLE, "away")
    with refused(Code.UNAVAILABLE, "away"):
        await here.relay.send("0" * 16, "digest", PING)
    assert here.relayed("unavailable") == 1
    session, digest = stream(here)
    here.relay.carry(
        control.CarryCommands(connection=session.id, digest=digest, request="r", commands=PING)
    )
    await asyncio.gather(*here.tasks)


async def test_so_many_wait_at_once_and_no_more(bus, monkeypatch):
    monkeypatch.setattr(module, "MAX_WAITING", 1)
    here = Gateway(bus)
    first = asyncio.create_task(here.relay.send("0" * 16, "digest", PING))
    await asyncio.sleep(0)
    with refused(Code.UNAVAILABLE, "too many"):
        await here.relay.send("0" * 16, "digest", PING)
    assert not await first
