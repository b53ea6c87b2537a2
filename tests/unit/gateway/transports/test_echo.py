"""An echo connection is read in pieces, so that no proxy on the way is kept busy with it alone."""

from __future__ import annotations

import pytest

from services.gateway.node.quota import Quota
from services.gateway.transports.echo import PIECE, Echo
from services.kernel.domain.limits import Limits


class Reading:
    """A connection that counts what it sends, and says whether it is read."""

    address = "192.0.2.7"

    def __init__(self):
        self.is_read = True
        self.sent = 0

    def send_text(self, payload):
        self.sent += len(payload)

    send_binary = send_text

    def pause_reading(self):
        self.is_read = False

    def resume_reading(self):
        self.is_read = True


class Stage:
    """An echo with the timers that it has set."""

    def __init__(self, bytes_rate):
        self.connection = Reading()
        self.timers = []
        self.echo = Echo(
            self.connection,
            Quota(Limits()),
            bytes_rate=bytes_rate,
            call_later=lambda seconds, call: self.timers.append((seconds, call)),
        )

    def wait(self):
        """The seconds that the oldest timer has waited, which has ended now."""
        seconds, call = self.timers.pop(0)
        call()
        return seconds


@pytest.fixture
def stage():
    return Stage(2 * PIECE)


def test_after_a_piece_nothing_is_read_for_as_long_as_it_takes_at_the_rate(stage):
    stage.echo.received_text(b"x" * (PIECE - 1))
    assert (stage.connection.is_read, stage.timers) == (True, [])
    stage.echo.received_binary(b"x" * (PIECE + 1))
    assert (stage.connection.is_read, stage.connection.sent) == (False, 2 * PIECE)
    assert stage.wait() == 1
    assert stage.connection.is_read


def test_what_was_read_already_counts_for_the_next_pause(stage):
    for _ in range(3):
        stage.echo.received_text(b"x" * PIECE)
    assert len(stage.timers) == 1
    stage.wait()
    stage.echo.received_text(b"")
    assert stage.wait() == 1


def test_a_peer_that_does_not_read_is_not_read_whichever_ends_first(stage):
    stage.echo.received_text(b"x" * PIECE)
    stage.echo.stalled()
    stage.wait()
    assert not stage.connection.is_read
    stage.echo.writable()
    assert stage.connection.is_read
    stage.echo.stalled()
    stage.echo.received_text(b"x" * PIECE)
    stage.echo.writable()
    assert not stage.connection.is_read
    stage.wait()
    assert stage.connection.is_read


def test_without_a_rate_it_goes_on():
    stage = Stage(0)
    stage.echo.received_text(b"x" * 100 * PIECE)
    assert (stage.connection.is_read, stage.timers) == (True, [])
