"""A handshake's answer leaves with the first write, or alone when nothing is written soon."""

from __future__ import annotations

import asyncio

import pytest

from services.gateway.websocket import cork as module
from services.gateway.websocket.cork import Cork, Corks


class Transport:
    def __init__(self):
        self.written = []
        self.closing = False

    def write(self, data):
        self.written.append(data)

    def is_closing(self):
        return self.closing


class Connection:
    """Writes to what it was told to."""

    def reach(self, transport):
        self.transport = transport


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(module, "HOLD", 0.005)


@pytest.fixture
def transport():
    return Transport()


@pytest.fixture
def connection():
    return Connection()


def test_the_first_write_takes_the_answer_with_it_and_the_cork_is_out(transport, connection):
    cork = Cork(connection, transport, b"101")
    assert connection.transport is cork
    connection.transport.write(b"hello")
    assert transport.written == [b"101hello"]
    assert connection.transport is transport
    cork.write(b"late")  # whoever still holds it
    cork.release()
    assert transport.written == [b"101hello", b"late"]


def test_everything_else_is_the_transports(transport, connection):
    Cork(connection, transport, b"101")
    transport.closing = True
    assert connection.transport.is_closing()


async def test_a_silent_one_is_released_and_the_clock_stops(transport, connection):
    corks = Corks(asyncio.get_running_loop())
    corks.add(Cork(connection, transport, b"101"))
    assert not transport.written
    while corks._new or corks._old:  # noqa: ASYNC110 - corks have nothing to signal with
        await asyncio.sleep(0.001)
    assert transport.written == [b"101"]
    assert connection.transport is transport
    again = Connection()
    corks.add(Cork(again, transport, b"201"))
    await asyncio.sleep(0.03)
    assert transport.written == [b"101", b"201"]


async def test_nothing_is_written_to_who_has_gone(transport, connection):
    corks = Corks(asyncio.get_running_loop())
    corks.add(Cork(connection, transport, b"101"))
    transport.closing = True
    await asyncio.sleep(0.03)
    assert transport.written == []
