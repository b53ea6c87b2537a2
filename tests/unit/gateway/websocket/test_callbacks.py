"""What a session raises ends its own connection and nothing else."""

from __future__ import annotations

from services.gateway.websocket.callbacks import tell
from tests.support.gateway_host import ManualHost, RecordingConnection


def test_a_session_is_told():
    told = []
    connection = RecordingConnection(ManualHost())
    tell(connection, lambda *args: told.append(args), 1000, "bye")
    assert (told, connection.closing) == ([(1000, "bye")], False)


def test_one_that_fails_is_closed_with_1011():
    def fail():
        raise ValueError("a bug")

    connection = RecordingConnection(ManualHost())
    tell(connection, fail)
    assert (connection.code, connection.reason) == (1011, "internal error")
