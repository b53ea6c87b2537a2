"""A handshake's answer leaves with the first message, or alone when none is written in time."""

from __future__ import annotations

import pytest

from services.gateway.websocket.coalescing import HOLD, FirstWrite


class Transport:
    def __init__(self):
        self.written = []
        self.closing = False

    def write(self, data):
        self.written.append(data)

    def is_closing(self):
        return self.closing


class Connection:
    def write_to(self, transport):
        self.transport = transport


class Timer:
    """One timer of a clock that a test moves."""

    def __call__(self, seconds, callback):
        self.seconds, self.callback, self.cancelled = seconds, callback, False
        return self

    def cancel(self):
        self.cancelled = True


@pytest.fixture
def transport():
    return Transport()


@pytest.fixture
def connection():
    return Connection()


@pytest.fixture
def timer(connection, transport):
    timer = Timer()
    FirstWrite(connection, transport, b"101", call_later=timer)
    return timer


def test_nothing_is_written_before_the_first_message(timer, connection, transport):
    assert (transport.written, timer.seconds) == ([], HOLD)
    assert connection.transport is not transport


def test_the_first_message_takes_the_answer_with_it(timer, connection, transport):
    connection.transport.write(b"hello")
    assert (transport.written, timer.cancelled) == ([b"101hello"], True)
    assert connection.transport is transport


def test_without_a_message_the_answer_leaves_alone(timer, connection, transport):
    timer.callback()
    assert transport.written == [b"101"]
    assert connection.transport is transport


def test_nothing_is_written_to_a_client_that_has_gone(timer, connection, transport):
    transport.closing = True
    assert connection.transport.is_closing()
    timer.callback()
    assert transport.written == []
    assert connection.transport is transport
